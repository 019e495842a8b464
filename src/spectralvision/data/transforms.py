"""timm's image transforms, and an adapter that makes them transforms of image and target."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from PIL import Image
from torch import Tensor

from spectralvision.data.augmentation import AugmentationConfig

SampleTransform: TypeAlias = Callable[[Image.Image, Any], tuple[Any, Any]]
"""(PIL image, target) -> (input of the model, target)."""


class ImageTransform:
    """Adapt a transform of images: (image, target) -> (transform(image), target)."""

    def __init__(self, transform: Callable[[Image.Image], Tensor]) -> None:
        self.transform = transform

    def __call__(self, image: Image.Image, target: Any) -> tuple[Tensor, Any]:
        return self.transform(image), target


def build_train_transform(augmentation: AugmentationConfig, config: dict[str, Any]) -> Any:
    """Return timm's training transform: PIL image -> (3, H, W) float tensor.

    Args:
        augmentation: Settings without `auto` (see `AugmentationConfig.resolve`).
        config: The result of timm's `resolve_data_config` for the model.
    """
    from timm.data import create_transform

    assert not isinstance(augmentation.hflip, str), "resolve against the data first"
    assert not isinstance(augmentation.min_scale, str), "resolve against the data first"
    policy = augmentation.auto_augment
    return create_transform(
        input_size=config["input_size"],
        is_training=True,
        scale=(augmentation.min_scale, 1.0),
        hflip=augmentation.hflip,
        auto_augment=None if policy == "none" else policy,
        color_jitter=augmentation.color_jitter,
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
        re_prob=augmentation.re_prob,
        re_mode="pixel",
    )


def build_eval_transform(config: dict[str, Any]) -> Any:
    """Return timm's evaluation transform: PIL image -> (3, H, W) float tensor.

    Args:
        config: The result of timm's `resolve_data_config` for the model.
    """
    from timm.data import create_transform

    return create_transform(
        input_size=config["input_size"],
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
        crop_pct=config["crop_pct"],
        crop_mode=config["crop_mode"],
    )


def denormalize(tensor: Tensor, config: Mapping[str, Any]) -> Image.Image:
    """Return a (3, H, W) tensor, as a transform with this `config` makes it, as an image."""
    mean = torch.tensor(config["mean"]).view(-1, 1, 1)
    std = torch.tensor(config["std"]).view(-1, 1, 1)
    pixels = ((tensor * std + mean).clamp(0, 1) * 255).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())
