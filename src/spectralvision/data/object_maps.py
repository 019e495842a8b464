"""Annotated objects as a class for each pixel: background, and the class of the object."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spectralvision.data.images import Images, Stream, WrappedImages
from spectralvision.data.masks import IGNORED, ClassMap
from spectralvision.data.objects import ObjectImages, Objects
from spectralvision.data.segments import decode_segment
from spectralvision.data.splits import Data
from spectralvision.runs import UserError

BACKGROUND = "background"


class ObjectMaps(WrappedImages):
    """Images with objects, whose targets are class maps; see `draw_objects`."""

    def __init__(self, base: ObjectImages, numbers: Sequence[int]) -> None:
        super().__init__(base, base.labels)
        self.numbers = numbers

    def target(self, index: int) -> ClassMap:
        classes = draw_objects(self.base.target(index), self.numbers)
        return ClassMap(classes, self.base.name(index))

    def annotation(self, index: int) -> str:
        return self.base.annotation(index)


def draw_objects(objects: Objects, numbers: Sequence[int]) -> np.ndarray:
    """Return (H, W) int16: 0 for background, else the class of an object, smaller over larger.

    The boxes of objects without a mask are ignored, except where other objects are.

    Args:
        objects: The objects of an image.
        numbers: The class of each label.
    """
    classes = np.zeros(objects.size, np.int16)
    has_mask = [segment is not None for segment in objects.segments]
    for index in np.flatnonzero(np.logical_not(has_mask)):
        left, top, right, bottom = np.round(objects.boxes[index]).astype(int)
        classes[top:bottom, left:right] = IGNORED
    for index in np.argsort(-objects.areas, kind="stable"):
        segment = objects.segments[index]
        if segment is not None:
            classes[decode_segment(segment, objects.size)] = numbers[objects.labels[index]]
    return classes


def as_maps(data: Data) -> Data:
    """Return data with objects as data with class maps; the first class is background.

    A category of that name, which some tools list first, is no other class.

    Raises:
        UserError: A split has no object with a mask.
    """
    objects = [name for name in data.classes if name.lower() != BACKGROUND]
    number_of = {name: number for number, name in enumerate(objects, 1)}
    numbers = [number_of.get(name, 0) for name in data.classes]
    splits: dict[str, Images | Stream] = {}
    for split, images in data.splits.items():
        assert isinstance(images, ObjectImages)
        has_mask = any(
            segment is not None
            for index in range(len(images))
            for segment in images.target(index).segments
        )
        if not has_mask:
            where = "" if split == "all" else f" in {split}"
            raise UserError(
                f"{data.name} has boxes, but no masks of objects{where}: segmentation needs masks, "
                "`train detection` boxes."
            )
        splits[split] = ObjectMaps(images, numbers)
    return replace(data, classes=(BACKGROUND, *objects), splits=splits)
