"""A detector: sized images -> losses in training, detections in evaluation."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import paste_masks_in_image

from spectralvision.engine.optimizer import find_undecayed
from spectralvision.tasks.detection.config import SQUARE, WITH_MASKS
from spectralvision.tasks.detection.detectors import (
    SIZE_DIVISIBLE,
    WITH_BACKGROUND,
    build_net,
    dense_outputs,
    result_owner,
)

DEFAULT_MIN_SCORE = 0.3
"""Score from which on objects are shown, before a validation chooses it."""
MASKS_AT_ONCE = 8
"""Instance masks that are enlarged to the size of the image at a time."""
RunLengths = dict[str, Any]
"""COCO's compressed run lengths of a mask: {"size": [H, W], "counts": text}."""


class SizedImage(NamedTuple):
    """An image as the detector takes it."""

    pixels: Tensor
    """(3, h, w) normalized."""
    size: tuple[int, int]
    """(H, W) of the original in pixels."""


class Detections(NamedTuple):
    """What is found in an image, N objects, the highest score first. On the CPU."""

    boxes: Tensor
    """(N, 4) float32: x1, y1, x2, y2 in pixels of the original image."""
    labels: Tensor
    """(N,) int64."""
    scores: Tensor
    """(N,) float32."""
    masks: list[RunLengths] | None
    """N masks at the size of the original; None for a detector of boxes."""
    size: tuple[int, int]
    """(H, W) of the original."""

    def above(self, score: float) -> "Detections":
        """Return those with at least this score."""
        count = int((self.scores >= score).sum())
        masks = None if self.masks is None else self.masks[:count]
        first = (self.boxes[:count], self.labels[:count], self.scores[:count])
        return Detections(*first, masks, self.size)


@dataclass(frozen=True, kw_only=True)
class DetectorSettings:
    """What the weights of a detector depend on, besides the network, and its input size."""

    detector: str
    num_classes: int
    fpn_channels: int
    input_size: int
    max_size: int

    @property
    def is_square(self) -> bool:
        """Whether images are stretched to squares."""
        return self.detector in SQUARE

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


class Detector(nn.Module):
    """A torchvision detector over a timm network.

    In evaluation only images of the same padded size are in one batch, so that a result does not
    depend on the other images.

    Args:
        network: Made with `features_only=True`.
        settings: The kind and the sizes.
        categories: Number of each class in the annotation files.

    Attributes:
        pretrained_cfg: As timm's models have it: preprocessing and class names.
        model_args: Arguments of the network besides its name, of a run that was started from.
        min_score: (), score from which on objects are shown, as chosen in validation.
    """

    min_score: Tensor

    def __init__(
        self, network: Any, settings: DetectorSettings, categories: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.settings = settings
        self.num_classes = settings.num_classes
        self.model_args: dict[str, Any] = {}
        self.categories = tuple(categories) or tuple(range(1, settings.num_classes + 1))
        self.pretrained_cfg = self.default_cfg = dict(network.pretrained_cfg)
        self.net = build_net(
            settings.detector,
            network,
            settings.num_classes,
            settings.fpn_channels,
            settings.input_size,
        )
        self.register_buffer("min_score", torch.tensor(DEFAULT_MIN_SCORE))
        self.first_label = int(settings.detector in WITH_BACKGROUND)
        self.has_masks = settings.detector in WITH_MASKS

    @property
    def head_name(self) -> str:
        """What is on the network, for people."""
        return self.settings.detector

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that the mixers exclude from weight decay."""
        return find_undecayed(self)

    @property
    def backbone(self) -> nn.Module:
        """The timm network."""
        network: nn.Module = self.net.backbone.maps.network
        return network

    def set_max_detections(self, number: int) -> None:
        """Set the maximum number of objects to find in an image."""
        result_owner(self.net).detections_per_img = number

    def lower_min_score(self, score: float) -> None:
        """Find objects with at least this score too."""
        owner = result_owner(self.net)
        owner.score_thresh = min(owner.score_thresh, score)

    def compile(self, **options: Any) -> None:
        """Compile the network; what follows depends on what is found."""
        self.backbone.compile(**options)  # type: ignore[no-untyped-call]

    def forward(
        self, images: Sequence[SizedImage] | Tensor, targets: Sequence[dict[str, Tensor]] = ()
    ) -> Any:
        """Return the losses by name in training, else the detections of each image.

        Args:
            images: A batch; for a tensor (B, 3, H, W) the result is `dense_outputs`.
            targets: In training for each image "boxes" and "labels" in its pixels, and "masks"
                (N, h, w) for Mask R-CNN.
        """
        if isinstance(images, Tensor):
            return dense_outputs(self.net, images)
        if not self.training:
            return self._detect(images)
        shifted = [one | {"labels": one["labels"] + self.first_label} for one in targets]
        losses = self.net([image.pixels for image in images], shifted)
        return {name.removeprefix("loss_"): loss for name, loss in losses.items()}

    def _detect(self, images: Sequence[SizedImage]) -> list[Detections]:
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, image in enumerate(images):
            sides = image.pixels.shape[-2:]
            groups[tuple(-(-side // SIZE_DIVISIBLE) for side in sides)].append(index)
        found: dict[int, Detections] = {}
        for indices in groups.values():
            outputs = self.net([images[index].pixels for index in indices])
            for index, output in zip(indices, outputs, strict=True):
                found[index] = self._to_original(output, images[index])
        return [found[index] for index in range(len(images))]

    def _to_original(self, output: dict[str, Tensor], image: SizedImage) -> Detections:
        """Return what is found in an image, in pixels of the original."""
        (height, width), (h, w) = image.size, image.pixels.shape[-2:]
        scale = output["boxes"].new_tensor([width / w, height / h] * 2)
        order = output["scores"].float().argsort(descending=True, stable=True)
        boxes = (output["boxes"].float() * scale)[order]
        masks = None
        if self.has_masks:
            masks = encode_masks(output["masks"][order], boxes, image.size)
        return Detections(
            boxes.cpu(),
            (output["labels"] - self.first_label)[order].cpu(),
            output["scores"].float()[order].cpu(),
            masks,
            image.size,
        )


def encode_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> list[RunLengths]:
    """Return the run lengths of (N, 1, h, w) masks of boxes (N, 4) in an image of (H, W) pixels."""
    from faster_coco_eval import mask as coco

    found: list[RunLengths] = []
    for start in range(0, len(masks), MASKS_AT_ONCE):
        some = slice(start, start + MASKS_AT_ONCE)
        pasted = paste_masks_in_image(masks[some], boxes[some], size)[:, 0] > 0.5
        for one in pasted.to(torch.uint8).cpu().numpy():
            runs = coco.encode(np.asfortranarray(one))
            found.append({"size": list(runs["size"]), "counts": runs["counts"].decode("ascii")})
    return found


def decode_mask(runs: RunLengths) -> np.ndarray:
    """Return the (H, W) bool mask of run lengths."""
    from faster_coco_eval import mask as coco

    return np.asarray(coco.decode(runs)).astype(bool)
