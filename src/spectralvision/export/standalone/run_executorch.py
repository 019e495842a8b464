"""ExecuTorch, whose Python package needs PyTorch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from executorch.runtime import Runtime


def load(folder: Path, threads: int | None = None) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return model.pte, ready to run; the runtime chooses the number of threads."""
    method = Runtime.get().load_program(folder / "model.pte").load_method("forward")

    def run(images: np.ndarray) -> list[np.ndarray]:
        return [one.numpy().copy() for one in method.execute([torch.from_numpy(images)])]

    return run
