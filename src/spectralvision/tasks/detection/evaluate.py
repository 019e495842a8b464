"""Metrics of `evaluate` for detectors: average precision, in total and of each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from spectralvision.engine.model_io import label_titles
from spectralvision.report.text import format_percent
from spectralvision.runs import format_rate
from spectralvision.tasks.detection.average_precision import NAMES, AveragePrecision, Precision
from spectralvision.tasks.detection.detector import Detector
from spectralvision.tasks.detection.image_errors import count_errors, total_errors
from spectralvision.tasks.detection.module import DetectionModule

TITLES = dict(zip(NAMES, ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large"), strict=True))
PREFIXES = {"": "box", "mask_": "mask"}


def collect_results(module: DetectionModule, per_class: bool) -> dict[str, Any]:
    """Return the metrics of an evaluation.

    Returns:
        map, map_50, map_75, map_small, map_medium, map_large, and mask_map... with masks, each None
        where there are no such objects; max_dets; recall and precision of boxes at an IoU of 0.5
        and a score of at least min_score; and per_class, a list with an entry per class.
    """
    metric: AveragePrecision = module.metrics["ap"]  # type: ignore[assignment]
    found = metric.details()
    results: dict[str, Any] = {
        f"{prefix}{name}": value
        for prefix, precision in found.items()
        for name, value in precision.values.items()
    }
    results |= {"max_dets": metric.max_dets, **_what_is_shown(module.model, metric)}
    if per_class:
        results["per_class"] = _per_class(metric, found, label_titles(module.model))
    return results


def format_result(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines (title, text) of one evaluation."""
    lines = []
    for prefix, what in PREFIXES.items():
        if f"{prefix}map" not in result:
            continue
        rest = [f"{TITLES[name]} {format_percent(result[prefix + name])}" for name in NAMES[1:3]]
        sizes = [format_percent(result[prefix + name]) for name in NAMES[3:]]
        lines.append((f"{what} AP", ", ".join([format_percent(result[f"{prefix}map"]), *rest])))
        lines.append(("", f"small {sizes[0]}, medium {sizes[1]}, large {sizes[2]}"))
    recall, precision = format_percent(result["recall"]), format_percent(result["precision"])
    text = f"recall {recall}, precision {precision}, with a score of at least "
    return [*lines, ("boxes", f"{text}{result['min_score']:.0%}, as predict shows them")]


def format_comparison(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a table with a row per model."""
    prefixes = [prefix for prefix in PREFIXES if any(f"{prefix}map" in one for one in results)]
    heads = [f"{PREFIXES[prefix]} {TITLES[name]}" for prefix in prefixes for name in NAMES[:3]]
    rows = [["model", *heads, "images", "images/s"]]
    for one in results:
        cells = [
            format_percent(one.get(f"{prefix}{name}")) for prefix in prefixes for name in NAMES[:3]
        ]
        images = f"{one['images']} ({one['split']})"
        rows.append([one["model"], *cells, images, format_rate(one["images_per_second"], "")])
    return rows


def format_classes(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a table with the metrics of each class, model by model."""
    names = {"ap": "box AP", "ap_50": "box AP50", "mask_ap": "mask AP", "mask_ap_50": "mask AP50"}
    shown = [name for name in names if any(name in row for one in results
             for row in one["per_class"])]  # fmt: skip
    heads = [names[name] for name in shown]
    if len(results) > 1:
        heads = [f"{one['model']}: {head}" for one in results for head in heads]
    tables = [{row["class"]: row for row in one["per_class"]} for one in results]
    rows = [["class", "objects", *heads]]
    for title, first in tables[0].items():
        cells = [
            format_percent(table.get(title, {}).get(name)) for table in tables for name in shown
        ]
        rows.append([title, str(first["objects"]), *cells])
    return rows


def count_per_class(metric: AveragePrecision, num_classes: int) -> np.ndarray:
    """Return (K,) the objects of each class that are no crowds."""
    counts = np.zeros(num_classes, dtype=np.int64)
    for _, objects in metric.all_images():
        counts += np.bincount(objects.labels[~objects.is_crowd], minlength=num_classes)
    return counts


def _what_is_shown(model: Detector, metric: AveragePrecision) -> dict[str, float | None]:
    """Return recall and precision of what `predict` shows."""
    score = float(model.min_score)
    errors = [count_errors(found.above(score), objects) for found, objects in metric.all_images()]
    total = total_errors(errors)
    return {"min_score": round(score, 2), "recall": total.recall, "precision": total.precision}


def _per_class(
    metric: AveragePrecision, found: dict[str, Precision], titles: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the metrics of each class that has objects."""
    counts = count_per_class(metric, len(titles))
    rows = []
    for label, title in enumerate(titles):
        if not counts[label]:
            continue
        row: dict[str, Any] = {"class": title, "objects": int(counts[label])}
        for prefix, precision in found.items():
            row[f"{prefix}ap"], row[f"{prefix}ap_50"] = precision.of_class(label)
        rows.append(row)
    return rows
