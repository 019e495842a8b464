"""The images of a classifier: which can be used, and what the user should know about them."""

from collections.abc import Sequence

import numpy as np

from spectralvision.data.image_formats import describe_left_out
from spectralvision.data.images import Images
from spectralvision.data.splits import Data
from spectralvision.data.thresholds import MIN_VAL_IMAGES, is_imbalanced
from spectralvision.report.text import pluralize
from spectralvision.runs import Auto, UserError
from spectralvision.tasks.check_images import check_images
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.classification.teacher_cache import add_teacher
from spectralvision.tasks.classification.token_labels.label_map_data import add_label_maps


def check_data(data: Data, config: ClassificationConfig) -> tuple[Data, list[str]]:
    """Return the data with what can be read of train and val, label maps included, and notes.

    Raises:
        UserError: There is one class only, or nothing is left to train on or to validate on.
    """
    if config.num_classes not in (None, len(data.classes)):
        raise UserError(
            f"{data.name} has {len(data.classes)} classes: leave out "
            f"--num-classes {config.num_classes}."
        )
    if len(data.classes) < 2:
        raise UserError(
            f"{data.name} has one class ({data.classes[0]}), but at least two classes are required."
        )
    data, problems = check_images(data, "top-1")
    notes = [*describe_left_out_data(data), *problems]
    notes += describe_balance(data, config.loss.class_weights != 0)
    if config.label_maps is not None:
        data, note = add_label_maps(data, config)
        notes = [note, *notes]
    elif config.distillation.teacher is not None:
        data, note = add_teacher(data, config.distillation)
        notes = [note, *notes]
    return data, notes


def describe_left_out_data(data: Data) -> list[str]:
    """Return lines about files that are not read, and images without labels."""
    notes = []
    if left_out := data.facts.get("left_out"):
        notes.append(f"skip   formats that are not read: {describe_left_out(left_out)}")
    for split, number in data.facts.get("unlabeled", {}).items():
        notes.append(f"skip   {pluralize(number, 'image')} of {split}, which has no labels")
    return notes


def describe_balance(data: Data, is_weighted: bool = False) -> list[str]:
    """Return lines about few validation images, and imbalanced classes."""
    notes = []
    num_val = len(data.splits["val"])
    if num_val < MIN_VAL_IMAGES:
        notes.append(
            f"note   {pluralize(num_val, 'image')} in val: one more correct image changes top-1 by "
            f"{1 / num_val:.1%}"
        )
    counts = count_train_images(data)
    if is_imbalanced(counts):
        most, least = (data.classes[int(pick(counts))] for pick in (np.argmax, np.argmin))
        cure = "; rare classes are up-weighted in the loss" if is_weighted else ""
        notes.append(
            f"note   classes are imbalanced: {max(counts)} images of {most}, {min(counts)} of "
            f"{least} in train{cure}"
        )
    return notes


def count_train_images(data: Data) -> list[int]:
    """Return the training images of each class; empty for a stream, whose labels are not known."""
    images = data.split("train")
    if not isinstance(images, Images):
        return []
    return np.bincount(images.labels, minlength=len(data.classes)).tolist()


def compute_class_weights(exponent: float | Auto, counts: Sequence[int]) -> list[float] | None:
    """Return the weight of each class in the loss, 1 on average over the images; None for none."""
    assert not isinstance(exponent, str), "resolve against the data first"
    if not exponent or not counts:
        return None
    weights = [max(count, 1) ** -exponent for count in counts]
    total = sum(weight * count for weight, count in zip(weights, counts, strict=True))
    mean = total / sum(counts)
    return [weight / mean for weight in weights]
