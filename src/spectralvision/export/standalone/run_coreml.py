"""Core ML, on macOS only."""

from collections.abc import Callable
from pathlib import Path

import coremltools
import numpy as np


def load(folder: Path, threads: int | None = None) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return model.mlpackage, ready to run; Core ML chooses the number of threads."""
    model = coremltools.models.MLModel(str(folder / "model.mlpackage"))
    names = [one.name for one in model.get_spec().description.output]

    def run(images: np.ndarray) -> list[np.ndarray]:
        found = model.predict({"image": images})
        return [np.asarray(found[name]) for name in names]

    return run
