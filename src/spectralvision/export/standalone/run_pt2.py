"""PyTorch, without the code that the model was written in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch._inductor import aoti_load_package  # documented: PyTorch's name for it has an underscore


def load(folder: Path, threads: int | None = None) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return model.pt2, ready to run; the number of threads is that of all of PyTorch."""
    if threads is not None:
        torch.set_num_threads(threads)
    package = aoti_load_package(str(folder / "model.pt2"))

    def run(images: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            found = package(torch.from_numpy(images))
        found = (found,) if isinstance(found, torch.Tensor) else found
        return [one.numpy() for one in found]

    return run
