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
            custom_translation_table={torch.ops.aten.group_norm.default: _group_norm},
            verbose=False,
        )
        _strip(folder / self.file)

    def write_int8(self, network: Network, folder: Path, images: np.ndarray) -> None:
        self.write(network, folder)
        spectral = tuple(spectral_modules(network.module))
        quantize_onnx(folder / self.file, images, spectral, len(network.example))

    def operators(self, folder: Path, network: Network) -> Counter[str]:
        import onnx

        model = onnx.load(folder / self.file)
        parts = (model.graph, *model.functions)
        return Counter(
            f"{node.domain}::{node.op_type}" if node.domain else node.op_type
            for part in parts
            for node in _nodes(part)
        )


def _group_norm(
    x: Any,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Any:
    """Translate a group norm, with scale and shift as one node, which is faster than two."""
    from onnxscript import opset20

    op: Any = opset20

    def constant(value: float, length: int) -> Any:
        return op.Constant(value_floats=[float(value)] * length)

    groups = op.Reshape(x, op.Constant(value_ints=[0, num_groups, -1]))
    scale, shift = constant(1, num_groups), constant(0, num_groups)
    y = op.InstanceNormalization(groups, scale, shift, epsilon=eps)
    y = op.Reshape(y, op.Constant(value_ints=[0, *x.shape[1:]]))
    if weight is None:
        return y
    mean, variance = constant(0, x.shape[1]), constant(1, x.shape[1])
    return op.BatchNormalization(y, weight, bias, mean, variance, epsilon=0.0)


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
