"""Targets from label maps, cropped by RoI alignment with the image (Jiang et al., 2021).

A sample is still a function of (seed, epoch, index, repeat). Distortions that a policy such as
RandAugment adds after the crop move pixels slightly and not the labels, as in the published method.
"""

from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import roi_align
from torchvision.transforms import Compose, RandomHorizontalFlip
from torchvision.transforms import functional as vision

from spectralvision.data.augmentation import AugmentationConfig
from spectralvision.data.images import Images, WrappedImages
from spectralvision.data.transforms import build_train_transform
from spectralvision.tasks.classification.token_labels.storage import LabelMap, LabelMaps


class Labels(NamedTuple):
    """Label maps and the views to cut from them, of one image or of a batch."""

    values: Tensor  # (B, K, H, W) float16
    indices: Tensor  # (B, K, H, W) int16
    box: Tensor  # (B, 4) float32: left, top, right, bottom as fractions of the image's sides
    flipped: Tensor  # (B,) bool: flipped horizontally after the crop


class TokenLabelTarget(NamedTuple):
    """The target of a training sample: its class label and its label map."""

    label: Any  # int; (B,) int64 of a batch
    maps: Any  # LabelMap before the transform, Labels after it


class Targets(NamedTuple):
    """Distributions over the classes, float32."""

    image: Tensor  # (B, classes)
    tokens: Tensor  # (B, N, classes), the tokens of a grid in row-major order


class LabelMapImages(WrappedImages):
    """Images whose target is the label and the label map."""

    def __init__(self, base: Images, maps: LabelMaps) -> None:
        super().__init__(base, base.labels)
        self.maps = maps

    def target(self, index: int) -> TokenLabelTarget:
        return TokenLabelTarget(int(self.labels[index]), self.maps[index])


class TokenLabelTransform:
    """Training transform of an image and its label map.

    (PIL image, `TokenLabelTarget` with a `LabelMap`) -> ((3, H, W) float, `TokenLabelTarget` with
    `Labels`). The pixels are those of `build_train_transform` with the same seed.
    """

    def __init__(self, augmentation: AugmentationConfig, config: dict[str, Any]) -> None:
        crop, *rest = build_train_transform(augmentation, config).transforms
        self.crop = crop
        self.hflip = 0.0
        if isinstance(rest[0], RandomHorizontalFlip):
            self.hflip = float(rest.pop(0).p)
        self.rest = Compose(rest)

    def __call__(
        self, image: Image.Image, target: TokenLabelTarget
    ) -> tuple[Tensor, TokenLabelTarget]:
        # 1. Crop, and flip at random
        crop = self.crop
        width, height = image.size
        top, left, rows, columns = crop.get_params(image, crop.scale, crop.ratio)
        image = vision.resized_crop(image, top, left, rows, columns, crop.size, crop.interpolation)
        flipped = self.hflip > 0 and bool(torch.rand(1) < self.hflip)
        if flipped:
            image = vision.hflip(image)

        # 2. Record the same view for the label map
        label_map: LabelMap = target.maps
        box = [left / width, top / height, (left + columns) / width, (top + rows) / height]
        labels = Labels(*label_map, torch.tensor(box), torch.tensor(flipped))

        # 3. Apply the other transforms
        return self.rest(image), TokenLabelTarget(target.label, labels)


def make_targets(labels: Labels, num_classes: int, grid: tuple[int, int], logits: bool) -> Targets:
    """Return the target of the image (a 1x1 crop of its view) and of a grid of h x w tokens.

    Probabilities that the maps leave out are spread evenly over all classes. Logits, 0 where left
    out, become probabilities after the crop.
    """
    maps = scatter_to_classes(labels.values, labels.indices, num_classes)
    image, tokens = (crop_maps(maps, labels.box, labels.flipped, size) for size in ((1, 1), grid))
    finish = _softmax if logits else _spread_rest
    return Targets(finish(image).flatten(1), finish(tokens).flatten(2).mT)


def make_image_target(labels: Labels, num_classes: int, logits: bool) -> Tensor:
    """Return the (B, classes) target of the image alone, see `make_targets`."""
    maps = scatter_to_classes(labels.values, labels.indices, num_classes)
    crops = crop_maps(maps, labels.box, labels.flipped, (1, 1))
    return (_softmax if logits else _spread_rest)(crops).flatten(1)


def example_target(labels: Tensor) -> TokenLabelTarget:
    """Return the target of (B,) labels, with maps of random probabilities of these classes."""
    values = torch.rand(len(labels), 1, 1, 1, dtype=torch.float16)
    box = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(len(labels), 4)
    maps = Labels(values, labels.view(-1, 1, 1, 1).short(), box, labels < 0)
    return TokenLabelTarget(labels, maps)


def scatter_to_classes(values: Tensor, indices: Tensor, num_classes: int) -> Tensor:
    """Scatter (B, K, H, W) values and classes to (B, num_classes, H, W) float32, 0 elsewhere."""
    batch, _, height, width = values.shape
    maps = torch.zeros(batch, num_classes, height, width, device=values.device)
    return maps.scatter_(1, indices.long(), values.float())


def crop_maps(maps: Tensor, box: Tensor, flipped: Tensor, grid: tuple[int, int]) -> Tensor:
    """Crop boxes of maps, (B, C, H, W) -> (B, C, h, w), by RoI alignment, then flip."""
    width, height = maps.shape[3], maps.shape[2]
    sides = torch.tensor([width, height, width, height], device=box.device)
    boxes = list((box * sides).unsqueeze(1))
    crops: Tensor = roi_align(maps, boxes, output_size=grid, aligned=True)
    return torch.where(flipped[:, None, None, None], crops.flip(-1), crops)


def _softmax(maps: Tensor) -> Tensor:
    return maps.softmax(dim=1)


def _spread_rest(maps: Tensor) -> Tensor:
    rest = (1 - maps.sum(dim=1, keepdim=True)).clamp(min=0)
    return maps + rest / maps.shape[1]
