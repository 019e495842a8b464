"""LiteRT."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def load(folder: Path, threads: int | None = None) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return model.tflite, ready to run."""
    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=threads)
    call = interpreter.get_signature_runner()
    (source,) = call.get_input_details()
    names = sorted(call.get_output_details(), key=lambda name: int(name.rpartition("_")[2]))

    def run(images: np.ndarray) -> list[np.ndarray]:
        found = call(**{source: images})
        return [found[name] for name in names]

    return run
