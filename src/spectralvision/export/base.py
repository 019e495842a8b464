"""What is exported, and what a runtime has to provide.

A runtime is a file beside this one and a line in `registry.py`. It takes a network, an example and
names, and knows no task.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from spectralvision.runs import UserError, require_extra

Runner = Callable[[np.ndarray], list[np.ndarray]]
"""(B, 3, H, W) float32 -> the outputs, in the order of their names."""
INPUT = "image"
"""Name of the input."""


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

    def export(self) -> torch.export.ExportedProgram:
        """Return the program of `torch.export`."""
        shapes = ({0: torch.export.Dim("batch")},) if self.is_dynamic else None
        with torch.no_grad():
            return torch.export.export(self.module, (self.example,), dynamic_shapes=shapes)


class Target(ABC):
    """A runtime and its file format."""

    name: ClassVar[str]
    """Of `export --target`."""
    title: ClassVar[str]
    """Of the runtime, for people."""
    file: ClassVar[str]
    """Name of the exported file, or folder."""
    packages: ClassVar[tuple[str, ...]]
    """That have to be installed."""
    extra: ClassVar[Literal["export", "mobile"]]
    """That installs them."""
    tolerance: ClassVar[float] = 1e-3
    """Largest difference to PyTorch, relative to the largest value of an output."""
    has_dynamic_batch: ClassVar[bool] = False
    """Whether one file takes any number of images."""

    def require(self) -> None:
        """Raise `UserError` if a package is missing."""
        require_extra(self.extra, *self.packages)

    @abstractmethod
    def write(self, network: Network, folder: Path) -> None:
        """Write `file` into a folder.

        Raises:
            Exception: Whatever the converter raises; see `errors.translate_conversion_errors`.
        """

    @abstractmethod
    def load(self, folder: Path, threads: int | None = None) -> Runner:
        """Return the exported network, ready to run on the CPU."""

    @abstractmethod
    def operators(self, folder: Path) -> Counter[str]:
        """Return how often each operator occurs in the file."""
