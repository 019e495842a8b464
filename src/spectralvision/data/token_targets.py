"""From a label map to targets: cut to the training crop by RoI alignment, mirrored with it (Jiang et al., 2021).

What a sample becomes remains a function of (seed, epoch, index, repeat). Distortions that a policy such as RandAugment
adds after the crop move the pixels a little and not the labels, as in the published method.
"""

from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import roi_align
from torchvision.transforms import Compose, RandomHorizontalFlip
from torchvision.transforms import functional as vision

from spectralvision.data.datasets import Images
from spectralvision.data.label_maps import LabelMaps
from spectralvision.data.loading import Samples
from spectralvision.data.transforms import Augmentation, train_transform


class View(NamedTuple):
    """What a training sample shows of its image."""

    box: Tensor  # (4,) float32: left, top, right, bottom as shares of the image's sides
    flipped: Tensor  # () bool: mirrored left to right after the crop


class Labels(NamedTuple):
    """A batch of label maps and of the views to cut from them."""

    values: Tensor  # (B, K, H, W) float16
    indices: Tensor  # (B, K, H, W) int16
    box: Tensor  # (B, 4) float32
    flipped: Tensor  # (B,) bool


class Targets(NamedTuple):
    """Distributions over the classes, float32."""

    image: Tensor  # (B, classes)
    tokens: Tensor  # (B, N, classes), the tokens of a grid in row-major order


class JointTransform:
    """PIL image -> ((3, H, W) float, View): the pixels of `train_transform`, and what they show."""

    def __init__(self, augmentation: Augmentation, config: dict[str, Any]) -> None:
        crop, *rest = train_transform(augmentation, config).transforms
        self.crop, self.hflip = crop, 0.0
        if isinstance(rest[0], RandomHorizontalFlip):
            self.hflip = float(rest.pop(0).p)
        self.rest = Compose(rest)

    def __call__(self, image: Image.Image) -> tuple[Tensor, View]:
        crop, (width, height) = self.crop, image.size
        top, left, rows, columns = crop.get_params(image, crop.scale, crop.ratio)
        image = vision.resized_crop(image, top, left, rows, columns, crop.size, crop.interpolation)
        flipped = self.hflip > 0 and bool(torch.rand(1) < self.hflip)
        if flipped:
            image = vision.hflip(image)
        box = torch.tensor([left / width, top / height, (left + columns) / width, (top + rows) / height])
        return self.rest(image), View(box, torch.tensor(flipped))


class LabelledSamples(Samples):
    """Transformed images with their label maps: (3, H, W) float, label, `Labels` of one image."""

    def __init__(self, images: Images, transform: Any, seed: int = 0, *, maps: LabelMaps, **options: Any) -> None:
        super().__init__(images, transform, seed, **options)
        self.maps = maps

    def __getitem__(self, key: Any) -> Any:
        (image, view), label = super().__getitem__(key)
        return image, label, Labels(*self.maps[key[1] if isinstance(key, tuple) else key], *view)


def make_targets(labels: Labels, num_classes: int, grid: tuple[int, int], logits: bool) -> Targets:
    """Targets of the image, a 1x1 cut of its crop, and of a grid of h x w tokens.

    Probabilities that the maps leave out are spread evenly over all classes. Logits, 0 where left out, become
    probabilities after the cut.
    """
    maps = dense(labels.values, labels.indices, num_classes)
    image, tokens = (cut(maps, labels.box, labels.flipped, size) for size in ((1, 1), grid))
    finish = _softmax if logits else _completed
    return Targets(finish(image).flatten(1), finish(tokens).flatten(2).mT)


def dense(values: Tensor, indices: Tensor, num_classes: int) -> Tensor:
    """(B, K, H, W) values and classes -> (B, num_classes, H, W) float32, 0 where nothing is said."""
    batch, _, height, width = values.shape
    maps = torch.zeros(batch, num_classes, height, width, device=values.device)
    return maps.scatter_(1, indices.long(), values.float())


def cut(maps: Tensor, box: Tensor, flipped: Tensor, grid: tuple[int, int]) -> Tensor:
    """The boxes of some maps, (B, C, H, W) -> (B, C, h, w), averaged over each cell of an h x w grid, then mirrored."""
    sides = torch.tensor([maps.shape[3], maps.shape[2]] * 2, device=box.device)  # columns, rows, columns, rows
    found: Tensor = roi_align(maps, list((box * sides).unsqueeze(1)), output_size=grid, aligned=True)
    return torch.where(flipped[:, None, None, None], found.flip(-1), found)


def _softmax(maps: Tensor) -> Tensor:
    return maps.softmax(dim=1)


def _completed(maps: Tensor) -> Tensor:
    rest = (1 - maps.sum(dim=1, keepdim=True)).clamp(min=0)
    return maps + rest / maps.shape[1]
