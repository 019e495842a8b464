"""Compare an exported file with PyTorch, on its own runtime."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from spectralvision.data.seeding import temporary_seed
from spectralvision.export.base import Network, Runner

NUM_IMAGES = 16
COARSE_SIDE = 6
"""Of the random values that smooth images are made of."""


class Difference(NamedTuple):
    """How far an output is from that of PyTorch."""

    output: str
    largest: float
    """The largest difference, relative to the largest absolute value of the output."""
    agreement: float
    """The fraction of the places whose largest class is the same: axis 1."""


def smooth_images(size: tuple[int, int], number: int = NUM_IMAGES, seed: int = 0) -> Tensor:
    """Return (N, 3, H, W) random images without fine detail, from 0 to 1."""
    with temporary_seed(seed):
        coarse = torch.rand(number, 3, COARSE_SIDE, COARSE_SIDE)
    images = interpolate(coarse, size, mode="bicubic", align_corners=False)
    return images.clamp(0, 1).contiguous()


def compare(network: Network, runner: Runner, images: Tensor) -> list[Difference]:
    """Return the difference of each output over images (N, 3, H, W), in batches of the example."""
    size = len(network.example)
    expected: list[list[np.ndarray]] = []
    found: list[list[np.ndarray]] = []
    for start in range(0, len(images) - size + 1, size):
        batch = images[start : start + size]
        expected.append(network.run(batch))
        found.append(runner(batch.numpy()))
    pairs = zip(zip(*expected, strict=True), zip(*found, strict=True), strict=True)
    return [
        _difference(name, np.concatenate(one), np.concatenate(other))
        for name, (one, other) in zip(network.outputs, pairs, strict=True)
    ]


def _difference(name: str, expected: np.ndarray, found: np.ndarray) -> Difference:
    if expected.shape != found.shape:
        return Difference(name, float("inf"), 0.0)
    scale = max(float(np.abs(expected).max()), 1e-12)
    largest = float(np.abs(expected - found).max()) / scale
    same = expected.argmax(axis=1) == found.argmax(axis=1)
    return Difference(name, largest if np.isfinite(largest) else float("inf"), float(same.mean()))
