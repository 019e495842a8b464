"""The images and masks of segmentation: which can be used, and what the user should know."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from spectralvision.data.images import Images, Stream, WrappedImages
from spectralvision.data.masks import MaskImages, ReorderedMasks
from spectralvision.data.scan_masks import validate_masks
from spectralvision.data.splits import Data
from spectralvision.data.thresholds import MIN_VAL_IMAGES
from spectralvision.engine.progress import track
from spectralvision.report.text import join_names, pluralize
from spectralvision.runs import UserError
from spectralvision.tasks.check_images import check_images, describe_left_out

RARE = 0.001
"""Fraction of the pixels below which a class is rare."""


def check_data(data: Data) -> tuple[Data, list[str]]:
    """Return the data with what can be read of train and val, and notes.

    Raises:
        UserError: There is one class only, or nothing is left to train on or to validate on.
    """
    if len(data.classes) < 2:
        raise UserError(
            f"{data.name} has one class ({data.classes[0]}), but at least two classes are required."
        )
    notes = describe_left_out(data)
    data, problems = check_images(data, "mIoU")
    data, bad_masks, pixels = validate_masks(data, track)
    notes += problems
    if bad_masks:
        names = join_names([one.reason for one in bad_masks], width=None)
        notes.append(f"skip   {pluralize(len(bad_masks), 'image')} without a usable mask: {names}")
    if (num_val := len(data.splits["val"])) < MIN_VAL_IMAGES:
        notes.append(f"note   {pluralize(num_val, 'image')} in val: the metrics are uncertain")
    skipped = [*data.facts["skipped"], *map(asdict, bad_masks)]
    facts = data.facts | {"skipped": skipped, "train_pixels": pixels.tolist()}
    return replace(data, facts=facts), notes + _describe_pixels(data.classes, pixels)


def _describe_pixels(classes: Sequence[str], pixels: np.ndarray) -> list[str]:
    """Return lines about ignored pixels, and about classes that are missing or rare in train."""
    total, ignored = int(pixels.sum()), int(pixels[-1])
    notes = []
    fractions = pixels[:-1] / (total - ignored)
    if missing := [classes[index] for index in np.flatnonzero(fractions == 0).tolist()]:
        notes.append(f"note   no pixels in train: {join_names(missing)}")
    rare = [
        f"{classes[index]} ({fractions[index]:.2%})"
        for index in np.flatnonzero((fractions > 0) & (fractions < RARE)).tolist()
    ]
    if rare:
        notes.append(
            f"note   rare classes in train: {join_names(rare)}; --class-weights 0.5 up-weights them"
        )
    if ignored:
        notes.append(f"note   {ignored / total:.1%} of the pixels of train are ignored")
    return notes


def compute_class_weights(exponent: float, data: Data) -> list[float] | None:
    """Return the weight of each class in the loss, 1 on average over the pixels; None for none."""
    pixels = data.facts.get("train_pixels")
    if not exponent or not pixels:
        return None
    counts = np.array(pixels[:-1], dtype=np.float64)
    weights = np.maximum(counts, 1) ** -exponent
    weights[counts == 0] = 1.0
    mean = (weights * counts).sum() / max(counts.sum(), 1)
    weights = np.where(counts > 0, weights / mean, 1.0)
    return [float(weight) for weight in weights]


def match_classes(data: Data, classes: Sequence[str], owner: str) -> Data:
    """Return the data with class maps in the order of a model's classes, matched by name.

    Raises:
        UserError: The model lacks a class of the data.
    """
    new_classes = data.number_classes(classes, owner)
    if list(classes) == list(data.classes):
        return data
    splits: dict[str, Images | Stream] = {}
    for split, images in data.splits.items():
        assert isinstance(images, Images), "masks are read by index"
        splits[split] = ReorderedMasks(images, new_classes)
    return replace(data, classes=tuple(classes), splits=splits)


def find_values(images: Images | Stream, number: int) -> list[int]:
    """Return the value in the masks of each of so many classes; its number if that is unknown."""
    while isinstance(images, WrappedImages):
        if isinstance(images, MaskImages):
            return images.values.of_classes(number)
        images = images.base
    return list(range(number))
