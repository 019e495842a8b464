"""Which objects are found, and which detections are false, from some score on."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_area, box_iou

from spectralvision.data.objects import Objects
from spectralvision.tasks.detection.detector import DEFAULT_MIN_SCORE, Detections

MIN_IOU = 0.5
MIN_SCORES = np.arange(1, 100) / 100
"""Among which the best score is chosen."""
FOUND, FALSE, IGNORED = range(3)


class ImageErrors(NamedTuple):
    """Numbers of objects found, missed, and found where there are none."""

    found: int
    missed: int
    false: int

    @property
    def recall(self) -> float | None:
        """The fraction of the objects that are found; None without objects."""
        return self.found / (self.found + self.missed) if self.found + self.missed else None

    @property
    def precision(self) -> float | None:
        """The fraction of the detections that are right; None without detections."""
        return self.found / (self.found + self.false) if self.found + self.false else None


def total_errors(errors: Iterable[ImageErrors]) -> ImageErrors:
    """Return the sums over images."""
    return ImageErrors(*map(sum, zip(*errors, (0, 0, 0), strict=True)))


def to_boxes(objects: Objects) -> Tensor:
    """Return the (N, 4) boxes of annotated objects."""
    return torch.from_numpy(objects.boxes).reshape(-1, 4)


def count_errors(found: Detections, objects: Objects) -> ImageErrors:
    """Return how many objects are found, missed, and found where there are none."""
    kinds = np.bincount(match(found, objects), minlength=3)
    total = int((~objects.is_crowd).sum())
    return ImageErrors(int(kinds[FOUND]), total - int(kinds[FOUND]), int(kinds[FALSE]))


def best_score(images: Sequence[tuple[Detections, Objects]]) -> float:
    """Return the lowest score of detections with the best F1, a mean over the classes.

    Of equal ones it is the middle one; without any object that is found `DEFAULT_MIN_SCORE`.
    """
    # 1. Detections by kind, class and the lowest of MIN_SCORES that they reach
    labels = [objects.labels[~objects.is_crowd] for _, objects in images]
    totals = np.bincount(np.concatenate([*labels, np.zeros(0, np.int64)]))
    counts = np.zeros((3, len(totals) + 1, len(MIN_SCORES) + 1))  # the last class has no objects
    for found, objects in images:
        reached = np.searchsorted(MIN_SCORES, found.scores.numpy(), side="right")
        known = np.minimum(found.labels.numpy(), len(totals))
        np.add.at(counts, (match(found, objects), known, reached), 1)

    # 2. F1 = 2 hits / (detections + objects) of each class at each score
    above = counts[:, :-1, ::-1].cumsum(axis=-1)[..., ::-1][..., 1:]
    f1 = 2 * above[FOUND] / (above[FOUND] + above[FALSE] + totals[:, None]).clip(min=1)
    means = f1[totals > 0].sum(axis=0)
    if not means.any():
        return DEFAULT_MIN_SCORE
    return float(np.median(MIN_SCORES[means >= means.max() - 1e-9]))


def match(found: Detections, objects: Objects) -> np.ndarray:
    """Return for each detection whether it is `FOUND`, `FALSE` or `IGNORED`.

    Detections are taken by score; each finds the object of its class that it overlaps most, with an
    IoU of at least 0.5. What lies on a crowd by half of its area is neither found nor false.
    """
    boxes = to_boxes(objects)
    overlaps = box_iou(found.boxes, boxes).numpy()
    same = found.labels.numpy()[:, None] == objects.labels[None]
    overlaps = np.where(same & (overlaps >= MIN_IOU), overlaps, 0.0)
    on_crowd = (same & objects.is_crowd & (_covered(found.boxes, boxes) >= MIN_IOU)).any(axis=1)
    is_free = ~objects.is_crowd
    kinds = np.where(on_crowd, IGNORED, FALSE)
    for place, row in enumerate(overlaps if len(boxes) else []):
        best = int((row * is_free).argmax())
        if row[best] * is_free[best] > 0:
            is_free[best] = False
            kinds[place] = FOUND
    return kinds


def _covered(boxes: Tensor, others: Tensor) -> np.ndarray:
    """Return (N, M), the fraction of the area of each box that each of others (M, 4) covers."""
    corners = torch.minimum(boxes[:, None, 2:], others[:, 2:])
    sides = (corners - torch.maximum(boxes[:, None, :2], others[:, :2])).clamp_min(0)
    covered: np.ndarray = (sides.prod(dim=-1) / box_area(boxes)[:, None].clamp_min(1e-9)).numpy()
    return covered
