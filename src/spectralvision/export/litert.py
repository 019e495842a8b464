"""LiteRT (TensorFlow Lite) models."""

from collections import Counter
from pathlib import Path

from spectralvision.export.base import Network, Target


class LiteRt(Target):
    """A model for Android, iOS and microcontrollers."""

    name = "litert"
    title = "LiteRT"
    file = "model.tflite"
    packages = ("litert_torch", "ai_edge_litert")
    run_packages = ("ai-edge-litert",)
    extra = "mobile"

    def write(self, network: Network, folder: Path) -> None:
        import litert_torch

        litert_torch.convert(network.module, (network.example,)).export(str(folder / self.file))

    def operators(self, folder: Path, network: Network) -> Counter[str]:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(folder / self.file))
        return Counter(one["op_name"] for one in interpreter._get_ops_details())
