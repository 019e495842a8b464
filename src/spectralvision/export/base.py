"""What is exported, and what a runtime has to provide.

A runtime is a file beside this one, a line in `registry.py`, and `standalone/run_NAME.py`, which
loads what it has written (`web.py` brings a page instead). It takes a network, an example and
names, and knows no task.
"""

import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from spectralvision.export.assemble import assemble
from spectralvision.export.constants import AxisProduct, ProductForm
from spectralvision.runs import UserError, require_extra

Runner = Callable[[np.ndarray], list[np.ndarray]]
"""(B, 3, H, W) float32 -> the outputs, in the order of their names."""
INPUT = "image"
"""Name of the input."""
SCRIPT = "run.py"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network for export.

    Attributes:
        module: In evaluation mode, on the CPU: (B, 3, H, W) -> a tensor, or a tuple of them, each
            with the batch first.
        example: (B, 3, H, W) float32.
        outputs: A name for each tensor.
        is_dynamic: Whether the batch size of the exported file may vary.
    """

    module: nn.Module
    example: Tensor
    outputs: tuple[str, ...]
    is_dynamic: bool = False

    def run(self, images: Tensor) -> list[np.ndarray]:
        """Return the outputs for (B, 3, H, W) images, computed by PyTorch."""
        with torch.inference_mode():
            found = self.module(images)
        found = (found,) if isinstance(found, Tensor) else found
        return [one.numpy() for one in found]

    def with_products(self, form: ProductForm) -> "Network":
        """Return a copy in which products with constants have another form."""
        module = deepcopy(self.module)
        for one in module.modules():
            if isinstance(one, AxisProduct):
                one.form = form
        return replace(self, module=module)

    def export(self) -> torch.export.ExportedProgram:
        """Return the program of `torch.export`."""
        shapes = ({0: torch.export.Dim("batch")},) if self.is_dynamic else None
        # From a batch of one the exporter would conclude that there is always one image
        example = self.example.expand(2, -1, -1, -1) if self.is_dynamic else self.example
        with torch.no_grad():
            return torch.export.export(self.module, (example,), dynamic_shapes=shapes)


class Target(ABC):
    """A runtime and its file format."""

    name: ClassVar[str]
    """Of `export --target`, and of `standalone/run_NAME.py`."""
    title: ClassVar[str]
    """Of the runtime, for people."""
    file: ClassVar[str]
    """Name of the exported file, or folder."""
    packages: ClassVar[tuple[str, ...]]
    """That have to be installed to write it."""
    run_packages: ClassVar[tuple[str, ...]]
    """Distributions that have to be installed to run it, besides NumPy and Pillow."""
    extra: ClassVar[Literal["export", "mobile"]]
    """That installs them."""
    tolerance: ClassVar[float] = 1e-3
    """Largest difference to PyTorch, relative to the largest value of an output."""
    has_dynamic_batch: ClassVar[bool] = False
    """Whether one file takes any number of images."""
    has_int8: ClassVar[bool] = False
    """Whether there is `write_int8`."""
    int8_packages: ClassVar[tuple[str, ...]] = ()
    """That `write_int8` needs too."""
    runs_on: ClassVar[str | None] = None
    """The only platform, as `sys.platform` names it, that runs the file; None for all."""
    verified_with: ClassVar[dict[str, Any]] = {}
    """Options of the loader with which the file computes in float32."""

    def require(self, int8: bool = False) -> None:
        """Raise `UserError` if a package is missing."""
        require_extra(self.extra, *self.packages, *(self.int8_packages if int8 else ()))

    def check(self, output: str, batch: int | str) -> None:
        """Check what the file should return, and its number of images or "dynamic".

        Raises:
            UserError: This runtime does not support it.
        """
        if batch == "dynamic" and not self.has_dynamic_batch:
            raise UserError(
                f"{self.title} has no batches of varying size: give --batch a number of images."
            )

    def versions(self) -> dict[str, str]:
        """Return the version of each package that runs the file."""
        return {name: version(name) for name in self.run_packages}

    def runs_here(self) -> bool:
        """Return whether this machine runs the file."""
        return self.runs_on in (None, sys.platform)

    @abstractmethod
    def write(self, network: Network, folder: Path) -> None:
        """Write `file` into a folder.

        Raises:
            Exception: Whatever the converter raises.
        """

    def write_int8(self, network: Network, folder: Path, images: np.ndarray) -> None:
        """Write `file` with INT8 weights and activations, calibrated on images (N, 3, H, W)."""
        raise NotImplementedError

    def load(self, folder: Path, threads: int | None = None, **options: Any) -> Runner:
        """Return the exported network, ready to run on the CPU."""
        module = import_module(f"spectralvision.export.standalone.run_{self.name}")
        runner: Runner = module.load(folder, threads, **options)
        return runner

    def write_program(self, folder: Path, script: str, facts: Mapping[str, Any]) -> None:
        """Write what uses the file, here run.py.

        Args:
            folder: Of the file.
            script: The file of `standalone/` that uses the outputs.
            facts: The result of the command.
        """
        parts = ("prepare_image", f"run_{self.name}", script)
        text = assemble(parts, f"Run {self.file} with {self.title}: python {SCRIPT} IMAGE ...")
        (folder / SCRIPT).write_text(text, encoding="utf-8")

    def command(self, folder: str) -> str:
        """Return the shell command that uses a deployment folder."""
        return f"python {quote(folder)}/{SCRIPT} PHOTO.jpg"

    def usage(self) -> str:
        """Return the end of the card: what the program does, and how to start it."""
        packages = " ".join(["numpy", "pillow", *self.run_packages])
        return (
            f"`{SCRIPT}` does both:\n\n    pip install {packages}\n    python {SCRIPT} PHOTO.jpg\n"
        )

    @abstractmethod
    def operators(self, folder: Path, network: Network) -> Counter[str]:
        """Return how often each operator occurs in the file that a network was written to."""
