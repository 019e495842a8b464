"""LiteRT (TensorFlow Lite) models."""

from collections import Counter
from pathlib import Path

import numpy as np

from spectralvision.export.base import Network, Runner, Target


class LiteRt(Target):
    """A model for Android, iOS and microcontrollers."""

    name = "litert"
    title = "LiteRT"
    file = "model.tflite"
    packages = ("litert_torch", "ai_edge_litert")
    extra = "mobile"

    def write(self, network: Network, folder: Path) -> None:
        import litert_torch

        litert_torch.convert(network.module, (network.example,)).export(str(folder / self.file))

    def load(self, folder: Path, threads: int | None = None) -> Runner:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(folder / self.file), num_threads=threads)
        interpreter.allocate_tensors()
        (source,) = interpreter.get_input_details()
        outputs = [one["index"] for one in interpreter.get_output_details()]

        def run(images: np.ndarray) -> list[np.ndarray]:
            interpreter.set_tensor(source["index"], images)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in outputs]

        return run

    def operators(self, folder: Path) -> Counter[str]:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(folder / self.file))
        return Counter(one["op_name"] for one in interpreter._get_ops_details())
