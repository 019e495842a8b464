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

        module = network.with_products("right").module
        litert_torch.convert(module, (network.example,)).export(str(folder / self.file))

    def operators(self, folder: Path, network: Network) -> Counter[str]:
        from ai_edge_litert import schema_py_generated as schema

        names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
        model = schema.Model.GetRootAs((folder / self.file).read_bytes())
        found: Counter[str] = Counter()
        for index in range(model.SubgraphsLength()):
            graph = model.Subgraphs(index)
            for place in range(graph.OperatorsLength()):
                code = model.OperatorCodes(graph.Operators(place).OpcodeIndex())
                custom = code.CustomCode()
                found[custom.decode() if custom else names[code.BuiltinCode()]] += 1
        return found
