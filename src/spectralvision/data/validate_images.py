"""Validation of the images of a data set before training.

Guarantee: before the first update every image file of train and val has been decoded to its last
byte. A file that cannot be decoded, is truncated, empty or too large is excluded from its split and
reported. This takes at most as long as reading the images of one epoch, for JPEG about a quarter of
that, plus reading the files of test once: they are not decoded, but compared with those of train
and val. A file that breaks later ends the run with an error that names it. Damage that the decoder
does not detect is not found. Streams and images in memory are not validated.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeAlias

import numpy as np

from spectralvision.data.image_files import describe_error, problem_of
from spectralvision.data.images import Images, Stream, Subset
from spectralvision.data.splits import Data
from spectralvision.data.synthetic import SyntheticImages
from spectralvision.runs import UserError

IMAGES_IN_FLIGHT = 512
"""Images that are read ahead."""

Track: TypeAlias = Callable[[Iterable[int], str, int], Iterable[int]]
"""(iterable, title, length) -> the same items, showing progress."""


@dataclass(frozen=True)
class UnreadableImage:
    """An image that was excluded, and the reason in a few words."""

    split: str
    image: str
    reason: str


@dataclass(frozen=True)
class DuplicateImage:
    """Two images of different splits with the same file content."""

    splits: tuple[str, str]
    images: tuple[str, str]


def validate_images(
    data: Data, progress: Track | None = None
) -> tuple[Data, list[UnreadableImage], list[DuplicateImage]]:
    """Decode all images of train and val once, and compare them with those of test.

    Args:
        data: A data set with train and val.
        progress: Called with an iterable over the images of a split, a title and the number of
            images; returns an iterable over the same items. Default: no progress.

    Returns:
        The data without unreadable images of train and val, these images, and the images that are
        in two splits.

    Raises:
        UserError: No readable image is left in val or train, or of a class in train where images
            have one.
    """
    unreadable: list[UnreadableImage] = []
    digests: dict[str, dict[bytes, str]] = {"train": {}, "val": {}, "test": {}}
    splits = dict(data.splits)
    for split in ("train", "val"):
        images = splits[split]
        if isinstance(images, Stream | SyntheticImages):
            continue

        # 1. Decode every image
        readable: list[int] = []
        for index, (digest, problem) in enumerate(_read_files(images, split, progress)):
            if problem is not None:
                unreadable.append(UnreadableImage(split, images.name(index), problem))
                continue
            readable.append(index)
            if digest is not None:
                digests[split].setdefault(digest, images.name(index))

        # 2. Exclude those that cannot be decoded
        _require_readable_images(data, split, images, readable, unreadable)
        if len(readable) < len(images):
            splits[split] = Subset(images, readable)

    # 3. Find images that are in two splits
    test = splits.get("test")
    has_digests = bool(digests["train"] or digests["val"])
    if test is not None and has_digests and not isinstance(test, Stream | SyntheticImages):
        for index, (digest, _) in enumerate(_read_files(test, "test", progress, decode=False)):
            if digest is not None:
                digests["test"].setdefault(digest, test.name(index))
    duplicates = [
        DuplicateImage((first, second), (digests[first][digest], name))
        for first, second in combinations(digests, 2)
        for digest, name in digests[second].items()
        if digest in digests[first]
    ]
    return replace(data, splits=splits), unreadable, duplicates


def _read_files(
    images: Images, split: str, progress: Track | None, decode: bool = True
) -> Iterator[tuple[bytes | None, str | None]]:
    """Yield (digest of the file, why it cannot be read or decoded) of each image in order."""
    numbers: Iterable[int] = range(len(images))
    if progress is not None:
        numbers = progress(numbers, f"Reading {split} images", len(images))
    with warnings.catch_warnings():  # here and not in the threads, as it applies to all of them
        warnings.simplefilter("ignore")  # as in `open_image`
        for _, result in zip(numbers, _read_in_threads(images, decode), strict=True):
            yield result


def _read_in_threads(images: Images, decode: bool) -> Iterator[tuple[bytes | None, str | None]]:
    def read(index: int) -> tuple[bytes | None, str | None]:
        return _read_file(images, index, decode)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders release Python's lock
        for start in range(0, len(images), IMAGES_IN_FLIGHT):
            stop = min(start + IMAGES_IN_FLIGHT, len(images))
            yield from pool.map(read, range(start, stop))


def _read_file(images: Images, index: int, decode: bool) -> tuple[bytes | None, str | None]:
    try:
        content = images.encoded(index)
    except Exception as error:  # a missing file, a failing disk, an error of a third-party reader
        return None, describe_error(error)
    if content is None:
        return None, None
    digest = hashlib.blake2b(content, digest_size=16).digest()
    return digest, problem_of(content) if decode else None


def _require_readable_images(
    data: Data,
    split: str,
    images: Images,
    readable: list[int],
    unreadable: list[UnreadableImage],
) -> None:
    first = next((one for one in unreadable if one.split == split), None)
    example = f" ({first.image}: {first.reason})" if first else ""
    if not readable:
        raise UserError(f"{data.name} has no readable image in {split}{example}: add some.")
    if split == "train" and images.has_labels:
        counts = np.bincount(images.labels[readable], minlength=len(data.classes))
        if not counts.all():
            name = data.classes[int(np.flatnonzero(counts == 0)[0])]
            raise UserError(
                f"{data.name} has no readable training image of the class {name!r}{example}: "
                "add some."
            )
