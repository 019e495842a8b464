"""Batches. What happens to a sample is a function of (seed, epoch, index), never of workers or of what came before."""

import itertools
import os
import random
import signal
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


class Share(NamedTuple):
    """What a process takes of a batch: its part in each of some portions, which it computes one after the other."""

    rank: int = 0
    processes: int = 1
    portions: int = 1


ALONE = Share()


class PartBatches(Sampler[list[tuple[int, int]]]):
    """The parts of each batch that are this process's, as lists of (epoch, index).

    All processes together take each image of a batch once. Images that mixup pairs (the first with the last, the second
    with the last but one ...) stay together. A last batch with fewer than two images a part is left out, as batch norm
    needs two.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int, share: Share = ALONE) -> None:
        self.sampler, self.batch_size, self.share = sampler, batch_size, share
        self._done = (0, 0)  # of this epoch, so many parts

    def go_on(self, epoch: int, done: int) -> None:
        """Begins with this epoch, after so many of its parts; later epochs are whole."""
        self.sampler.set_epoch(epoch)
        self._done = epoch, done

    def whole(self, number: int) -> int:
        """Images in the batch that part `number` of an epoch belongs to, over all processes and portions."""
        start = number // self.share.portions * self.batch_size
        return min(self.batch_size, len(self.sampler) - start)

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)
        return (full + (rest >= 2 * self.share.processes * self.share.portions)) * self.share.portions

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        keys, (rank, processes, portions) = list(self.sampler), self.share
        epoch, done = self._done
        for number in range(done if epoch == self.sampler.epoch else 0, len(self)):
            start, portion = number // portions * self.batch_size, number % portions
            batch = keys[start : start + self.batch_size]
            yield _part(batch, portion * processes + rank, processes * portions)


def _part(batch: list[Any], number: int, parts: int) -> list[Any]:
    """Part `number` of a batch: as many of its first half, and their mirror images in the second."""
    half = len(batch) // 2
    start, stop = half * number // parts, half * (number + 1) // parts
    middle = batch[half : len(batch) - half] if number == parts - 1 else []
    return batch[start:stop] + middle + batch[len(batch) - stop : len(batch) - start]


def train_loader(
    images: Images | Stream,
    transform: Transform,
    batch_size: int,
    seed: int,
    workers: int,
    share: Share = ALONE,
    kind: Callable[[Images, Transform, int], Samples] = Samples,
) -> DataLoader[Any]:
    """Shuffled batches of (B, 3, H, W) and (B,), of which this process gets its share.

    Another `kind` of samples may hold more than image and label.

    Raises:
        UserError: A stream over several processes or in portions, which nothing divides evenly.
    """
    options = _options(workers)
    if isinstance(images, Stream):
        if share.processes * share.portions > 1:
            raise UserError(
                "a stream cannot be divided over --devices, --num-nodes or --accumulate: use a reader by index."
            )
        if hasattr(images.dataset, "set_loader_cfg"):
            images.dataset.set_loader_cfg(num_workers=workers)
        return DataLoader(StreamedSamples(images, transform), batch_size=batch_size, drop_last=True, **options)
    batches = PartBatches(EpochSampler(len(images), seed), batch_size, share)
    return DataLoader(kind(images, transform, seed), batch_sampler=batches, **options)


def eval_loader(
    images: Images | Stream, transform: Transform, batch_size: int, workers: int, share: Share = ALONE
) -> DataLoader[Any]:
    """Batches in order, every image once: of several processes each gets equally many batches, and no image twice.

    Raises:
        UserError: There are fewer images than processes, or a stream, which nothing divides evenly.
    """
    if isinstance(images, Stream):
        if share.processes > 1:
            raise UserError("a stream cannot be divided over several processes: use a reader by index.")
        return DataLoader(StreamedSamples(images, transform), batch_size=batch_size, **_options(workers))
    samples = Samples(images, transform)
    if share.processes == 1:
        return DataLoader(samples, batch_size=batch_size, **_options(workers))
    if len(images) < share.processes:
        raise UserError(f"{len(images)} images cannot be judged by {share.processes} processes: see --devices.")
    rounds = min(-(-len(images) // (batch_size * share.processes)), len(images) // share.processes)  # none is empty
    batches = [part.tolist() for part in np.array_split(np.arange(len(images)), rounds * share.processes)]
    return DataLoader(samples, batch_sampler=batches[share.rank :: share.processes], **_options(workers))


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


def num_workers(images: Images | Stream, wanted: int | str = "auto", processes: int = 1) -> int:
    """Worker processes of each of the `processes` on this machine: as wanted; auto: none for tiny images in memory,
    else one a core and at most eight."""
    if wanted != "auto":
        return int(wanted)
    base = images
    while isinstance(base, Subset):
        base = base.base
    if isinstance(base, ArrayImages):
        return 0
    return max(1, min(8, num_cores() // processes))


def num_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        "worker_init_fn": _unasked if workers else None,
    }


def _unasked(worker: int) -> None:
    """A scheduler sends SIGTERM to all processes at once; the reader's own process ends it when it has finished."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
