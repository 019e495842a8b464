"""Read all masks of a data set once: which values they have, and which cannot be used."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from spectralvision.data.image_files import FileSize, read_size
from spectralvision.data.images import Images, Stream, Subset
from spectralvision.data.masks import MaskSource, mask_values
from spectralvision.data.splits import Data
from spectralvision.data.validate_images import IMAGES_IN_FLIGHT, Track, UnreadableImage
from spectralvision.runs import UserError


def find_values(masks: Sequence[MaskSource]) -> list[int]:
    """Return the values that masks have, sorted; masks that cannot be read are left out."""
    values: set[int] = set()
    problem: UserError | None = None
    for source in masks:
        for found in _in_threads(partial(_values, source), source):
            if isinstance(found, UserError):
                problem = problem or found
            else:
                values |= found
    if not values and problem is not None:
        raise problem
    return sorted(values)


def validate_masks(
    data: Data, progress: Track | None = None
) -> tuple[Data, list[UnreadableImage], np.ndarray]:
    """Read all masks of train and val once.

    Args:
        data: A data set with train and val.
        progress: See `validate_images`.

    Returns:
        The data without images whose masks cannot be used; these, with the reasons; and (K + 1,)
        the pixels of each class in train, those that are ignored last.

    Raises:
        UserError: No image is left in train or val, or all pixels of one are ignored.
    """
    bad: list[UnreadableImage] = []
    pixels = {split: np.zeros(len(data.classes) + 1, np.int64) for split in ("train", "val")}
    splits = dict(data.splits)
    for split, counts in pixels.items():
        images = splits[split]
        if isinstance(images, Stream):
            continue
        good: list[int] = []
        numbers: Iterable[int] = range(len(images))
        if progress is not None:
            numbers = progress(numbers, f"Reading {split} masks", len(images))
        results = _in_threads(partial(_count, images, len(counts)), images)
        for index, result in zip(numbers, results, strict=True):
            if isinstance(result, UserError):
                bad.append(UnreadableImage(split, images.name(index), str(result).rstrip(".")))
                continue
            good.append(index)
            counts += result
        if not good:
            first = next(one.reason for one in bad if one.split == split)
            raise UserError(f"{data.name} has no mask that can be used in {split} ({first}).")
        if not counts[:-1].any():
            raise UserError(
                f"all pixels of {data.name} in {split} are ignored: check the values of the masks, "
                "and the list of classes."
            )
        if len(good) < len(images):
            splits[split] = Subset(images, good)
    return replace(data, splits=splits), bad, pixels["train"]


def _values(source: MaskSource, index: int) -> set[int] | UserError:
    try:
        return set(np.unique(mask_values(source.mask(index), source.name(index))).tolist())
    except UserError as error:
        return error


def _count(images: Images, number: int, index: int) -> np.ndarray | UserError:
    """Return (number,) the pixels of each class of an image, or why its mask cannot be used."""
    try:
        classes, source = images.target(index)
        found = _size_of(images, index)
        if found is not None and found.size != classes.shape:
            height, width = found.size
            is_rotated = found.is_turned and classes.shape == (width, height)
            raise UserError(
                f"{source} has {classes.shape[1]} x {classes.shape[0]} pixels, but its image "
                f"{width} x {height}"
                + (" with the rotation in its EXIF, which the mask ignores." if is_rotated else ".")
            )
        counts = np.bincount(classes.ravel() + 1, minlength=number)  # IGNORED is -1
        return np.roll(counts, -1)
    except UserError as error:
        return error


def _size_of(images: Images, index: int) -> FileSize | None:
    """Return the size of an image; None if it cannot be read, which is reported apart."""
    with suppress(Exception):  # decoders raise many kinds of errors for broken files
        content = images.encoded(index)
        if content is not None:
            return read_size(content)
        width, height = images.image(index).size
        return FileSize((height, width), is_turned=False)
    return None


def _in_threads(work: Callable[[int], Any], items: Any) -> Iterator[Any]:
    """Yield the results for all indices of items, in order."""
    number = len(items)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders release Python's lock
        for start in range(0, number, IMAGES_IN_FLIGHT):
            yield from pool.map(work, range(start, min(start + IMAGES_IN_FLIGHT, number)))
