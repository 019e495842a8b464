"""The model of a detector: built for a data set, saved, and loaded."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spectralvision.data.images import estimate_median_side
from spectralvision.data.splits import Data
from spectralvision.engine import model_io
from spectralvision.engine.weights_io import (
    load_matching,
    load_weights,
    network_arguments,
    read_config,
    read_weights,
    save_weights,
)
from spectralvision.runs import UserError
from spectralvision.tasks.detection.config import (
    MAX_LONG_SIDE,
    MAX_SHORT_SIDE,
    MAX_SQUARE_SIDE,
    DetectionConfig,
)
from spectralvision.tasks.detection.data import find_categories
from spectralvision.tasks.detection.detector import Detector, DetectorSettings

TASK = "detection"
SIZE_STEP = 32
"""Automatic input sizes are multiples of it, in pixels."""
SMALLEST_SIDE = 64
"""Of an automatic input size."""
OTHER_SIZE = (96, 64)
"""Width and height of an image that a network of any size takes."""
CLASS_PARTS = ("cls_logits", "cls_score", "bbox_pred", "mask_fcn_logits", "classification_head")
"""Parts of the names of weights of single classes."""


def build_model(
    config: DetectionConfig, data: Data, is_new: bool = True
) -> tuple[Detector, DetectionConfig]:
    """Return the detector at the input size that suits the images, and the settings with it.

    Raises:
        UserError: No such network, no weights, or a network that the detector cannot use.
    """
    # 1. Input size
    size, longest = choose_size(config, data)
    config = replace(config, input_size=size, max_size=longest)
    settings = DetectorSettings(
        detector=config.detector,
        num_classes=len(data.classes),
        fpn_channels=config.fpn_channels,
        input_size=size,
        max_size=longest,
    )

    # 2. Network and detector; a run of this task brings the weights of both
    torch.manual_seed(config.seed)
    known = _read_start(config.model)
    start = known if known.get("task") == TASK else {}
    model_args = network_arguments(known, config.model)
    network = _load_network(
        str(start["architecture"]) if start else config.model,
        size,
        pretrained=is_new and not start and config.pretrained == "published",
        drop_path_rate=config.optimizer.drop_path or None,
        **(model_args if start else {}),
    )
    categories = find_categories(data.split("train"), len(data.classes))
    model = Detector(network, settings, categories)
    model.model_args = model_args
    model_io.describe(model, data.classes, size)
    if start and is_new:
        _load_start(model, config.model, data.classes)
    _check_shapes(model, config.model)
    return model.to(memory_format=torch.channels_last), config  # type: ignore[call-overload]


def choose_size(config: DetectionConfig, data: Data) -> tuple[int, int]:
    """Return the shorter side of the input, and the longer one at most, in pixels."""
    if isinstance(config.input_size, int):
        size = config.input_size
    else:
        largest = MAX_SQUARE_SIDE if config.is_square else MAX_SHORT_SIDE
        side = estimate_median_side(data.split("train"))
        size = min(largest, max(SMALLEST_SIDE, SIZE_STEP * math.ceil(side / SIZE_STEP)))
    if config.is_square:
        return size, size
    if isinstance(config.max_size, int):
        return size, max(size, config.max_size)
    return size, math.ceil(size * MAX_LONG_SIDE / MAX_SHORT_SIDE)


def save_model(model: Detector, run: Path) -> None:
    """Write config.json and model.safetensors into a run folder, each whole or not at all."""
    preprocessing = model_io.data_config(model)
    config = {
        "task": TASK,
        "architecture": model_io.architecture(model),
        "label_names": model_io.label_names(model),
        "categories": list(model.categories),
        "num_classes": model.num_classes,
        "settings": model.settings.to_json(),
        "model_args": model.model_args,
        "pretrained_cfg": {
            "architecture": model_io.architecture(model),
            **{name: preprocessing[name] for name in ("mean", "std", "interpolation")},
            "input_size": preprocessing["input_size"],
        },
    }
    save_weights(model, config, run)


def load_model(name: str) -> Detector:
    """Return the detector of a run folder or a repository.

    Raises:
        UserError: It is not one, or its weights cannot be used.
    """
    config, state = read_weights(name, TASK)
    try:
        settings = DetectorSettings(**config["settings"])
        classes = [str(one) for one in config["label_names"]]
        model_args = network_arguments(config, name)
        network = _load_network(str(config["architecture"]), settings.input_size, **model_args)
        categories = [int(one) for one in config["categories"]]
        if len(set(categories)) != len(classes):
            raise ValueError(f"{len(classes)} classes, but the categories {categories}")
        model = Detector(network, settings, categories)
        model.model_args = model_args
        model_io.describe(model, classes, settings.input_size)
        known = config["pretrained_cfg"]
        model.pretrained_cfg |= {
            "mean": tuple(map(float, known["mean"])),
            "std": tuple(map(float, known["std"])),
            "interpolation": str(known["interpolation"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name} has no config.json of this version ({error!r}).") from None
    load_weights(model, state, name)
    return model.to(memory_format=torch.channels_last)


def _read_start(name: str) -> dict[str, Any]:
    """Return config.json of a run of a classifier or a detector; empty for a model's name."""
    config = read_config(name) if model_io.brings_weights(name) else {}
    known = config.get("task", "classification")
    if known not in (TASK, "classification"):
        raise UserError(f"{name} is for {known}: start from a classifier or from a detector.")
    return config


def _check_shapes(model: Detector, name: str) -> None:
    """Raise `UserError` for a network that does not take images of all shapes."""
    width, height = (model.settings.input_size,) * 2 if model.settings.is_square else OTHER_SIZE
    problem = model_io.check_forward(model, height, width)
    if problem:
        raise UserError(
            f"{name} with --detector {model.settings.detector} does not take {width} x {height} "
            f"pixels ({problem}): use a network that takes images of any size, such as affnet_t."
        )


def _load_network(name: str, size: int, pretrained: bool = False, **options: Any) -> nn.Module:
    """Return a network of feature maps."""
    options |= {"features_only": True, "img_size": size}
    return model_io.load_model(name, pretrained=pretrained, num_classes=0, **options)


def _load_start(model: Detector, name: str, classes: Sequence[str]) -> None:
    """Load the weights of another detector; those of single classes only for the same ones."""
    loaded = load_matching(model, name, TASK, classes, CLASS_PARTS)
    if not any(key.startswith("net.backbone.") for key in loaded):
        raise UserError(f"the weights in {name} do not fit its own architecture.")
