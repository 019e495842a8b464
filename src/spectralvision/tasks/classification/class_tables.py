"""Write `classes.csv` and `confusions.csv` of a run: what its report shows, for every class."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spectralvision.engine.csv_files import write_rows
from spectralvision.runs import atomic_write
from spectralvision.tasks.classification.statistics import ClassificationResults, wilson_interval

CLASSES_FILE = "classes.csv"
CONFUSIONS_FILE = "confusions.csv"
CLASSES_HEAD = (
    "class", "images", "correct", "recall", "recall_low", "recall_high", "predictions",
    "precision", "training_images",
)  # fmt: skip
CONFUSIONS_HEAD = ("true_class", "predicted_class", "images")


def write_class_tables(
    run: Path,
    results: ClassificationResults,
    classes: Sequence[str],
    train_counts: np.ndarray | None = None,
) -> None:
    """Write both tables into a run folder.

    `classes.csv` has a row per class, in the order of the labels: images of the validation split,
    recall with its 95 % Wilson interval, precision; a fraction of nothing is empty.
    `confusions.csv` has a row per pair of classes that was confused, most frequent first.

    Args:
        run: The folder.
        results: Predictions on the validation images.
        classes: K class names.
        train_counts: (K,) number of training images of each class; None if unknown.
    """
    counts = [""] * len(classes) if train_counts is None else train_counts.tolist()
    rows = (
        [name, *_class_cells(results, label), counts[label]] for label, name in enumerate(classes)
    )
    _write(run / CLASSES_FILE, CLASSES_HEAD, rows)
    confused = (
        [classes[truth], classes[predicted], number]
        for truth, predicted, number in results.confusions
    )
    _write(run / CONFUSIONS_FILE, CONFUSIONS_HEAD, confused)


def _class_cells(results: ClassificationResults, label: int) -> Iterator[Any]:
    images, correct = int(results.counts[label]), int(results.hits[label])
    interval = wilson_interval(correct, images) if images else (math.nan, math.nan)
    yield from (images, correct)
    yield from map(_fraction, (results.recall[label], *interval))
    yield int(results.predictions[label])
    yield _fraction(results.precision[label])


def _fraction(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _write(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with (
        atomic_write(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        write_rows(file, [head])
        write_rows(file, rows)
