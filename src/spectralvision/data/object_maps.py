"""Annotated objects as a class for each pixel: background, and the class of the object."""

from dataclasses import replace

import numpy as np

from spectralvision.data.images import Images, Stream, WrappedImages
from spectralvision.data.masks import IGNORED, ClassMap
from spectralvision.data.objects import ObjectImages, Objects, decode_masks
from spectralvision.data.splits import Data
from spectralvision.runs import UserError

BACKGROUND = "background"


class ObjectMaps(WrappedImages):
    """Images with objects, whose targets are class maps; see `draw_objects`."""

    def __init__(self, base: ObjectImages) -> None:
        super().__init__(base, base.labels)

    def target(self, index: int) -> ClassMap:
        return ClassMap(draw_objects(self.base.target(index)), self.base.name(index))

    def annotation(self, index: int) -> str:
        return self.base.annotation(index)


def draw_objects(objects: Objects) -> np.ndarray:
    """Return (H, W) int16: 0 for background, 1 + label for an object, smaller ones over larger.

    The boxes of objects without a mask are ignored, except where other objects are.
    """
    classes = np.zeros(objects.size, np.int16)
    has_mask = [segment is not None for segment in objects.segments]
    for index in np.flatnonzero(np.logical_not(has_mask)):
        left, top, right, bottom = np.round(objects.boxes[index]).astype(int)
        classes[top:bottom, left:right] = IGNORED
    masks = decode_masks(objects)
    for index in np.argsort(-objects.areas, kind="stable"):
        classes[masks[index]] = 1 + objects.labels[index]
    return classes


def as_maps(data: Data) -> Data:
    """Return data with objects as data with class maps; the first class is background.

    Raises:
        UserError: A split has no object with a mask, or a category is called background.
    """
    if BACKGROUND in data.classes:
        raise UserError(f"{data.name} has a category {BACKGROUND!r}: rename it, as all else is.")
    splits: dict[str, Images | Stream] = {}
    for split, images in data.splits.items():
        assert isinstance(images, ObjectImages)
        has_mask = any(
            segment is not None
            for index in range(len(images))
            for segment in images.target(index).segments
        )
        if not has_mask:
            raise UserError(
                f"{data.name} has boxes, but no masks of objects in {split}: segmentation needs "
                "masks, `train detection` boxes."
            )
        splits[split] = ObjectMaps(images)
    return replace(data, classes=(BACKGROUND, *data.classes), splits=splits)
