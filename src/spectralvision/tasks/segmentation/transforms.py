"""Transforms of an image and its class map, and what they make of both."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from spectralvision.data.masks import IGNORED, ClassMap
from spectralvision.runs import UserError
from spectralvision.tasks.segmentation.config import AugmentationConfig

MAX_ASPECT = 8
"""Longer over shorter side of images that are resized by their shorter side."""


class SizedImage(NamedTuple):
    """The input of a model in evaluation."""

    pixels: Tensor
    """(3, h, w) float32, normalized."""
    size: Tensor
    """(2,) int64: height and width of the image itself."""


class EvalTransform:
    """(image, target) -> (`SizedImage`, target); class maps become (H, W) int64 tensors.

    Args:
        short_side: To which the image is resized; None: not at all.
        preprocessing: mean, std and interpolation, as `data_config` has them.
    """

    def __init__(self, short_side: int | None, preprocessing: dict[str, Any]) -> None:
        self.short_side = short_side
        self.normalize = Normalize(preprocessing)

    def __call__(self, image: Image.Image, target: Any) -> tuple[SizedImage, Any]:
        if isinstance(target, ClassMap):
            target = read_target(image, target)
        pixels = F.pil_to_tensor(image)
        height, width = pixels.shape[-2:]
        pixels = self.normalize.resize(pixels, find_scale((height, width), self.short_side))
        return SizedImage(self.normalize(pixels), torch.tensor([height, width])), target


class TrainTransform:
    """(image, class map) -> ((3, S, S) float32, (S, S) int64): a random crop, see the settings.

    Args:
        augmentation: Settings.
        size: S in pixels.
        short_side: To which the image is resized before the random scale; None: not at all.
        preprocessing: mean, std and interpolation, as `data_config` has them.
    """

    def __init__(
        self,
        augmentation: AugmentationConfig,
        size: int,
        short_side: int | None,
        preprocessing: dict[str, Any],
    ) -> None:
        self.augmentation, self.size, self.short_side = augmentation, size, short_side
        self.normalize = Normalize(preprocessing)
        self.distort = v2.RandomPhotometricDistort(p=augmentation.distortion)

    def __call__(self, image: Image.Image, target: ClassMap) -> tuple[Tensor, Tensor]:
        settings = self.augmentation
        pixels, classes = F.pil_to_tensor(image), read_target(image, target)

        # 1. Scale, rotation
        scale = draw(settings.min_scale, settings.max_scale)
        scale *= find_scale(pixels.shape[-2:], self.short_side)
        pixels = self.normalize.resize(pixels, scale)
        masks = F.resize(classes[None], list(pixels.shape[-2:]), InterpolationMode.NEAREST)
        if settings.rotation:
            angle = draw(-settings.rotation, settings.rotation)
            pixels = F.rotate(pixels, angle, InterpolationMode.BILINEAR, fill=self.normalize.fill)
            masks = F.rotate(masks.float(), angle, fill=[IGNORED]).long()

        # 2. Crop, flip
        pixels, masks = self._crop(pixels, masks)
        if draw(0, 1) < settings.hflip:
            pixels, masks = pixels.flip(-1), masks.flip(-1)

        # 3. Colors
        return self.normalize(self.distort(pixels)), masks[0]

    def _crop(self, pixels: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Return a random square; what is outside of the image is ignored."""
        height, width = pixels.shape[-2:]
        size = self.size
        missing = [0, 0, max(size - width, 0), max(size - height, 0)]  # right and below
        pixels = F.pad(pixels, missing, fill=self.normalize.fill)
        masks = F.pad(masks, missing, fill=IGNORED)
        top = int(draw(0, max(height - size, 0) + 1))
        left = int(draw(0, max(width - size, 0) + 1))
        rows, columns = slice(top, top + size), slice(left, left + size)
        return pixels[:, rows, columns], masks[:, rows, columns]


class Normalize:
    """(3, h, w) uint8 -> float32 with the mean and std of a model."""

    def __init__(self, preprocessing: dict[str, Any]) -> None:
        self.mean, self.std = list(preprocessing["mean"]), list(preprocessing["std"])
        self.fill = [round(255 * value) for value in self.mean]
        self.interpolation = InterpolationMode(preprocessing["interpolation"])

    def __call__(self, pixels: Tensor) -> Tensor:
        return F.normalize(F.to_dtype(pixels, torch.float32, scale=True), self.mean, self.std)

    def resize(self, pixels: Tensor, scale: float) -> Tensor:
        """Return pixels at a size multiplied by a factor."""
        size = [max(1, round(side * scale)) for side in pixels.shape[-2:]]
        if size == list(pixels.shape[-2:]):
            return pixels
        return F.resize(pixels, size, self.interpolation, antialias=True)


def find_scale(size: Sequence[int], short_side: int | None) -> float:
    """Return the factor that gives an image of (H, W) pixels its shorter side.

    For an image that is longer than `MAX_ASPECT` times its width, that which gives the longer side
    `MAX_ASPECT` times `short_side`.
    """
    if short_side is None:
        return 1.0
    return short_side / max(min(size), max(size) / MAX_ASPECT)


def read_target(image: Image.Image, target: ClassMap) -> Tensor:
    """Return the (H, W) int64 classes of the pixels of an image.

    Raises:
        UserError: The mask has another size.
    """
    height, width = target.classes.shape
    if (width, height) != image.size:
        raise UserError(
            f"{target.source} has {width} x {height} pixels, but its image {image.width} x "
            f"{image.height}."
        )
    return torch.from_numpy(target.classes).long()


def draw(low: float, high: float) -> float:
    """Return a random number from torch's generator."""
    return low + (high - low) * float(torch.rand(()))
