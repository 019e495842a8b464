"""LiteRT."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def load(folder: Path, threads: int | None = None) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return model.tflite, ready to run."""
    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=threads)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    outputs = [one["index"] for one in interpreter.get_output_details()]

    def run(images: np.ndarray) -> list[np.ndarray]:
        interpreter.set_tensor(source["index"], images)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return run
