"""Build the sections of a report that every task has: caveats, training curves, settings.

They are made from `run.json` and `metrics.csv` alone. The columns `train_NAME` and `val_NAME` are
one metric, whatever the task calls it.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spectralvision.report.page import Card, Section, columns, facts_table, note
from spectralvision.report.svg import line_chart
from spectralvision.report.text import escape
from spectralvision.runs import format_duration, format_rate

Row = Mapping[str, Any]
MAX_GAP = 0.10  # training metric above the validation metric, as a fraction; more is overfitting
MIN_GAIN = 0.02  # improvement in the last fifth of the epochs above which more epochs would help
HIDDEN_FACTS = ("classes",)  # a long list


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What the rows of `metrics.csv` mean.

    Attributes:
        epochs: Rows of `metrics.csv`; values may be text.
        monitor: Column that selects the best epoch, such as `val_top1`.
        mode: Whether the best value is the largest or the smallest.
        tie: Column that decides between equal values, the smaller the better.
        titles: Names of metrics for people, such as `{"top1": "Accuracy"}`.
    """

    epochs: Sequence[Row]
    monitor: str
    mode: Literal["max", "min"] = "max"
    tie: str | None = None
    titles: Mapping[str, str]

    def values(self, column: str) -> list[tuple[float, float]]:
        """Return (epoch, value) where the column has a value."""
        return [
            (float(row["epoch"]), float(row[column]))
            for row in self.epochs
            if row.get(column) not in (None, "")
        ]

    def metrics(self) -> list[str]:
        """Return the metrics that have a training or a validation column, in their order."""
        names = [
            column.partition("_")[2]
            for column in (self.epochs[0] if self.epochs else ())
            if column.startswith(("train_", "val_"))
        ]
        return list(dict.fromkeys(names))

    def title(self, metric: str) -> str:
        """Return the name of a metric for people."""
        return self.titles.get(metric, metric.replace("_", " ").capitalize())

    def best(self) -> Row | None:
        """Return the row of the best epoch, the first of equals; None if none has the monitor."""
        sign = -1 if self.mode == "max" else 1
        rows = [row for row in self.epochs if row.get(self.monitor) not in (None, "")]

        def rank(row: Row) -> tuple[float, float]:
            return sign * float(row[self.monitor]), float(row[self.tie]) if self.tie else 0.0

        return min(rows, key=rank, default=None)

    def is_fraction(self, metric: str) -> bool:
        """Return whether all values of a metric other than a loss are between 0 and 1.

        What only training has is a part of the loss.
        """
        values = [y for side in ("train", "val") for _, y in self.values(f"{side}_{metric}")]
        if not self.values(f"val_{metric}"):
            return False
        return not metric.endswith("loss") and all(0 <= value <= 1 for value in values)


def read_metrics(run: Path) -> list[dict[str, str]]:
    """Return the rows of `metrics.csv`, none if the file does not exist."""
    path = run / "metrics.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run_cards(record: Row, curves: Curves) -> list[Card]:
    """Return the cards that every task has: best epoch and duration."""
    results = record.get("results", {})
    cards = []
    if "best_epoch" in results:
        epochs = f"{results['best_epoch']} of {len(curves.epochs)}"
        cards.append(Card(epochs, "best epoch, whose weights were kept"))
    if "seconds" in results:
        cards.append(Card(format_duration(float(results["seconds"])), "total run time"))
    return cards


