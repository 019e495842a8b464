"""ONNX files for onnxruntime, and for all that reads ONNX."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spectralvision.export.base import INPUT, Network, Runner, Target

OPSET = 18


class Onnx(Target):
    """One file with the weights, opset 18."""

    name = "onnx"
    title = "onnxruntime"
    file = "model.onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")
    extra = "export"
    tolerance = 1e-4
    has_dynamic_batch = True

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

    def load(self, folder: Path, threads: int | None = None) -> Runner:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        # Threads that spin disturb other sessions of the process
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(
            folder / self.file, options, providers=["CPUExecutionProvider"]
        )

        def run(images: np.ndarray) -> list[np.ndarray]:
            outputs: list[np.ndarray] = session.run(None, {INPUT: images})
            return outputs

        return run

    def operators(self, folder: Path) -> Counter[str]:
        import onnx

        model = onnx.load(folder / self.file)
        parts = (model.graph, *model.functions)
        return Counter(
            f"{node.domain}::{node.op_type}" if node.domain else node.op_type
            for part in parts
            for node in _nodes(part)
        )


def _nodes(graph: Any) -> Iterable[Any]:
    """Yield the nodes of a graph and of the graphs inside them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)
