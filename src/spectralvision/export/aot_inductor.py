"""Packages compiled ahead of time by AOTInductor, which run in PyTorch without this package."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch

# Private by name only: PyTorch documents these as its ahead-of-time compiler.
from torch._inductor import aoti_compile_and_package, aoti_load_package

from spectralvision.export.base import Network, Runner, Target

PROGRAM = "program.pt2"


class AotInductor(Target):
    """Machine code for this processor, with the weights; needs a C++ compiler to be written."""

    name = "pt2"
    title = "AOTInductor"
    file = "model.pt2"
    packages = ("torch",)
    extra = "export"
    has_dynamic_batch = True

    def write(self, network: Network, folder: Path) -> None:
        program = network.export()
        aoti_compile_and_package(program, package_path=str(folder / self.file))

    def load(self, folder: Path, threads: int | None = None) -> Runner:
        run_package = aoti_load_package(str(folder / self.file))

        def run(images: np.ndarray) -> list[np.ndarray]:
            with torch.inference_mode():
                found = run_package(torch.from_numpy(images))
            found = (found,) if isinstance(found, torch.Tensor) else found
            return [one.numpy() for one in found]

        return run

    def operators(self, folder: Path) -> Counter[str]:
        raise NotImplementedError
