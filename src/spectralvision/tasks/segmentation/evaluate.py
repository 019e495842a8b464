"""Metrics of `evaluate` for segmentation."""

from collections.abc import Sequence
from typing import Any

from spectralvision.data.splits import Data
from spectralvision.report.text import format_percent
from spectralvision.runs import format_rate
from spectralvision.tasks.segmentation.metrics import class_metrics
from spectralvision.tasks.segmentation.module import SegmentationModule

HEAD = ["model", "mIoU", "pixel accuracy", "mean accuracy", "images", "images/s"]


def collect_results(module: SegmentationModule, data: Data, per_class: bool) -> dict[str, Any]:
    """Return miou, pixel_accuracy, mean_accuracy, loss; and per_class, an entry per class."""
    metrics = {name: float(value) for name, value in module.metrics.compute().items()}
    names = ("miou", "pixel_accuracy", "mean_accuracy", "loss")
    results: dict[str, Any] = {name: metrics[name] for name in names}
    if per_class:
        pixels: Any = module.metrics["pixels"]
        with pixels.sync_context():  # over all ranks
            results["per_class"] = class_rows(pixels.confusion.cpu(), data.classes)
    return results


def class_rows(confusion: Any, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return IoU, accuracy and pixels of each class; None where it does not occur."""
    iou, accuracy = (values.tolist() for values in class_metrics(confusion))
    pixels = confusion.sum(dim=1).tolist()
    return [
        {"class": name, "iou": _known(one), "accuracy": _known(right), "pixels": int(number)}
        for name, one, right, number in zip(classes, iou, accuracy, pixels, strict=True)
    ]


def format_result(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines (title, text) of one evaluation."""
    return [
        ("mIoU", f"{result['miou']:.2%}"),
        ("accuracy", f"{result['pixel_accuracy']:.2%} of all pixels"),
        ("", f"{result['mean_accuracy']:.2%} on average over the classes"),
    ]


def format_comparison(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a table with a row per model."""
    rows = [HEAD]
    for one in results:
        rows.append([
            one["model"],
            f"{one['miou']:.2%}",
            f"{one['pixel_accuracy']:.2%}",
            f"{one['mean_accuracy']:.2%}",
            f"{one['images']} ({one['split']})",
            format_rate(one["images_per_second"], ""),
        ])  # fmt: skip
    return rows


def format_classes(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a table with IoU and accuracy of each class, model by model."""
    names = ["IoU", "accuracy"]
    if len(results) > 1:
        names = [f"{one['model']}: {name}" for one in results for name in names]
    total = max(sum(row["pixels"] for row in results[0]["per_class"]), 1)
    tables = [{row["class"]: row for row in one["per_class"]} for one in results]
    rows = [["class", "pixels", *names]]
    for title, first in tables[0].items():
        cells = [
            format_percent(table.get(title, {}).get(key))
            for table in tables
            for key in ("iou", "accuracy")
        ]
        rows.append([title, f"{first['pixels'] / total:.2%}", *cells])
    return rows


def _known(value: float) -> float | None:
    return value if value == value else None  # NaN
