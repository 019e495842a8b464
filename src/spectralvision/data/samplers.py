"""Samplers: batches as a function of (seed, epoch, number), independent of workers."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler

from spectralvision.data.augmentation import SizeRange


class SampleKey(NamedTuple):
    """What a sample depends on, besides the seed."""

    epoch: int
    image: int
    repeat: int = 0
    """Variant of this image within the epoch."""
    size: int | None = None
    """Side of the square image in pixels; None: the size of the default transform."""


class Partition(NamedTuple):
    """The fraction of a batch that one rank processes, in one or more accumulation steps."""

    rank: int = 0
    world_size: int = 1
    accumulation_steps: int = 1

    @property
    def micro_batches(self) -> int:
        """Number of micro-batches in a batch: one per rank and accumulation step."""
        return self.world_size * self.accumulation_steps


SINGLE_PROCESS = Partition()


class EpochSampler(Sampler[SampleKey]):
    """One key per image of the data set, in an order that is a function of (seed, epoch).

    With `repeats` (repeated augmentation, Hoffer et al., 2020; timm's RepeatAugSampler without its
    rounding to 256) an epoch has that many variants of one image in `repeats`, next to each other,
    so that they are in one batch.
    """

    def __init__(self, length: int, seed: int, repeats: int = 1) -> None:
        self.length = length
        self.seed = seed
        self.repeats = repeats
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; the trainer calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[SampleKey]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        keys = []
        for position in range(self.length):
            image, repeat = divmod(position, self.repeats)
            keys.append(SampleKey(self.epoch, int(order[image]), repeat))
        return iter(keys)


class BatchSlice(NamedTuple):
    """One batch of an epoch: `length` keys from `start` on, all of image size `size`."""

    start: int
    length: int
    size: int | None


class EpochBatchSampler(Sampler[list[SampleKey]]):
    """The micro-batches of one rank, as lists of keys.

    All ranks and accumulation steps together process each image of a batch once. Images that mixup
    pairs (the first with the last, the second with the last but one ...) stay in one micro-batch. A
    last batch with fewer than two images per micro-batch is dropped, as batch norm needs two.

    With `size_range` (the variable-batch sampler of CVNets, Mehta & Rastegari, 2022) each batch has
    one image size, and all sizes are used equally often, up to one, in an order that is a function
    of (seed, epoch). CVNets draws each size at random; here every epoch has the same number of
    updates and uses each image as often as without size range.
    """

    def __init__(
        self,
        sampler: EpochSampler,
        batch_size: int,
        partition: Partition = SINGLE_PROCESS,
        size_range: SizeRange | None = None,
    ) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.partition = partition
        smallest = 2 * partition.micro_batches
        self._plan = _plan_batches(len(sampler), batch_size, smallest, size_range)
        self._slices: list[BatchSlice] = []
        self._slices_epoch = -1
        self._resume_epoch = 0
        self._resume_step = 0

    def resume_at(self, epoch: int, micro_batches: int) -> None:
        """Skip the first `micro_batches` of `epoch`; later epochs are complete."""
        self.sampler.set_epoch(epoch)
        self._resume_epoch = epoch
        self._resume_step = micro_batches

    def batch_size_of(self, number: int) -> int:
        """Return the number of images of the complete batch that has micro-batch `number`."""
        return self._epoch_slices()[number // self.partition.accumulation_steps].length

    def mean_batch_size(self) -> float:
        """Return the mean number of images in a batch."""
        return sum(length for length, _ in self._plan) / max(len(self._plan), 1)

    def __len__(self) -> int:
        return len(self._plan) * self.partition.accumulation_steps

    def __iter__(self) -> Iterator[list[SampleKey]]:
        keys = list(self.sampler)
        slices = self._epoch_slices()
        rank, world_size, accumulation_steps = self.partition
        first = self._resume_step if self._resume_epoch == self.sampler.epoch else 0
        for number in range(first, len(self)):
            batch_number, step = divmod(number, accumulation_steps)
            start, length, size = slices[batch_number]
            batch = [key._replace(size=size) for key in keys[start : start + length]]
            micro_batch = step * world_size + rank
            yield _select_micro_batch(batch, micro_batch, self.partition.micro_batches)

    def _epoch_slices(self) -> list[BatchSlice]:
        """Return the batches of the current epoch in their order."""
        epoch = self.sampler.epoch
        if self._slices_epoch == epoch:
            return self._slices
        plan = self._plan
        if any(size is not None for _, size in plan):
            order = np.random.default_rng((self.sampler.seed, epoch, 1)).permutation(len(plan))
            plan = [plan[number] for number in order]
        self._slices = []
        start = 0
        for length, size in plan:
            self._slices.append(BatchSlice(start, length, size))
            start += length
        self._slices_epoch = epoch
        return self._slices


def _plan_batches(
    images: int, batch_size: int, smallest: int, size_range: SizeRange | None
) -> list[tuple[int, int | None]]:
    """Return (number of images, image size) of all batches of an epoch.

    With a size range every batch but the last is a multiple of `smallest`, the smallest batch that
    can be divided.
    """
    cycle: list[tuple[int, int | None]] = [(batch_size, None)]
    if size_range is not None:
        cycle = []
        for side in size_range.sizes():
            same_pixels = batch_size * size_range.base**2 / side**2
            cycle.append((max(smallest, round(same_pixels / smallest) * smallest), side))
    plan: list[tuple[int, int | None]] = []
    while images >= smallest:
        length, size = cycle[len(plan) % len(cycle)]
        plan.append((min(length, images), size))
        images -= plan[-1][0]
    return plan


def _select_micro_batch(batch: list[Any], number: int, count: int) -> list[Any]:
    """Return micro-batch `number` of `count`: a slice of the first half, and its mirror image."""
    half = len(batch) // 2
    start = half * number // count
    stop = half * (number + 1) // count
    middle = batch[half : len(batch) - half] if number == count - 1 else []
    return batch[start:stop] + middle + batch[len(batch) - stop : len(batch) - start]
