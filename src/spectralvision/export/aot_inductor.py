"""Packages compiled ahead of time by AOTInductor, which run in PyTorch without this package."""

from collections import Counter
from pathlib import Path

# Documented as PyTorch's ahead-of-time compiler, but for the underscore.
from torch._inductor import aoti_compile_and_package

from spectralvision.export.base import Network, Target


class AotInductor(Target):
    """Machine code for this processor, with the weights; needs a C++ compiler to be written."""

    name = "pt2"
    title = "AOTInductor"
    file = "model.pt2"
    packages = ("torch",)
    run_packages = ("torch",)
    extra = "export"
    has_dynamic_batch = True

    def write(self, network: Network, folder: Path) -> None:
        aoti_compile_and_package(network.export(), package_path=str(folder / self.file))

    def operators(self, folder: Path, network: Network) -> Counter[str]:
        program = network.export().run_decompositions()
        calls = (node for node in program.graph.nodes if node.op == "call_function")
        return Counter(str(node.target) for node in calls)
