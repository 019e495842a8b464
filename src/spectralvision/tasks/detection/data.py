"""The images of a detector: which can be used, what is in them, and what the user should know."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from spectralvision.data.images import Images, Stream, WrappedImages, spread_indices
from spectralvision.data.objects import ObjectImages, Objects
from spectralvision.data.splits import Data
from spectralvision.data.thresholds import MIN_VAL_IMAGES
from spectralvision.engine.model_io import label_names
from spectralvision.report.text import join_names, pluralize
from spectralvision.runs import UserError
from spectralvision.tasks.check_images import check_images, describe_left_out
from spectralvision.tasks.detection.config import DetectionConfig
from spectralvision.tasks.detection.detector import Detector

MAX_SCALE_IMAGES, MAX_OBJECTS, MIN_OBJECT_SIDE = 1000, 200, 0.01
"""Limits of `find_scale`."""


class RelabeledObjects(WrappedImages):
    """Images whose objects have the labels of another order of classes."""

    def __init__(self, base: Images, new_labels: Sequence[int]) -> None:
        super().__init__(base, base.labels)
        self.new_labels = np.asarray(new_labels, dtype=np.int64)

    def target(self, index: int) -> Objects:
        objects: Objects = self.base.target(index)
        return objects._replace(labels=self.new_labels[objects.labels])

    def annotation(self, index: int) -> str:
        return self.base.annotation(index)


def check_data(data: Data, config: DetectionConfig) -> tuple[Data, list[str]]:
    """Return the data with what can be read of train and val, and notes.

    Raises:
        UserError: Nothing is left to train on or to validate on, or no objects are annotated.
    """
    if config.num_classes not in (None, len(data.classes)):
        raise UserError(
            f"{data.name} has {pluralize(len(data.classes), 'class')}: leave out "
            f"--num-classes {config.num_classes}."
        )
    notes = describe_left_out(data)
    data, problems = check_images(data, "AP")
    notes += problems
    for split in ("train", "val"):
        notes += _describe_objects(data, split, config.has_masks)
    num_val = len(data.split("val"))
    if num_val < MIN_VAL_IMAGES:
        notes.append(f"note   {pluralize(num_val, 'image')} in val: its AP is a rough estimate")
    return data, notes


def _describe_objects(data: Data, split: str, has_masks: bool) -> list[str]:
    """Return notes about the objects of a split.

    Raises:
        UserError: It has none, or none with a mask where masks are needed.
    """
    found = count_objects(data, split)
    total = int(found.per_class.sum())
    if not total:
        raise UserError(
            f"{data.name} has no objects in {split}: annotate some, or check the annotation files."
        )
    if has_masks and found.without_mask == total:
        raise UserError(
            f"{data.name} has no masks in {split}, which mask_rcnn needs: use --detector "
            "faster_rcnn for boxes."
        )
    notes = [
        f"found  {pluralize(total, 'object')} in {pluralize(found.images, 'image')} of {split}"
    ]
    if found.crowds:
        crowds = pluralize(found.crowds, "crowd")
        notes.append(f"note   {crowds} of {split} not trained on, and left out of AP")
    if has_masks and found.without_mask:
        effect = "not trained on" if split == "train" else "left out of mask AP"
        notes.append(
            f"note   {pluralize(found.without_mask, 'object')} of {split} without a mask: {effect}"
        )
    missing = [data.classes[label] for label in np.flatnonzero(found.per_class == 0)]
    if missing:
        count = pluralize(len(missing), "class")
        notes.append(f"note   {count} without objects in {split}: {join_names(missing)}")
    return notes


class ObjectScale(NamedTuple):
    """How many objects there are, and how large: the cost of a training step depends on it."""

    per_image: int
    side: float
    """Of an object, as a fraction of that of the image."""


DEFAULT_SCALE = ObjectScale(4, 0.3)


def find_scale(images: Images | Stream) -> ObjectScale:
    """Return the mean number of objects and their median size in at most 1,000 images."""
    assert isinstance(images, Images)  # no reader of objects is a stream
    found = list(map(images.target, spread_indices(len(images), MAX_SCALE_IMAGES).tolist()))
    number = sum(len(one.areas) for one in found) / max(1, len(found))
    fractions = np.concatenate([one.areas / np.prod(one.size) for one in found])
    side = float(np.sqrt(np.median(fractions))) if len(fractions) else DEFAULT_SCALE.side
    return ObjectScale(min(MAX_OBJECTS, math.ceil(number)), min(1.0, max(MIN_OBJECT_SIDE, side)))


class ObjectCounts:
    """What is annotated in a split.

    Attributes:
        images: Number of images.
        empty_images: Images without objects.
        per_class: (K,) objects of each class that are no crowds.
        crowds: Crowds.
        without_mask: Objects with a box only.
        areas: Pixels of each object.
    """

    def __init__(self, objects: Sequence[Objects], num_classes: int) -> None:
        self.images = len(objects)
        self.per_class = np.zeros(num_classes, dtype=np.int64)
        self.empty_images = self.crowds = self.without_mask = 0
        areas = [np.zeros(0, np.float32)]
        for one in objects:
            single = ~one.is_crowd
            self.per_class += np.bincount(one.labels[single], minlength=num_classes)
            self.empty_images += not single.any()
            self.crowds += int(one.is_crowd.sum())
            pairs = zip(one.segments, single, strict=True)
            self.without_mask += sum(segment is None for segment, counts in pairs if counts)
            areas.append(one.areas[single])
        self.areas = np.concatenate(areas)


def count_objects(data: Data, split: str) -> ObjectCounts:
    """Return what is annotated in a split."""
    images = data.split(split)
    assert isinstance(images, Images)  # no reader of objects is a stream
    objects = [images.target(index) for index in range(len(images))]
    return ObjectCounts(objects, len(data.classes))


def find_categories(images: Images | Stream, num_classes: int) -> tuple[int, ...]:
    """Return the number of each class in the annotation files; from 1 where there are none."""
    while isinstance(images, WrappedImages):
        if isinstance(images, ObjectImages):
            return _number_missing(images.categories)
        images = images.base
    return tuple(range(1, num_classes + 1))


def _number_missing(categories: Sequence[int]) -> tuple[int, ...]:
    """Return category numbers, where those of classes that a file does not have are negative."""
    free = itertools.count(max(categories) + 1)
    return tuple(number if number >= 0 else next(free) for number in categories)


def match_classes(data: Data, model: Detector, name: str) -> Data:
    """Return the data with labels in the order of the model's classes, matched by name.

    Raises:
        UserError: The model lacks a class.
    """
    names = label_names(model)
    if names is None or list(data.classes) == names:
        return data
    new_labels = data.number_classes(names, name)
    splits: dict[str, Images | Stream] = {}
    for split, images in data.splits.items():
        assert isinstance(images, Images)  # no reader of objects is a stream
        splits[split] = RelabeledObjects(images, new_labels)
    return replace(data, classes=tuple(names), splits=splits)


def describe_target(objects: Objects, classes: Sequence[str]) -> str:
    """Return the annotated objects of an image as text, as in `2 cars, 1 bus`."""
    counts = np.bincount(objects.labels[~objects.is_crowd], minlength=len(classes))
    return describe_counts(counts.tolist(), classes)


def describe_counts(counts: Sequence[int], classes: Sequence[str]) -> str:
    """Return numbers of objects as text, the most frequent class first; "none" for none."""
    order = sorted(range(len(classes)), key=lambda label: (-counts[label], label))
    text = ", ".join(f"{counts[label]} {classes[label]}" for label in order if counts[label])
    return text or "none"
