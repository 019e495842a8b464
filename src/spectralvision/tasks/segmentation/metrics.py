"""Mean IoU and pixel accuracy from a confusion matrix of pixels."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from spectralvision.data.masks import IGNORED


class ConfusionMetrics(Metric):
    """Count the pixels of each pair of classes; rows are true classes, columns predicted ones.

    `compute` returns miou, the mean over the classes that occur in truth or prediction of
    intersection / union; pixel_accuracy, the fraction of pixels that are correct; and
    mean_accuracy, the mean over the true classes of the fraction of their pixels.
    """

    full_state_update = False
    higher_is_better = True
    confusion: Tensor

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        zeros = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.add_state("confusion", default=zeros, dist_reduce_fx="sum")

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add (..., ) classes; pixels whose truth is ignored do not count."""
        valid = truth != IGNORED
        pairs = truth[valid] * self.num_classes + predicted[valid]
        counts = torch.bincount(pairs, minlength=self.num_classes**2)
        self.confusion += counts.reshape(self.num_classes, self.num_classes)

    def compute(self) -> dict[str, Tensor]:
        """Return miou, pixel_accuracy and mean_accuracy."""
        iou, accuracy = class_metrics(self.confusion)
        correct, total = self.confusion.diagonal().sum(), self.confusion.sum().clamp_min(1)
        return {
            "miou": iou.nanmean(),
            "pixel_accuracy": correct.double() / total,
            "mean_accuracy": accuracy.nanmean(),
        }


def class_metrics(confusion: Tensor) -> tuple[Tensor, Tensor]:
    """Return (K,) IoU and accuracy of each class; NaN for a class that does not occur."""
    confusion = confusion.double()
    hits, true, predicted = confusion.diagonal(), confusion.sum(dim=1), confusion.sum(dim=0)
    return hits / (true + predicted - hits), hits / true
