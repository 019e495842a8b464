"""The model of a classifier: built for a data set, and matched to one by class names."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from spectralvision.data.images import Stream, estimate_median_side
from spectralvision.data.splits import Data
from spectralvision.engine import model_io
from spectralvision.engine.starting_weights import is_bundled
from spectralvision.runs import UserError
from spectralvision.tasks.classification.config import ClassificationConfig

SIZE_STEP = 32
"""Automatic input sizes are multiples of it, in pixels."""


def build_model(
    config: ClassificationConfig, data: Data, is_new: bool = True
) -> tuple[nn.Module, ClassificationConfig]:
    """Return the model at the input size that suits the images, and the settings with that size.

    Raises:
        UserError: No such model, no weights, or a size that the model does not take.
    """
    # 1. Input size, which weights in the package do not limit to their own
    source = config.model.partition(".")[0] if is_bundled(config.model) else config.model
    largest = model_io.default_size(source)
    if isinstance(config.input_size, str):
        side = estimate_median_side(data.split("train"))
        size = min(largest, SIZE_STEP * math.ceil(2 * side / SIZE_STEP))
    else:
        size = config.input_size

    # 2. Model; an automatic size that it rejects becomes its own
    torch.manual_seed(config.seed)
    model = _create(config if is_new else replace(config, pretrained="none"), data, size)
    problem = model_io.check_forward(model, size)
    if problem and config.input_size == "auto" and size != largest:
        size = largest
        model = _create(config, data, size)
        problem = model_io.check_forward(model, size)
    if problem:
        raise UserError(
            f"{config.model} does not take {size} x {size} pixels ({problem}): choose another "
            "--input-size."
        )

    # 3. The other sizes of training images
    size_range = config.augmentation.size_range(size)
    for side in size_range.sizes() if size_range else []:
        if problem := model_io.check_forward(model, side):
            raise UserError(
                f"{config.model} does not take {side} x {side} pixels ({problem}): choose another "
                "--min-size."
            )
    model_io.describe(model, data.classes, size, config.crop_pct)
    return model, replace(config, input_size=size)


def _create(config: ClassificationConfig, data: Data, size: int) -> nn.Module:
    """Return the model with a head for these classes, a new one if its own is for others."""
    model = model_io.load_model(
        config.model,
        pretrained=config.pretrained == "published",
        num_classes=len(data.classes),
        img_size=size,
        drop_path_rate=config.optimizer.drop_path or None,
        token_label=True if config.label_maps else None,
    )
    if config.pretrained == "published" or model_io.brings_weights(config.model):
        names = model_io.label_names(model)
        if names and names != list(data.classes):
            model.reset_classifier(len(data.classes))  # type: ignore[operator]
        if names != list(data.classes):
            _keep_known_classes(model, config.model, data.classes)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _keep_known_classes(model: nn.Module, name: str, classes: Sequence[str]) -> None:
    """Set the rows of a new head for classes that the pretrained weights know."""
    source = model_io.load_model(name)
    names = model_io.label_names(source) or []
    rows = [row for row, one in enumerate(classes) if one in names]
    new, old = (one.get_classifier() for one in (model, source))  # type: ignore[operator]
    if not (rows and isinstance(new, nn.Linear) and isinstance(old, nn.Linear)):
        return
    known = [names.index(classes[row]) for row in rows]
    with torch.no_grad():
        new.weight[rows] = old.weight[known]
        if new.bias is not None and old.bias is not None:
            new.bias[rows] = old.bias[known]


def match_classes(data: Data, model: nn.Module, name: str) -> Data:
    """Return the data with labels in the order of the model's logits.

    Raises:
        UserError: The model lacks a class, or names none and has another number of classes.
    """
    names = model_io.label_names(model)
    is_stream = any(isinstance(images, Stream) for images in data.splits.values())
    if names is None or (is_stream and len(names) == len(data.classes)):
        if len(data.classes) != model.num_classes:
            raise UserError(
                f"{data.name} has {len(data.classes)} classes, but {name} has {model.num_classes}."
            )
        return data
    return data.reorder_classes(names, name)
