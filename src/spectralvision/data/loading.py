"""Batches. What happens to a sample is a function of (seed, epoch, index), never of workers or of what came before."""

import itertools
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from spectralvision.data.datasets import ArrayImages, Images, Stream, Subset
from spectralvision.runs import UserError

Transform = Callable[[Image.Image], Tensor]


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Inside the block Python's, NumPy's and torch's generators start from `key`; afterwards they are as before."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(key).generate_state(2)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.default_generator.manual_seed(int(words[0]) << 32 | int(words[1]))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


class Samples(Dataset[tuple[Tensor, int]]):
    """Transformed images. A key is an index, or (epoch, index) for a random transform."""

    def __init__(self, images: Images, transform: Transform, seed: int = 0) -> None:
        self.images, self.transform, self.seed = images, transform, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Tensor, int]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        image = self.images.image(index)
        with seeded(self.seed, epoch, index):
            return self.transform(image), int(self.images.labels[index])


class StreamedSamples(IterableDataset[tuple[Tensor, int]]):
    """Transformed images of a stream."""

    def __init__(self, stream: Stream, transform: Transform) -> None:
        self.stream, self.transform = stream, transform

    def __len__(self) -> int:
        return len(self.stream)

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        for image, label in self.stream:
            yield self.transform(image), label


class Attempt(NamedTuple):
    """A batch of what could be read."""

    images: Tensor  # (B, 3, H, W); empty where nothing could be read
    rows: list[int]  # which images these are, (B,)
    failures: list[tuple[int, str]]  # which could not be read, and why


class _Attempts(Samples):
    """One image at a time, or the sentence on why it cannot be read."""

    def __getitem__(self, key: Any) -> tuple[Any, Any]:
        try:
            return key, super().__getitem__(key)[0]
        except UserError as error:
            return key, str(error)


class EpochSampler(Sampler[tuple[int, int]]):
    """Every index once, in an order that is a function of (seed, epoch); yields (epoch, index)."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed, self.epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        return iter([(self.epoch, int(index)) for index in order])


def train_loader(
    images: Images | Stream, transform: Transform, batch_size: int, seed: int, workers: int
) -> DataLoader[Any]:
    """Shuffled batches of (B, 3, H, W) and (B,); a last one of a single image is left out, as batch norm needs two."""
    options = _options(workers)
    if isinstance(images, Stream):
        if hasattr(images.dataset, "set_loader_cfg"):
            images.dataset.set_loader_cfg(num_workers=workers)
        return DataLoader(StreamedSamples(images, transform), batch_size=batch_size, drop_last=True, **options)
    samples = Samples(images, transform, seed)
    sampler, alone = EpochSampler(len(images), seed), len(images) % batch_size == 1
    return DataLoader(samples, batch_size=batch_size, sampler=sampler, drop_last=alone, **options)


def eval_loader(images: Images | Stream, transform: Transform, batch_size: int, workers: int) -> DataLoader[Any]:
    """Batches in order, every image once."""
    samples = StreamedSamples(images, transform) if isinstance(images, Stream) else Samples(images, transform)
    return DataLoader(samples, batch_size=batch_size, **_options(workers))


def attempt_loader(
    images: Images, transform: Transform, batches: Sequence[Sequence[int]], workers: int
) -> DataLoader[Any]:
    """The images of each of `batches` as `Attempt`, in order; those that cannot be read stand apart."""
    attempts = _Attempts(images, transform)
    options = _options(workers)
    return DataLoader(attempts, batch_sampler=batches, collate_fn=_sorted_out, **options)  # type: ignore[arg-type]


def in_batches(rows: range, batch_size: int) -> list[range]:
    """Consecutive rows, `batch_size` at a time; the last batch may be smaller."""
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


def _sorted_out(samples: list[tuple[int, Tensor | str]]) -> Attempt:
    good = [(row, image) for row, image in samples if isinstance(image, Tensor)]
    failures = [(row, reason) for row, reason in samples if isinstance(reason, str)]
    images = torch.stack([image for _, image in good]) if good else torch.empty(0)
    return Attempt(images, [row for row, _ in good], failures)


def num_workers(images: Images | Stream, wanted: int | str = "auto") -> int:
    """Worker processes: as wanted; auto: none for tiny images in memory, else one a core and at most eight."""
    if wanted != "auto":
        return int(wanted)
    base = images
    while isinstance(base, Subset):
        base = base.base
    if isinstance(base, ArrayImages):
        return 0
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def median_side(images: Images | Stream, sample: int = 64) -> float:
    """The median shorter side of some of the images, evenly spread over the set, pixels."""
    if isinstance(images, Stream):
        sides = [min(image.size) for image, _ in itertools.islice(images, sample)]
    else:
        indices = np.unique(np.linspace(0, len(images) - 1, num=min(sample, len(images))).astype(int))
        sides = [min(images.image(int(index)).size) for index in indices]
    return float(np.median(sides))


def _options(workers: int) -> dict[str, Any]:
    return {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "pin_memory": torch.cuda.is_available(),
    }