def training_caveats(status: str, curves: Curves) -> list[str]:
    """Return sentences about a training that was too short or overfits.

    Args:
        status: Status of the run in `run.json`.
        curves: Metrics of its epochs.
    """
    found = []
    if status == "interrupted":
        found.append("Training was stopped before its last epoch.")
    values = [value for _, value in curves.values(curves.monitor)]
    if len(values) == 1:
        found.append("Only one epoch was trained: more --epochs should improve the model.")
    metric = curves.monitor.removeprefix("val_")
    if len(values) < 2 or curves.mode != "max" or not curves.is_fraction(metric):
        return found

    # 1. Did the metric still improve at the end?
    title = curves.title(metric)
    last = max(1, len(values) // 5)
    gain = max(values[-last:]) - max(values[:-last])
    if gain > MIN_GAIN:
        when = "epoch" if last == 1 else f"{last} epochs"
        found.append(
            f"{title} was still rising when training ended (by {100 * gain:.1f} points in the last "
            f"{when} of {len(values)}): more --epochs should improve it."
        )

    # 2. Is it much better on the training images?
    best = curves.best() or {}
    train = float(best.get(f"train_{metric}") or 0.0)
    gap = train - float(best[curves.monitor])
    if gap > MAX_GAP:
        found.append(
            f"{title} on the training images is {train:.1%}, {100 * gap:.0f} points higher than on "
            "the validation images: the model is overfitting. Use more images or stronger "
            "augmentation."
        )
    return found


def caveats_section(caveats: Sequence[str], validation: str, next_command: str) -> Section:
    """Return the section on how far to trust the metrics.

    Args:
        caveats: One sentence or more each.
        validation: How the metrics were measured.
        next_command: Command that evaluates the run on images that had no part in it.
    """
    box = "<p>No problem was found with these numbers.</p>"
    if caveats:
        items = "".join(f"<li>{escape(caveat)}</li>" for caveat in caveats)
        box = f'<ul class="caveats">{items}</ul>'
    command = (
        " Evaluate the model on images that had no part in this run: "
        f"<code>{escape(next_command)}</code>"
        if next_command
        else ""
    )
    html = f"{box}\n<p>{escape(validation)}{command}</p>"
    return Section("caveats", "Caveats about the metrics", html)


def curves_section(curves: Curves) -> Section | None:
    """Return a chart for each metric of `metrics.csv`; None without epochs."""
    best = curves.best()
    mark = None if best is None else float(best["epoch"])
    charts = {}
    for metric in curves.metrics():
        title = curves.title(metric)
        series = {
            "training": curves.values(f"train_{metric}"),
            "validation": curves.values(f"val_{metric}"),
        }
        charts[title] = line_chart(title, series, mark, percent=curves.is_fraction(metric))
    if not any(charts.values()):
        return None
    legend = (
        "The dotted line marks the best epoch, whose weights were kept. Training metrics are "
        "measured on augmented images during the epoch, so they can be below the validation "
        "metrics."
    )
    return Section("curves", "Training curves", columns(charts, "charts") + note(legend))


def facts_section(record: Row, timings: Row, facts: Row) -> Section | None:
    """Return tables of timings, data, settings, device and versions; None if all are empty."""
    tables = {
        "Timings": facts_table(timings),
        "Model and data": facts_table({**facts, **record.get("data", {})}, HIDDEN_FACTS),
        "Device": facts_table(record.get("device", {})),
        "Versions": facts_table(record.get("versions", {})),
        "Settings": facts_table(fill_auto(record.get("config", {}), record.get("resolved", {}))),
    }
    html = columns(tables, "facts")
    return Section("facts", "Settings, versions, timings", html) if html else None


def fill_auto(settings: Row, resolved: Row) -> dict[str, Any]:
    """Return settings, of which `auto` is replaced by what it came to where that is known."""
    filled = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            value = fill_auto(value, resolved.get(name, {}))
        elif value == "auto" and name in resolved:
            value = f"{resolved[name]} (auto)"
        filled[name] = value
    return filled


def run_timings(record: Row, epochs: Sequence[Row]) -> dict[str, str]:
    """Return how long the run and its epochs took."""
    found = {}
    if "seconds" in record.get("results", {}):
        found["whole run"] = format_duration(float(record["results"]["seconds"]))
    if epochs and epochs[-1].get("seconds"):
        seconds = float(epochs[-1]["seconds"]) / len(epochs)
        found["epoch, including validation"] = format_duration(seconds)
        if images := record.get("data", {}).get("images", {}).get("train"):
            speed = images / max(seconds, 1e-9)
            found["training, including validation"] = format_rate(speed)
    return found
