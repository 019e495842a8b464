"""Compare an exported file with PyTorch, on its own runtime."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from spectralvision.data.seeding import temporary_seed
from spectralvision.export.base import Network, Runner, Target
from spectralvision.export.deployment import WITHOUT_CLASSES
from spectralvision.export.quantize import MIN_AGREEMENT
from spectralvision.runs import UserError

NUM_IMAGES = 16
COARSE_SIDE = 6
"""Of the random values that smooth images are made of."""
LATENCY_ROUNDS = 20
DYNAMIC_BATCH = 3
"""Images at once where any number has to work: another one than the exporter has seen."""


class Samples(NamedTuple):
    """Images on which a file is compared with PyTorch."""

    inputs: Tensor
    """(N, 3, H, W), as the network takes them."""
    source: str
    """Where they come from, for people."""
    labels: np.ndarray | None = None
    """(N,) in the order of the logits, of a classifier."""
    calibration: np.ndarray | None = None
    """(M, 3, H, W), for INT8."""


class Difference(NamedTuple):
    """How far an output is from that of PyTorch."""

    output: str
    largest: float
    """The largest difference, relative to the largest absolute value of the output."""
    agreement: float
    """The fraction of the places whose largest value along axis 1 is the same."""


def smooth_images(size: tuple[int, int], number: int = NUM_IMAGES, seed: int = 0) -> Tensor:
    """Return (N, 3, H, W) random images without fine detail, from 0 to 1."""
    with temporary_seed(seed):
        coarse = torch.rand(number, 3, COARSE_SIDE, COARSE_SIDE)
    images = interpolate(coarse, size, mode="bicubic", align_corners=False)
    return images.clamp(0, 1).contiguous()


def verify(
    target: Target,
    folder: Path,
    network: Network,
    samples: Samples,
    int8: bool = False,
    threads: int | None = None,
) -> dict[str, Any]:
    """Compare an exported file with the network it was made from, on its own runtime.

    Args:
        target: The runtime.
        folder: Of the file.
        network: The original.
        samples: The images.
        int8: Whether the file is quantized.
        threads: For the latency.

    Returns:
        differences (output -> largest, relative to the largest value, and agreement of the largest
        class), latency_ms (the median for one batch), images (those compared); for INT8 of labeled
        images also accuracy and accuracy_before; for a runtime that may compute in fewer bits
        default_precision, the differences then. Nothing where this machine has no such runtime.

    Raises:
        UserError: The file computes something else.
    """
    if not target.runs_here():
        return {"differences": None, "latency_ms": None, "images": None}

    # 1. The outputs of both
    size = DYNAMIC_BATCH if network.is_dynamic else len(network.example)
    inputs = samples.inputs.numpy()
    expected = _run_batches(lambda batch: network.run(torch.from_numpy(batch)), inputs, size)
    run = target.load(folder, **target.verified_with)
    found = _run_batches(run, inputs, size)

    # 2. Their differences
    differences = compare(network.outputs, expected, found)
    _check(target, differences, int8)
    result: dict[str, Any] = {
        "differences": {one.output: one._asdict() for one in differences},
        "latency_ms": measure_latency(target.load(folder, threads), network.example.numpy()),
        "images": samples.source,
    }
    if target.verified_with:
        default = _run_batches(target.load(folder), inputs, size)
        result["default_precision"] = {
            one.output: one._asdict() for one in compare(network.outputs, expected, default)
        }
    if samples.labels is not None and expected[0].ndim == 2:
        before, after = (_accuracy(one[0], samples.labels) for one in (expected, found))
        result |= {"accuracy_before": before, "accuracy": after}
    return result


def measure_latency(run: Runner, images: np.ndarray, rounds: int = LATENCY_ROUNDS) -> float:
    """Return the median time of a batch in milliseconds."""
    run(images)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run(images)
        seconds.append(time.perf_counter() - start)
    return round(1e3 * statistics.median(seconds), 3)


def compare(
    outputs: Sequence[str], expected: Sequence[np.ndarray], found: Sequence[np.ndarray]
) -> list[Difference]:
    """Return the difference of each output."""
    if len(expected) != len(found):
        return [Difference("outputs", float("inf"), 0.0)]
    return [
        _difference(name, one, other)
        for name, one, other in zip(outputs, expected, found, strict=True)
    ]


def _difference(name: str, expected: np.ndarray, found: np.ndarray) -> Difference:
    if expected.shape != found.shape:
        return Difference(name, float("inf"), 0.0)
    scale = max(float(np.abs(expected).max()), 1e-12)
    largest = float(np.abs(expected - found).max()) / scale
    same = expected.argmax(axis=1) == found.argmax(axis=1)
    return Difference(name, largest if np.isfinite(largest) else float("inf"), float(same.mean()))


def _check(target: Target, differences: Sequence[Difference], int8: bool) -> None:
    for one in differences:
        if int8 and one.agreement < MIN_AGREEMENT and one.output not in WITHOUT_CLASSES:
            raise UserError(
                f"the INT8 file agrees with PyTorch on {one.agreement:.1%} of the largest "
                f"classes, but {MIN_AGREEMENT:.0%} are needed: leave --int8 out, or calibrate on "
                "--data that is like the images the model was trained on."
            )
        if not int8 and one.largest > target.tolerance:
            raise UserError(
                f"{target.title} computes {one.output} {one.largest:.1e} from PyTorch, relative to "
                f"the largest value, but {target.tolerance:g} is the most: the file was removed."
            )


def _accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    return float((scores.argmax(axis=1) == labels).mean())


def _run_batches(run: Runner, images: np.ndarray, size: int) -> list[np.ndarray]:
    """Return the outputs for images (N, 3, H, W), in batches of a size; the last is filled up."""
    found: list[list[np.ndarray]] = []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        filled = np.concatenate([batch, *[batch[-1:]] * (size - len(batch))])
        found.append([one[: len(batch)] for one in run(np.ascontiguousarray(filled))])
    return [np.concatenate(one) for one in zip(*found, strict=True)]
