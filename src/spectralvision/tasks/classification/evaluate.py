"""Metrics of `evaluate` for classifiers: accuracy, calibration, recall and precision."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassCalibrationError, MulticlassStatScores

from spectralvision.data.splits import Data
from spectralvision.engine.model_io import label_names, label_titles
from spectralvision.report.text import format_percent
from spectralvision.runs import format_rate
from spectralvision.tasks.classification.module import Classifier
from spectralvision.tasks.classification.statistics import wilson_interval

CALIBRATION_BINS = 15
HEAD = ["model", "top-1", "95 % interval", "top-5", "calibration error", "images", "images/s"]


class CalibratedClassifier(Classifier):
    """Also compute the calibration error, and counts per class."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        number = self.num_classes
        self.details = MetricCollection(
            {
                "calibration": MulticlassCalibrationError(
                    number, n_bins=CALIBRATION_BINS, norm="l1"
                ),
                "classes": MulticlassStatScores(number, average=None),
            },
            compute_groups=False,
        )

    def update_metrics(self, outputs: Tensor, targets: Tensor) -> None:
        """Update the metrics with (B, num_classes) logits and (B,) labels."""
        super().update_metrics(outputs, targets)
        self.details.update(outputs.float().softmax(dim=-1), targets)


def collect_results(
    module: CalibratedClassifier, data: Data, num_images: int, per_class: bool
) -> dict[str, Any]:
    """Return the metrics of an evaluation.

    Returns:
        top1 with its 95 % Wilson interval, top5 (None with five classes or fewer), loss, the
        expected calibration error, and per_class, a list with an entry per class that has images.
    """
    metrics = {name: float(value) for name, value in module.metrics.compute().items()}
    details = module.details.compute()
    results: dict[str, Any] = {
        "top1": metrics["top1"],
        "top5": metrics.get("top5"),
        "loss": metrics["loss"],
        "top1_interval": wilson_interval(round(metrics["top1"] * num_images), num_images),
        "calibration_error": float(details["calibration"]),
    }
    if per_class:
        titles = _unique_titles(module.model, data)
        results["per_class"] = _per_class(details["classes"], titles)
    return results


def format_result(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines (title, text) of one evaluation."""
    top5 = "undefined for 5 classes or fewer"
    if result["top5"] is not None:
        top5 = f"{result['top5']:.2%}"
    return [
        ("top-1", f"{result['top1']:.2%} (95 % interval {_interval(result)})"),
        ("top-5", top5),
        ("ECE", f"{result['calibration_error']:.2%} (expected calibration error)"),
    ]


def format_comparison(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a table with a row per model."""
    rows = [HEAD]
    for one in results:
        rows.append([
            one["model"],
            f"{one['top1']:.2%}",
            _interval(one),
            "-" if one["top5"] is None else f"{one['top5']:.2%}",
            f"{one['calibration_error']:.2%}",
            f"{one['images']} ({one['split']})",
            format_rate(one["images_per_second"], ""),
        ])  # fmt: skip
    return rows


def format_classes(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a table with recall and precision of each class, model by model."""
    names = ["recall", "precision"]
    if len(results) > 1:
        names = [f"{one['model']}: {name}" for one in results for name in names]
    tables = [{row["class"]: row for row in one["per_class"]} for one in results]
    rows = [["class", "images", *names]]
    for title, first in tables[0].items():
        cells = [format_percent(table.get(title, {}).get(key)) for table in tables
                 for key in ("recall", "precision")]  # fmt: skip
        rows.append([title, str(first["images"]), *cells])
    return rows


def _per_class(counts: Tensor, titles: list[str]) -> list[dict[str, Any]]:
    """Return recall and precision of each class that has images.

    counts: (num_classes, 5) true and false positives, true and false negatives, images.
    """
    rows = []
    for title, (hits, false_alarms, _, _, images) in zip(titles, counts.tolist(), strict=True):
        predicted = hits + false_alarms
        if images:
            precision = hits / predicted if predicted else None
            row = {"class": title, "images": images, "recall": hits / images}
            rows.append(row | {"precision": precision})
    return rows


def _unique_titles(model: nn.Module, data: Data) -> list[str]:
    """Return what to call each class, each only once: ImageNet's have their number beside."""
    if label_names(model) is None:
        return list(data.classes)
    pairs = zip(data.classes, label_titles(model), strict=True)
    return [name if name == title else f"{name} {title}" for name, title in pairs]


def _interval(result: dict[str, Any]) -> str:
    low, high = result["top1_interval"]
    return f"{low:.1%} to {high:.1%}"
