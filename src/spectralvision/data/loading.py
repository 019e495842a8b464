"""Batches. What happens to a sample is a function of (seed, epoch, index, repeat), not of workers or the past."""

import atexit
import itertools
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from spectralvision.data.datasets import ArrayImages, Images, Stream, Subset
from spectralvision.data.sampling import ALONE, EpochSampler, Key, PartBatches, Scales, Share
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
    """Transformed images. A key is an index, or a `Key` for a random transform; `sized` are the transforms to other
    sides than that of `transform`."""

    def __init__(
        self, images: Images, transform: Transform, seed: int = 0, *, sized: Mapping[int, Transform] | None = None
    ) -> None:
        self.images, self.transform, self.seed, self.sized = images, transform, seed, sized or {}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: int | tuple[int, ...]) -> tuple[Tensor, int]:
        epoch, index, repeat, size = Key(*key) if isinstance(key, tuple) else Key(0, key)
        image = self.images.image(index)
        transform = self.transform if size is None else self.sized[size]
        with seeded(self.seed, epoch, index, repeat):
            return transform(image), int(self.images.labels[index])


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


def train_loader(
    images: Images | Stream,
    transform: Transform,
    batch_size: int,
    seed: int,
    workers: int,
    share: Share = ALONE,
    kind: Callable[[Images, Transform, int], Samples] = Samples,
    repeats: int = 1,
    scales: Scales | None = None,
) -> DataLoader[Any]:
    """Shuffled batches of (B, 3, H, W) and (B,), of which this process gets its share.

    Another `kind` of samples may hold more than image and label. `repeats` and `scales` are those of `EpochSampler` and
    `PartBatches`.

    Raises:
        UserError: A stream over several processes, in portions, with repeats or scales: it has no image by its number.
    """
    options = _options(workers)
    if isinstance(images, Stream):
        if share.processes * share.portions > 1:
            raise UserError(
                "a stream cannot be divided over --devices, --num-nodes or --accumulate: use a reader by index."
            )
        if repeats > 1 or scales is not None:
            raise UserError("--repeats, --min-size and --max-size need images by number, which a stream has not.")
        if hasattr(images.dataset, "set_loader_cfg"):
            images.dataset.set_loader_cfg(num_workers=workers)
        return DataLoader(StreamedSamples(images, transform), batch_size=batch_size, drop_last=True, **options)
    batches = PartBatches(EpochSampler(len(images), seed, repeats), batch_size, share, scales)
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


def reader_died(error: BaseException) -> bool:
    """Whether an error says that a process that reads images has died."""
    return "DataLoader worker" in str(error)


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


@atexit.register
def _end_readers() -> None:
    """Kills what a broken-off epoch has left of its readers. Python would ask them by SIGTERM to end, which they do
    not hear, and wait for them without end."""
    if readers := multiprocessing.active_children():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's would tell of a reader that has died
        for reader in readers:
            reader.kill()
            reader.join()
