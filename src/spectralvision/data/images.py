"""Images with labels, by index: files in folders, arrays, timm readers, and views of them."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import IterableDataset

from spectralvision.data.image_files import open_image, open_regular_file, to_rgb


class Images(ABC):
    """Images by index, each with a class label and a target. Images are opened on demand.

    Attributes:
        labels: (N,) int64.
        has_labels: Whether the labels are classes; otherwise all are 0, as for dense targets.
        left_out: Suffix -> number of pictures and videos beside them in formats that are not read.
    """

    has_labels: bool = True
    left_out: Mapping[str, int] = MappingProxyType({})

    def __init__(self, labels: Sequence[int] | np.ndarray) -> None:
        self.labels = np.asarray(labels, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def image(self, index: int) -> Image.Image:
        """Return the image as 8-bit RGB."""

    def target(self, index: int) -> Any:
        """Return the target of the image: its label, unless a task overrides it."""
        return int(self.labels[index])

    def encoded(self, index: int) -> bytes | None:
        """Return the content of the image file, or None if the image has no file."""
        return None

    def file_size(self, index: int) -> int | None:
        """Return the bytes of the image file, or None if it has none or is missing."""
        return None

    def annotation(self, index: int) -> str:
        """Return a text that changes with the target of the image, for fingerprints."""
        return str(self.labels[index])

    def image_id(self, index: int) -> int | None:
        """Return the number of the image in its annotation file, or None without such a file."""
        return None

    @abstractmethod
    def name(self, index: int) -> str:
        """Return the name of the image, unique in the data set: a path, or a file and a row."""


class FileImages(Images):
    """Image files below a folder."""

    def __init__(
        self, root: Path, files: Sequence[str], labels: Sequence[int] | np.ndarray
    ) -> None:
        super().__init__(labels)
        self.root = root
        self.files = files

    def image(self, index: int) -> Image.Image:
        return open_image(self.root / self.files[index])

    def encoded(self, index: int) -> bytes | None:
        with open_regular_file(self.root / self.files[index]) as file:
            return file.read()

    def file_size(self, index: int) -> int | None:
        path = self.root / self.files[index]
        return path.stat().st_size if path.exists() else None

    def name(self, index: int) -> str:
        return self.files[index]


class ArrayImages(Images):
    """Gray images in memory, (N, H, W) uint8."""

    def __init__(self, pixels: np.ndarray, labels: Sequence[int] | np.ndarray, title: str) -> None:
        super().__init__(labels)
        self.pixels = pixels
        self.title = title

    def image(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index]).convert("RGB")

    def name(self, index: int) -> str:
        return f"{self.title}/{index}"


class ReaderImages(Images):
    """A map-style timm reader or torchvision data set: items are (image or open file, label)."""

    def __init__(self, reader: Any, labels: Sequence[int], title: str) -> None:
        super().__init__(labels)
        self.reader = reader
        self.title = title

    def image(self, index: int) -> Image.Image:
        image = self.reader[index][0]
        if isinstance(image, Image.Image):
            return to_rgb(image)
        return open_image(image.read(), self.name(index))

    def encoded(self, index: int) -> bytes | None:
        image = self.reader[index][0]
        return None if isinstance(image, Image.Image) else bytes(image.read())

    def name(self, index: int) -> str:
        return f"{self.title}/{index}"


class ConcatenatedImages(Images):
    """The images of several data sets, one after the other."""

    def __init__(self, parts: Sequence[Images]) -> None:
        super().__init__(np.concatenate([images.labels for images in parts]))
        self.has_labels = all(images.has_labels for images in parts)
        self.parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])

    def _find(self, index: int) -> tuple[Images, int]:
        """Return the data set of an image, and its index there."""
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.parts[part], index - int(self._starts[part])

    def image(self, index: int) -> Image.Image:
        images, own_index = self._find(index)
        return images.image(own_index)

    def target(self, index: int) -> Any:
        images, own_index = self._find(index)
        return images.target(own_index)

    def annotation(self, index: int) -> str:
        images, own_index = self._find(index)
        return images.annotation(own_index)

    def encoded(self, index: int) -> bytes | None:
        images, own_index = self._find(index)
        return images.encoded(own_index)

    def file_size(self, index: int) -> int | None:
        images, own_index = self._find(index)
        return images.file_size(own_index)

    def image_id(self, index: int) -> int | None:
        images, own_index = self._find(index)
        return images.image_id(own_index)

    def name(self, index: int) -> str:
        images, own_index = self._find(index)
        return images.name(own_index)


class WrappedImages(Images):
    """The images of another data set; subclasses change labels, targets or order."""

    def __init__(self, base: Images, labels: Sequence[int] | np.ndarray) -> None:
        super().__init__(labels)
        self.base = base
        self.has_labels = base.has_labels

    def base_index(self, index: int) -> int:
        """Return the index in `base` of an image."""
        return index

    def image(self, index: int) -> Image.Image:
        return self.base.image(self.base_index(index))

    def encoded(self, index: int) -> bytes | None:
        return self.base.encoded(self.base_index(index))

    def file_size(self, index: int) -> int | None:
        return self.base.file_size(self.base_index(index))

    def image_id(self, index: int) -> int | None:
        return self.base.image_id(self.base_index(index))

    def name(self, index: int) -> str:
        return self.base.name(self.base_index(index))


class Subset(WrappedImages):
    """The images of another data set at some indices."""

    def __init__(self, base: Images, indices: Sequence[int] | np.ndarray) -> None:
        self.indices = np.asarray(indices, dtype=np.int64)
        super().__init__(base, base.labels[self.indices])

    def base_index(self, index: int) -> int:
        return int(self.indices[index])

    def target(self, index: int) -> Any:
        return self.base.target(self.base_index(index))

    def annotation(self, index: int) -> str:
        return self.base.annotation(self.base_index(index))


class RelabeledImages(WrappedImages):
    """The same images with the labels of another order of classes: `new_labels[old label]`."""

    def __init__(self, base: Images, new_labels: Sequence[int]) -> None:
        super().__init__(base, np.asarray(new_labels, dtype=np.int64)[base.labels])


class Stream(IterableDataset[tuple[Image.Image, int]]):
    """Images in the order of a reader, as (RGB image, label).

    Shuffling, if any, is done by the reader.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[tuple[Image.Image, int]]:
        for image, label in self.dataset:
            yield to_rgb(image), int(label)


def spread_indices(count: int, number: int) -> np.ndarray:
    """Return at most `number` of the indices below `count`, evenly spread, (n,) int64."""
    return np.linspace(0, count - 1, num=min(number, count)).astype(np.int64)


def estimate_median_side(images: Images | Stream, sample: int = 64) -> float:
    """Return the median shorter side, in pixels, of `sample` images spread over the data set."""
    if isinstance(images, Stream):
        sides = [min(image.size) for image, _ in itertools.islice(images, sample)]
    else:
        indices = spread_indices(len(images), sample)
        sides = [min(images.image(int(index)).size) for index in indices]
    return float(np.median(sides))
