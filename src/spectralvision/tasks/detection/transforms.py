"""Transforms of images with objects. Randomness comes from torch's global generator only."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from spectralvision.data.objects import Objects, decode_masks
from spectralvision.tasks.detection.config import DetectionAugmentation
from spectralvision.tasks.detection.detector import DetectorSettings, SizedImage

Size = tuple[int, int]
Sample = dict[str, Any]
"""image (PIL), boxes, labels (N,), and masks or None."""
MIN_SIDE_PIXELS = 1.0
"""Of a box that is trained on: what a crop leaves of an object may be less."""


class EvalTransform:
    """(image, target) -> (`SizedImage`, target as it is).

    Args:
        settings: The size.
        preprocessing: mean, std and interpolation, as `model_io.data_config` returns them.
    """

    def __init__(self, settings: DetectorSettings, preprocessing: dict[str, Any]) -> None:
        self.settings = settings
        self.normalize = v2.Normalize(preprocessing["mean"], preprocessing["std"])
        self.interpolation = v2.InterpolationMode(preprocessing["interpolation"])

    def __call__(self, image: Image.Image, target: Any) -> tuple[SizedImage, Any]:
        size = (image.height, image.width)
        return SizedImage(self.to_pixels(self.resize(image, self.fit(size))), size), target

    def fit(self, size: Size) -> Size:
        """Return (h, w) of an image of (H, W) pixels as the detector takes it."""
        short, long = self.settings.input_size, self.settings.max_size
        if self.settings.is_square:
            return (short, short)
        scale = min(short / min(size), long / max(size))
        height, width = (max(1, round(side * scale)) for side in size)
        return (height, width)

    def resize(self, image: Any, size: Size) -> Any:
        """Return an image, boxes or masks at another size."""
        kind = v2.InterpolationMode.NEAREST
        if isinstance(image, Image.Image):
            kind = self.interpolation
        return v2.functional.resize(image, list(size), interpolation=kind, antialias=True)

    def to_pixels(self, image: Image.Image) -> Tensor:
        """Return (3, h, w) normalized."""
        tensor = v2.functional.to_dtype(v2.functional.pil_to_tensor(image), scale=True)
        normalized: Tensor = self.normalize(tensor)
        return normalized


class TrainTransform(EvalTransform):
    """(image, objects) -> (`SizedImage`, boxes, labels and masks in its pixels).

    Crowds are left out. The image is flipped, changed in color, resized by a random factor, and
    cropped at random to what it is without the factor. Squares are filled up with zeros.

    Args:
        settings, preprocessing: See `EvalTransform`.
        augmentation: Without `auto`.
        with_masks: Whether to decode and return masks.
    """

    def __init__(
        self,
        settings: DetectorSettings,
        preprocessing: dict[str, Any],
        augmentation: DetectionAugmentation,
        with_masks: bool = False,
    ) -> None:
        super().__init__(settings, preprocessing)
        self.augmentation, self.with_masks = augmentation, with_masks
        strength = augmentation.color_jitter
        self.jitter = v2.ColorJitter(strength, strength, strength)

    def __call__(self, image: Image.Image, target: Objects) -> tuple[SizedImage, dict[str, Tensor]]:
        size = (image.height, image.width)
        sample = self._read(image, target)

        # 1. Flip and color
        if torch.rand(()) < float(self.augmentation.hflip):
            sample = _apply(v2.functional.horizontal_flip, sample)
        sample["image"] = self.jitter(sample["image"])

        # 2. Resize by a random factor, and crop to the usual size
        canvas = self.fit(size)
        low, high = self.augmentation.min_scale, self.augmentation.max_scale
        factor = low + (high - low) * float(torch.rand(()))
        scaled = (max(1, round(canvas[0] * factor)), max(1, round(canvas[1] * factor)))
        sample = _apply(lambda one: self.resize(one, scaled), sample)
        sample = _crop_at_random(sample, canvas)

        # 3. Normalize, and fill up a square
        sample["image"] = tv_tensors.Image(self.to_pixels(sample["image"]))
        if self.settings.is_square:
            sample = _pad_at_random(sample, canvas)
        return SizedImage(sample["image"].as_subclass(Tensor), size), _visible(sample)

    def _read(self, image: Image.Image, target: Objects) -> Sample:
        """Return an image with its objects that are no crowds."""
        keep = ~target.is_crowd
        size = (image.height, image.width)
        masks = None
        if self.with_masks:
            segments = [one for one, kept in zip(target.segments, keep, strict=True) if kept]
            decoded = decode_masks(_select(target, keep, segments))
            masks = tv_tensors.Mask(torch.from_numpy(decoded.astype(np.uint8)))
        boxes = torch.from_numpy(target.boxes[keep].astype(np.float32)).reshape(-1, 4)
        return {
            "image": image,
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),  # type: ignore[call-overload]
            "labels": torch.from_numpy(target.labels[keep].astype(np.int64)),
            "masks": masks,
        }


def _select(objects: Objects, keep: np.ndarray, segments: list[Any]) -> Objects:
    return objects._replace(
        boxes=objects.boxes[keep],
        labels=objects.labels[keep],
        is_crowd=objects.is_crowd[keep],
        areas=objects.areas[keep],
        segments=segments,
    )


def _apply(change: Callable[[Any], Any], sample: Sample) -> Sample:
    """Return a sample with image, boxes and masks changed alike."""
    changed = {
        name: change(value)
        for name, value in sample.items()
        if name in ("image", "boxes", "masks") and value is not None
    }
    return sample | changed


def _crop_at_random(sample: Sample, canvas: Size) -> Sample:
    width, height = sample["image"].size
    h, w = min(height, canvas[0]), min(width, canvas[1])
    if (h, w) == (height, width):
        return sample
    top = int(torch.randint(height - h + 1, ()))
    left = int(torch.randint(width - w + 1, ()))
    cropped = _apply(lambda one: v2.functional.crop(one, top, left, h, w), sample)
    if cropped["masks"] is not None:
        cropped["boxes"] = _fit_to_masks(cropped["boxes"], cropped["masks"])
    return cropped


def _fit_to_masks(boxes: Any, masks: Tensor) -> Any:
    """Return the boxes of what is left of masks; without area where nothing is left."""
    found = torch.zeros_like(boxes.as_subclass(Tensor))
    for index, mask in enumerate(masks.as_subclass(Tensor)):
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        if len(rows):
            edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            found[index] = torch.stack(edges).to(found.dtype)
    return tv_tensors.wrap(found, like=boxes)


def _pad_at_random(sample: Sample, canvas: Size) -> Sample:
    height, width = sample["image"].shape[-2:]
    bottom, right = canvas[0] - height, canvas[1] - width
    if not bottom and not right:
        return sample
    top = int(torch.randint(bottom + 1, ()))
    left = int(torch.randint(right + 1, ()))
    padding = [left, top, right - left, bottom - top]
    return _apply(lambda one: v2.functional.pad(one, padding), sample)


def _visible(sample: Sample) -> dict[str, Tensor]:
    """Return what is left of the objects in the image."""
    boxes = v2.functional.clamp_bounding_boxes(sample["boxes"]).as_subclass(Tensor)
    keep = ((boxes[:, 2:] - boxes[:, :2]) >= MIN_SIDE_PIXELS).all(dim=1)
    target = {"labels": sample["labels"]}
    if sample["masks"] is not None:
        masks = sample["masks"].as_subclass(Tensor)
        keep &= masks.flatten(1).bool().any(dim=1)
        target["masks"] = masks
    target["boxes"] = boxes
    return {name: value[keep] for name, value in target.items()}
