"""ONNX files for onnxruntime, and for all that reads ONNX."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spectralvision.export.base import INPUT, Network, Target
from spectralvision.export.prepare import spectral_modules
from spectralvision.export.quantize import quantize_onnx

OPSET = 20
"""The first with a node for GELU."""


class Onnx(Target):
    """One file with the weights, opset 20."""

    name = "onnx"
    title = "onnxruntime"
    file = "model.onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")
    run_packages = ("onnxruntime",)
    extra = "export"
    tolerance = 1e-4
    has_dynamic_batch = True
    has_int8 = True

    def write(self, network: Network, folder: Path) -> None:
        torch.onnx.export(
            network.export(),
            (network.example,),
            folder / self.file,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(network.outputs),
            external_data=False,
            verbose=False,
        )
        _strip(folder / self.file)

    def write_int8(self, network: Network, folder: Path, images: np.ndarray) -> None:
        self.write(network, folder)
        quantize_onnx(folder / self.file, images, spectral_modules(network.module))

    def operators(self, folder: Path, network: Network) -> Counter[str]:
        import onnx

        model = onnx.load(folder / self.file)
        parts = (model.graph, *model.functions)
        return Counter(
            f"{node.domain}::{node.op_type}" if node.domain else node.op_type
            for part in parts
            for node in _nodes(part)
        )


def _strip(path: Path) -> None:
    """Remove what the exporter notes about each node for people who debug it."""
    import onnx

    model = onnx.load(path)
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    onnx.save(model, path)


def _nodes(graph: Any) -> Iterable[Any]:
    """Yield the nodes of a graph and of the graphs inside them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)
