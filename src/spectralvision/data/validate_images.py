"""Validation of the images of a data set before training.

Guarantee: before the first update every image file of train and val has been decoded to its last
byte. A file that cannot be decoded, is truncated, empty or too large is excluded from its split and
reported. This takes at most as long as reading the images of one epoch; for JPEG about a quarter of
that. A file that breaks later ends the run with an error that names it. Damage that the decoder
does not detect is not found. Streams and images in memory are not validated.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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
    """An image of train with the same file content as an image of val."""

    train: str
    val: str


def validate_images(
    data: Data, progress: Track | None = None
) -> tuple[Data, list[UnreadableImage], list[DuplicateImage]]:
    """Decode all images of train and val once.

    Args:
        data: A data set with train and val.
        progress: Called with an iterable over the images of a split, a title and the number of
            images; returns an iterable over the same items. Default: no progress.

    Returns:
        The data without unreadable images, the unreadable images, and the images that are in both
        splits.

    Raises:
        UserError: No readable image is left in val or train, or of a class in train where images
            have one.
    """
    unreadable: list[UnreadableImage] = []
    digests: dict[str, dict[bytes, str]] = {"train": {}, "val": {}}
    splits = dict(data.splits)
    for split in ("train", "val"):
        images = splits[split]
        if isinstance(images, Stream | SyntheticImages):
            continue

        # 1. Decode every image
        readable: list[int] = []
        with warnings.catch_warnings():  # here and not in the threads, as it applies to all of them
            warnings.simplefilter("ignore")  # as in `open_image`
            for index, (digest, problem) in enumerate(_validate_files(images, split, progress)):
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

    # 3. Find images that are in both splits
    duplicates = [
        DuplicateImage(digests["train"][digest], name)
        for digest, name in digests["val"].items()
        if digest in digests["train"]
    ]
    return replace(data, splits=splits), unreadable, duplicates


def _validate_files(
    images: Images, split: str, progress: Track | None
) -> Iterator[tuple[bytes | None, str | None]]:
    """Yield (digest of the file, why it cannot be decoded) of each image in order."""
    numbers: Iterable[int] = range(len(images))
    if progress is not None:
        numbers = progress(numbers, f"Reading {split} images", len(images))
    for _, result in zip(numbers, _validate_in_threads(images), strict=True):
        yield result


def _validate_in_threads(images: Images) -> Iterator[tuple[bytes | None, str | None]]:
    def validate(index: int) -> tuple[bytes | None, str | None]:
        return _validate_file(images, index)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders release Python's lock
        for start in range(0, len(images), IMAGES_IN_FLIGHT):
            stop = min(start + IMAGES_IN_FLIGHT, len(images))
            yield from pool.map(validate, range(start, stop))


def _validate_file(images: Images, index: int) -> tuple[bytes | None, str | None]:
    try:
        content = images.encoded(index)
    except Exception as error:  # a missing file, a failing disk, an error of a third-party reader
        return None, describe_error(error)
    if content is None:
        return None, None
    return hashlib.blake2b(content, digest_size=16).digest(), problem_of(content)


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
