"""COCO's average precision (AP) of boxes and masks, by torchmetrics with faster-coco-eval."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.detection import MeanAveragePrecision

from spectralvision.data.objects import Objects, decode_masks
from spectralvision.tasks.detection.detector import Detections, decode_mask
from spectralvision.tasks.detection.image_errors import best_score, to_boxes

NAMES = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large")
"""AP over IoU thresholds of 0.5 to 0.95; at 0.5; at 0.75; of objects of less than 32 x 32 pixels,
less than 96 x 96, and more."""
MONITORED = NAMES[:3]
"""Metrics of each epoch."""
KINDS = {"": "bbox", "mask_": "segm"}
"""Prefix of our names -> torchmetrics' name."""


class Precision(NamedTuple):
    """The AP of boxes or of masks."""

    values: dict[str, float | None]
    """By `NAMES`; None where there are no objects of the kind."""
    curves: dict[int, np.ndarray]
    """Label -> (10, 101) precision by IoU threshold (0.5 to 0.95) and recall (0 to 1), for each
    class that has objects."""

    def of_class(self, label: int) -> tuple[float | None, float | None]:
        """Return AP and AP50 of a class; None without objects."""
        curve = self.curves.get(label)
        return (None, None) if curve is None else (float(curve.mean()), float(curve[0].mean()))


class AveragePrecision(Metric):
    """AP of detections, with `map`, `map_50`, `map_75`, and `mask_map`... for masks.

    What is collected is exchanged between ranks as it is, as they may have different numbers of
    images.

    Args:
        with_masks: Whether masks are predicted.
        max_dets: Maximum number of detections per image.
    """

    full_state_update = False
    images: list[tuple[Detections, Objects]]

    def __init__(self, with_masks: bool = False, max_dets: int = 100) -> None:
        super().__init__()
        self.with_masks, self.max_dets = with_masks, max_dets
        self.images = []

    def update(self, detections: Sequence[Detections], targets: Sequence[Objects]) -> None:
        """Add the detections in some images, and what is annotated there."""
        self.images += zip(detections, targets, strict=True)

    def reset(self) -> None:
        """Remove what was collected."""
        super().reset()
        self.images = []

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics of an epoch, and `min_score`, the score with the best F1."""
        values = {
            f"{prefix}{name}": torch.tensor(found.values[name] or 0.0)
            for prefix, found in self.details().items()
            for name in MONITORED
        }
        return values | {"min_score": torch.tensor(best_score(self.all_images()))}

    def all_images(self) -> list[tuple[Detections, Objects]]:
        """Return what all ranks have collected."""
        if not torch.distributed.is_available() or not torch.distributed.is_initialized():
            return self.images
        parts: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, self.images)
        return list(chain.from_iterable(parts))

    def details(self) -> dict[str, Precision]:
        """Return all there is, by `KINDS`."""
        images = self.all_images()
        kinds = KINDS if self.with_masks else {"": "bbox"}
        return {prefix: self._of_kind(kind, images) for prefix, kind in kinds.items()}

    def _of_kind(self, kind: Any, images: Sequence[tuple[Detections, Objects]]) -> Precision:
        with_masks = kind == "segm"
        kinds: Any = ("bbox", "segm") if with_masks else "bbox"  # "segm" alone skips empty images
        metric = MeanAveragePrecision(
            iou_type=kinds,
            backend="faster_coco_eval",
            max_detection_thresholds=[1, min(10, self.max_dets), self.max_dets],
            extended_summary=True,
        )
        metric.warn_on_many_detections = False
        for found, objects in images:
            metric.update([_to_prediction(found, with_masks)], [_to_target(objects, with_masks)])
        return _read(metric.compute(), "segm_" if with_masks else "")


def _read(values: dict[str, Any], prefix: str) -> Precision:
    """Return the metrics of one kind from torchmetrics' result."""
    numbers = {name: float(values[f"{prefix}{name}"]) for name in NAMES}
    curves = {}
    if f"{prefix}precision" in values:  # without any objects it is missing
        precision = values[f"{prefix}precision"][..., 0, -1].numpy()  # (10, 101, K)
        labels = values["classes"].reshape(-1).tolist()
        curves = {label: precision[..., place] for place, label in enumerate(labels)}
    return Precision(
        {name: None if number < 0 else number for name, number in numbers.items()},
        {label: curve for label, curve in curves.items() if (curve >= 0).all()},
    )


def _to_prediction(found: Detections, with_masks: bool) -> dict[str, Tensor]:
    one = {"boxes": found.boxes, "scores": found.scores, "labels": found.labels}
    if with_masks:
        masks = [decode_mask(runs) for runs in found.masks or []]
        one["masks"] = _stack(masks, found.size)
    return one


def _to_target(objects: Objects, with_masks: bool) -> dict[str, Tensor]:
    """Return an image's objects; for masks, those with a box only are left out like crowds."""
    ignored = objects.is_crowd.copy()
    one = {
        "boxes": to_boxes(objects),
        "labels": torch.from_numpy(objects.labels),
        "area": torch.from_numpy(objects.areas),
    }
    if with_masks:
        masks = decode_masks(objects)
        for place, segment in enumerate(objects.segments):
            if segment is None:
                left, top, right, bottom = objects.boxes[place].round().astype(int)
                masks[place, top:bottom, left:right] = True
                ignored[place] = True
        one["masks"] = _stack(masks, objects.size)
    return one | {"iscrowd": torch.from_numpy(ignored.astype(np.int64))}


def _stack(masks: Any, size: tuple[int, int]) -> Tensor:
    return torch.from_numpy(np.asarray(masks, dtype=np.uint8).reshape(-1, *size))
