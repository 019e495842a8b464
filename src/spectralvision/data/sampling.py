"""Which images come in which batch: functions of (seed, epoch, number), however they are read and cut."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler


class Key(NamedTuple):
    """What a sample is a function of, beside the seed."""

    epoch: int
    image: int
    repeat: int = 0
    """Which of the variants of this image in this epoch."""
    size: int | None = None
    """Side of the square in pixels; None: the transform's own."""


class EpochSampler(Sampler[Key]):
    """So many keys an epoch as there are images, in an order that is a function of (seed, epoch).

    With `repeats` (repeated augmentation, Hoffer et al., 2020; timm's RepeatAugSampler without its rounding to 256) an
    epoch takes that many variants of one image in `repeats`, next to each other, so that they come in one batch.
    """

    def __init__(self, length: int, seed: int, repeats: int = 1) -> None:
        self.length, self.seed, self.repeats, self.epoch = length, seed, repeats, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Key]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        places = range(self.length)
        return iter([Key(self.epoch, int(order[at // self.repeats]), at % self.repeats) for at in places])


class Share(NamedTuple):
    """What a process takes of a batch: its part in each of some portions, which it computes one after the other."""

    rank: int = 0
    processes: int = 1
    portions: int = 1


ALONE = Share()


class Scales(NamedTuple):
    """Sides of training images: those from `least` to `most` that are multiples of `step`, pixels.

    A batch of side s holds base^2 / s^2 times the images, so that all have about equally many pixels.
    """

    least: int
    most: int
    base: int
    step: int = 32

    def sizes(self) -> list[int]:
        return list(range(-(-self.least // self.step) * self.step, self.most + 1, self.step))


class Cut(NamedTuple):
    """One batch of an epoch: the keys from `start` on, so many, at this side."""

    start: int
    length: int
    size: int | None


class PartBatches(Sampler[list[Key]]):
    """The parts of each batch that are this process's, as lists of keys.

    All processes together take each image of a batch once. Images that mixup pairs (the first with the last, the second
    with the last but one ...) stay together. A last batch with fewer than two images a part is left out, as batch norm
    needs two.

    With `scales` (the variable-batch sampler of CVNets, Mehta & Rastegari, 2022) the sides take turns, each as often as
    any other but for the last round, in an order that is a function of (seed, epoch). CVNets draws each anew; here an
    epoch has as many updates as any other, and takes each image as often as without.
    """

    def __init__(
        self, sampler: EpochSampler, batch_size: int, share: Share = ALONE, scales: Scales | None = None
    ) -> None:
        self.sampler, self.batch_size, self.share = sampler, batch_size, share
        self._lengths = _lengths(len(sampler), batch_size, 2 * share.processes * share.portions, scales)
        self._cuts: tuple[int, list[Cut]] = (-1, [])  # of an epoch
        self._done = (0, 0)  # of this epoch, so many parts

    def go_on(self, epoch: int, done: int) -> None:
        """Begins with this epoch, after so many of its parts; later epochs are whole."""
        self.sampler.set_epoch(epoch)
        self._done = epoch, done

    def whole(self, number: int) -> int:
        """Images in the batch that part `number` of an epoch belongs to, over all processes and portions."""
        return self._cuts_now()[number // self.share.portions].length

    def mean_length(self) -> float:
        """Images in a batch, on average."""
        return sum(length for length, _ in self._lengths) / max(len(self._lengths), 1)

    def __len__(self) -> int:
        return len(self._lengths) * self.share.portions

    def __iter__(self) -> Iterator[list[Key]]:
        keys, (rank, processes, portions) = list(self.sampler), self.share
        (epoch, done), cuts = self._done, self._cuts_now()
        for number in range(done if epoch == self.sampler.epoch else 0, len(self)):
            cut, portion = cuts[number // portions], number % portions
            batch = [key._replace(size=cut.size) for key in keys[cut.start : cut.start + cut.length]]
            yield _part(batch, portion * processes + rank, processes * portions)

    def _cuts_now(self) -> list[Cut]:
        """The batches of this epoch in their order."""
        epoch, lengths = self.sampler.epoch, self._lengths
        if self._cuts[0] == epoch:
            return self._cuts[1]
        if any(size is not None for _, size in lengths):
            order = np.random.default_rng((self.sampler.seed, epoch, 1)).permutation(len(lengths))
            lengths = [lengths[at] for at in order]
        starts = np.cumsum([0, *(length for length, _ in lengths)])
        cuts = [Cut(int(start), length, size) for start, (length, size) in zip(starts, lengths, strict=False)]
        self._cuts = epoch, cuts
        return cuts


def _lengths(images: int, batch_size: int, least: int, scales: Scales | None) -> list[tuple[int, int | None]]:
    """(images, side) of all batches of an epoch; every batch but the last is a multiple of `least` where sides vary."""
    turns: list[tuple[int, int | None]] = [(batch_size, None)]
    if scales is not None:
        pixels = batch_size * scales.base**2
        turns = [(max(least, round(pixels / size**2 / least) * least), size) for size in scales.sizes()]
    found: list[tuple[int, int | None]] = []
    while images >= least:
        length, size = turns[len(found) % len(turns)]
        found.append((min(length, images), size))
        images -= found[-1][0]
    return found


def _part(batch: list[Any], number: int, parts: int) -> list[Any]:
    """Part `number` of a batch: as many of its first half, and their mirror images in the second."""
    half = len(batch) // 2
    start, stop = half * number // parts, half * (number + 1) // parts
    middle = batch[half : len(batch) - half] if number == parts - 1 else []
    return batch[start:stop] + middle + batch[len(batch) - stop : len(batch) - start]
