"""OpenVINO."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino


def load(
    folder: Path, threads: int | None = None, precision: str | None = None
) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return model.xml, ready to run in a precision such as f32; None: the processor's default."""
    options: dict[str, Any] = {}
    if precision is not None:
        options["INFERENCE_PRECISION_HINT"] = precision
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    compiled = openvino.Core().compile_model(folder / "model.xml", "CPU", options)

    def run(images: np.ndarray) -> list[np.ndarray]:
        found = compiled(images)
        return [np.array(found[output]) for output in compiled.outputs]

    return run
