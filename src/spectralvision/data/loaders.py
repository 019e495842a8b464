"""Data loaders for training, evaluation and inference."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from spectralvision.data.augmentation import SizeRange
from spectralvision.data.images import Images, Stream
from spectralvision.data.samplers import (
    SINGLE_PROCESS,
    EpochBatchSampler,
    EpochSampler,
    Partition,
)
from spectralvision.data.samples import NumberedStream, ReadableSamples, Samples, StreamedSamples
from spectralvision.data.transforms import SampleTransform
from spectralvision.data.workers import TrackedLoader
from spectralvision.runs import UserError

Collate: TypeAlias = Callable[[list[tuple[Any, Any]]], Any]
"""A list of (input, target) -> a batch (inputs, targets)."""


class ImageBatch(NamedTuple):
    """A batch for inference: the images that can be read, and the others with the reason."""

    images: Tensor
    """(B, 3, H, W), or what `collate` makes of the inputs; empty if no image can be read."""
    targets: Any
    """Collated targets of the images that can be read; None if there are none."""
    rows: list[int]
    """Indices of the images that can be read, (B,).

    For a stream: running numbers of each worker.
    """
    failures: list[tuple[int, str]]
    """Index of each image that cannot be read, and why."""

    @property
    def num_images(self) -> int:
        """Return the number of images, readable or not."""
        return len(self.rows) + len(self.failures)


def collate_lists(samples: list[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    """Return the inputs and the targets as lists, for images of different sizes."""
    return [one for one, _ in samples], [target for _, target in samples]


def build_train_loader(
    images: Images | Stream,
    transform: SampleTransform,
    batch_size: int,
    seed: int,
    workers: int,
    partition: Partition = SINGLE_PROCESS,
    *,
    repeats: int = 1,
    size_range: SizeRange | None = None,
    sized_transforms: Mapping[int, SampleTransform] | None = None,
    collate: Collate | None = None,
) -> TrackedLoader:
    """Return a loader of the micro-batches (inputs, targets) of this rank, in shuffled order.

    Args:
        images: Images with targets.
        transform: (image, target) -> (input, target).
        batch_size: Images in a batch, over all ranks and accumulation steps.
        seed: Seed of the order and of the transforms.
        workers: Worker processes.
        partition: This rank's fraction of each batch.
        repeats: See `EpochSampler`.
        size_range: See `EpochBatchSampler`.
        sized_transforms: The transform to each size of `size_range`, by size in pixels.
        collate: Makes a batch of a list of samples (default: torch's `default_collate`).

    Raises:
        UserError: A stream with several ranks, accumulation steps, repeats or sizes, which need
            images by index.
    """
    if isinstance(images, Stream):
        return _build_stream_train_loader(
            images, transform, batch_size, workers, partition, repeats, size_range, collate
        )
    samples = Samples(images, transform, seed, sized_transforms=sized_transforms)
    sampler = EpochSampler(len(images), seed, repeats)
    batches = EpochBatchSampler(sampler, batch_size, partition, size_range)
    return TrackedLoader(samples, batch_sampler=batches, **_loader_options(workers, collate))


def _build_stream_train_loader(
    stream: Stream,
    transform: SampleTransform,
    batch_size: int,
    workers: int,
    partition: Partition,
    repeats: int,
    size_range: SizeRange | None,
    collate: Collate | None,
) -> TrackedLoader:
    if partition.micro_batches > 1:
        raise UserError(
            "a stream cannot be divided among --devices, --num-nodes or --accumulate: "
            "use a reader by index."
        )
    if repeats > 1 or size_range is not None:
        raise UserError(
            "--repeats, --min-size and --max-size need images by index, which a stream does not "
            "have: use a reader by index."
        )
    if hasattr(stream.dataset, "set_loader_cfg"):
        stream.dataset.set_loader_cfg(num_workers=workers)
    return TrackedLoader(
        StreamedSamples(stream, transform),
        batch_size=batch_size,
        drop_last=True,
        **_loader_options(workers, collate),
    )


def build_eval_loader(
    images: Images | Stream,
    transform: SampleTransform,
    batch_size: int,
    workers: int,
    partition: Partition = SINGLE_PROCESS,
    *,
    collate: Collate | None = None,
) -> TrackedLoader:
    """Return a loader of batches (inputs, targets) in order; an unreadable image is an error.

    See `plan_eval_batches` for how images are distributed among ranks.

    Raises:
        UserError: There are fewer images than ranks, or a stream with several ranks.
    """
    options = _loader_options(workers, collate)
    if isinstance(images, Stream):
        _require_one_rank(partition)
        return TrackedLoader(StreamedSamples(images, transform), batch_size=batch_size, **options)
    samples = Samples(images, transform)
    if partition.world_size == 1:
        return TrackedLoader(samples, batch_size=batch_size, **options)
    batches = plan_eval_batches(len(images), batch_size, partition)
    return TrackedLoader(samples, batch_sampler=batches, **options)


def build_inference_loader(
    images: Images | Stream,
    transform: SampleTransform,
    batch_size: int,
    workers: int,
    partition: Partition = SINGLE_PROCESS,
    *,
    batches: Sequence[Sequence[int]] | None = None,
    collate: Collate | None = None,
) -> TrackedLoader:
    """Return a loader of `ImageBatch` in order; unreadable images are listed in `failures`.

    Args:
        images: Images with targets.
        transform: (image, target) -> (input, target).
        batch_size: Images in a batch.
        workers: Worker processes.
        partition: Of several ranks each gets its batches of `plan_eval_batches`.
        batches: Indices of the images of each batch, in place of `batch_size` and `partition`.
        collate: Makes (inputs, targets) of a list of samples (default: torch's `default_collate`).

    Raises:
        UserError: There are fewer images than ranks, or a stream with several ranks.
    """
    options = _loader_options(workers, partial(_collate_readable, collate=collate))
    if isinstance(images, Stream):
        _require_one_rank(partition)
        return TrackedLoader(NumberedStream(images, transform), batch_size=batch_size, **options)
    if batches is None:
        batches = plan_eval_batches(len(images), batch_size, partition)
    return TrackedLoader(ReadableSamples(images, transform), batch_sampler=batches, **options)


def plan_eval_batches(
    num_images: int, batch_size: int, partition: Partition = SINGLE_PROCESS
) -> Sequence[Sequence[int]]:
    """Return the batches of one rank as indices.

    All ranks together have every image once, and every rank has the same number of batches.

    Raises:
        UserError: There are fewer images than ranks.
    """
    rank, world_size, _ = partition
    if world_size == 1:
        return split_into_batches(range(num_images), batch_size)
    if num_images < world_size:
        raise UserError(
            f"{num_images} images cannot be evaluated by {world_size} processes: use fewer "
            "--devices."
        )
    # As many batches as needed, but no more than there are images for each rank: none is empty
    batches_per_rank = min(-(-num_images // (batch_size * world_size)), num_images // world_size)
    batches = np.array_split(np.arange(num_images), batches_per_rank * world_size)
    return [batch.tolist() for batch in batches[rank::world_size]]


def split_into_batches(rows: range, batch_size: int) -> list[range]:
    """Return consecutive ranges of `batch_size` rows; the last may be smaller."""
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


def _require_one_rank(partition: Partition) -> None:
    if partition.world_size > 1:
        raise UserError(
            "a stream cannot be divided among several processes: use a reader by index, or "
            "--devices 1."
        )


def _collate_readable(items: list[tuple[int, Any]], collate: Collate | None) -> ImageBatch:
    """Return a batch of (index, sample) and (index, error message) items."""
    samples = [(row, sample) for row, sample in items if not isinstance(sample, str)]
    failures = [(row, reason) for row, reason in items if isinstance(reason, str)]
    if not samples:
        return ImageBatch(torch.empty(0), None, [], failures)
    images, targets = (collate or default_collate)([sample for _, sample in samples])
    return ImageBatch(images, targets, [row for row, _ in samples], failures)


def _loader_options(workers: int, collate: Collate | None) -> dict[str, Any]:
    return {
        "num_workers": workers,
        "pin_memory": torch.cuda.is_available(),
        "collate_fn": collate,
    }
