"""Core ML packages for iPhone, iPad and Mac. They are converted anywhere, but run on macOS only."""

from collections import Counter
from pathlib import Path
from typing import Any

from spectralvision.export.base import INPUT, Network, Target


class CoreMl(Target):
    """An ML program in float32 for iOS 16 and macOS 13 or newer."""

    name = "coreml"
    title = "Core ML"
    file = "model.mlpackage"
    packages = ("coremltools",)
    run_packages = ("coremltools",)
    extra = "mobile"
    runs_on = "darwin"

    def write(self, network: Network, folder: Path) -> None:
        import coremltools

        model = coremltools.convert(
            network.export().run_decompositions({}),
            inputs=[coremltools.TensorType(name=INPUT, shape=network.example.shape)],
            outputs=[coremltools.TensorType(name=name) for name in network.outputs],
            minimum_deployment_target=coremltools.target.iOS16,
            compute_precision=coremltools.precision.FLOAT32,
        )
        model.save(str(folder / self.file))

    def operators(self, folder: Path, network: Network) -> Counter[str]:
        import coremltools

        spec: Any = coremltools.utils.load_spec(str(folder / self.file))
        block = next(iter(spec.mlProgram.functions["main"].block_specializations.values()))
        return Counter(one.type for one in block.operations)
