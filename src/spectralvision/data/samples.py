"""Transformed samples by key.

A sample is a function of (seed, epoch, index, repeat), not of workers or of history.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import Dataset, IterableDataset

from spectralvision.data.images import Images, Stream
from spectralvision.data.samplers import SampleKey
from spectralvision.data.seeding import temporary_seed
from spectralvision.data.transforms import SampleTransform
from spectralvision.runs import UserError


class Samples(Dataset[tuple[Any, Any]]):
    """Map-style data set of what `transform` returns for an image and its target: (input, target).

    Args:
        images: Images with targets.
        transform: (image, target) -> (input, target), called with generators that are seeded per
            sample.
        seed: Seed of the random transforms.
        sized_transforms: Transforms to other image sizes, by size in pixels, for keys that have a
            size.

    A key is an index, a tuple (epoch, index), or a `SampleKey`.
    """

    def __init__(
        self,
        images: Images,
        transform: SampleTransform,
        seed: int = 0,
        *,
        sized_transforms: Mapping[int, SampleTransform] | None = None,
    ) -> None:
        self.images = images
        self.transform = transform
        self.seed = seed
        self.sized_transforms = sized_transforms or {}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: int | tuple[int, ...]) -> tuple[Any, Any]:
        key = key if isinstance(key, tuple) else (0, key)
        epoch, index, repeat, size = SampleKey(*key)
        transform = self.transform if size is None else self.sized_transforms[size]
        image = self.images.image(index)
        target = self.images.target(index)
        with temporary_seed(self.seed, epoch, index, repeat):
            return transform(image, target)


class StreamedSamples(IterableDataset[tuple[Any, Any]]):
    """Transformed samples of a stream, in the order of its reader."""

    def __init__(self, stream: Stream, transform: SampleTransform) -> None:
        self.stream = stream
        self.transform = transform

    def __len__(self) -> int:
        return len(self.stream)

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on to a data set whose order depends on it."""
        if hasattr(self.stream.dataset, "set_epoch"):
            self.stream.dataset.set_epoch(epoch)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for image, target in self.stream:
            yield self.transform(image, target)


class ReadableSamples(Samples):
    """Samples as (index, sample), or (index, error message) for an image that cannot be read."""

    def __getitem__(self, key: Any) -> tuple[Any, Any]:
        try:
            return key, super().__getitem__(key)
        except UserError as error:
            return key, str(error)


class NumberedStream(StreamedSamples):
    """Samples of a stream as (index, sample).

    Each worker counts the samples that it reads itself.
    """

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        yield from enumerate(super().__iter__())
