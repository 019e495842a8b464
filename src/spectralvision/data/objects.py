"""Images with annotated objects: boxes, and masks where there are any."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spectralvision.data.images import Images, WrappedImages
from spectralvision.data.segments import Segment, decode_segment


class Objects(NamedTuple):
    """The objects of an image, N of them."""

    size: tuple[int, int]
    """(H, W) of the image in pixels."""
    boxes: np.ndarray
    """(N, 4) float32: x1, y1, x2, y2 in pixels, inside the image."""
    labels: np.ndarray
    """(N,) int64: class of each."""
    is_crowd: np.ndarray
    """(N,) bool: whether it is a group of objects, which evaluation leaves out."""
    areas: np.ndarray
    """(N,) float32: pixels of the mask, or of the box without one."""
    segments: Sequence[Segment | None]
    """Outline of each; None for objects with a box only."""
    image_id: int
    """Number of the image in its annotation file."""


def decode_masks(objects: Objects) -> np.ndarray:
    """Return the (N, H, W) bool masks of objects; those of objects with a box only are empty."""
    masks = np.zeros((len(objects.boxes), *objects.size), dtype=bool)
    for index, segment in enumerate(objects.segments):
        if segment is not None:
            masks[index] = decode_segment(segment, objects.size)
    return masks


class ObjectImages(WrappedImages):
    """Images whose targets are `Objects`.

    Args:
        base: The images.
        objects: Of each image.
        categories: Category number of each class in the annotation file, in the order of the
            labels.
    """

    def __init__(self, base: Images, objects: Sequence[Objects], categories: Sequence[int]) -> None:
        super().__init__(base, np.zeros(len(base), np.int64))
        self.has_labels = False
        self.objects = objects
        self.categories = tuple(categories)

    def target(self, index: int) -> Objects:
        return self.objects[index]

    def image_id(self, index: int) -> int:
        return self.objects[index].image_id

    def annotation(self, index: int) -> str:
        objects = self.objects[index]
        digest = hashlib.blake2b(digest_size=8)
        for values in (objects.boxes, objects.labels, objects.is_crowd):
            digest.update(np.ascontiguousarray(values).tobytes())
        digest.update(repr(objects.segments).encode())
        return digest.hexdigest()
