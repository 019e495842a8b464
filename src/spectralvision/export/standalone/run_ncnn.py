"""ncnn."""

from collections.abc import Callable
from pathlib import Path

import ncnn
import numpy as np


def load(folder: Path, threads: int | None = None) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return model.ncnn.param and model.ncnn.bin, ready to run in float32."""
    net = ncnn.Net()
    net.opt.num_threads = threads or net.opt.num_threads
    net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    net.load_param(str(folder / "model.ncnn.param"))
    net.load_model(str(folder / "model.ncnn.bin"))

    def run_one(image: np.ndarray) -> list[np.ndarray]:
        extractor = net.create_extractor()
        extractor.input(net.input_names()[0], ncnn.Mat(np.ascontiguousarray(image)).clone())
        return [np.array(extractor.extract(name)[1])[None] for name in net.output_names()]

    def run(images: np.ndarray) -> list[np.ndarray]:
        found = [run_one(image) for image in images]
        return [np.concatenate(one) for one in zip(*found, strict=True)]

    return run
