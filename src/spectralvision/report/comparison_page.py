"""Write the page of a comparison: a table, pictures and how it was done."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spectralvision.report.analysis_page import Chapter, Picture, write_pages
from spectralvision.report.comparison_plots import plot_accuracy, plot_costs, plot_growth
from spectralvision.report.page import Card, facts_table, table
from spectralvision.report.text import escape, pluralize
from spectralvision.runs import format_bytes

PAGE = "compare.html"
HIDDEN = ("comparison", "variants", "columns")


def result_table(record: Mapping[str, Any]) -> list[list[str]]:
    """Return the table as text: a head, and a row for each variant, the most accurate first."""
    rows = record["rows"]
    sizes = list(rows[0]["sizes"])
    reported = record["reported"]
    head = ["variant", f"top-1 ({rows[0]['split']})", "spread", *(["paper"] if reported else [])]
    head += ["seeds", "minutes", "parameters", f"GMACs {sizes[0]}"]
    head += [f"images/s {size}" for size in sizes] + ["growth", f"memory {sizes[-1]}", "onnx ms"]
    return [head, *(_cells(row, sizes, reported) for row in rows)]


def _cells(
    row: Mapping[str, Any], sizes: Sequence[str], reported: Mapping[str, float]
) -> list[str]:
    """Return a row of the table; an empty cell is not measured."""

    def show(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    costs = [row["sizes"][size] for size in sizes]
    memory = costs[-1].get("peak_memory")
    return [
        row["variant"],
        f"{row['top1']:.2%}",
        f"{100 * row['spread']:.2f}",
        *([show(reported.get(row["variant"]), ".2f")] if reported else []),
        str(row["seeds"]),
        f"{row['minutes']:.1f}",
        f"{row['parameters']:,}",
        show(costs[0].get("gmacs"), ".4f"),
        *(show(one.get("images_per_second"), ".0f") for one in costs),
        show(row["growth"], ".1f"),
        "" if memory is None else format_bytes(memory),
        show(row["onnx_ms"], ".2f"),
    ]


def write_comparison(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Write compare.html and its pictures; return the files' names."""
    rows, settings = record["rows"], record["settings"]
    head, *cells = result_table(record)
    numeric = range(1, len(head))
    text = [[escape(cell) for cell in row] for row in cells]
    best, last = rows[0], rows[-1]
    sizes = list(best["sizes"])
    cards = [
        Card(best["variant"], f"most accurate: {best['top1']:.1%}", main=True),
        Card(f"{100 * (best['top1'] - last['top1']):.1f}", "points from the best to the last"),
        Card(
            f"{100 * max(row['spread'] for row in rows):.1f}",
            "points between the seeds of one variant, at most",
        ),
    ]
    chapters = [
        Chapter(
            "results", "Results",
            "Mean over the seeds, the most accurate first; differences of less than the spread, "
            "largest minus smallest, mean nothing. Speed and memory are those of a batch of "
            f"{record['costs']['machine']['batch_size']}, growth is the time of an image at "
            f"{sizes[-1]} pixels relative to {sizes[0]}, and onnx the latency of one image at "
            f"{sizes[0]} pixels.",
            [
                Picture("accuracy", "Accuracy", plot_accuracy(rows),
                        "A dot is a seed, and the line the mean."),
                Picture("costs", "Accuracy against cost", plot_costs(rows),
                        "Better is up, and left, but right for the speed."),
                Picture("growth", "Time against input size", plot_growth(rows),
                        "Logarithmic axes: twice the side is four times the pixels."),
            ],
            table([escape(cell) for cell in head], text, numeric),
        ),
        Chapter(
            "transforms", "Transforms",
            "Largest error of a transform and its inverse, float32, on random maps of "
            f"{settings['input_size']} x {settings['input_size']}.",
            html=table(
                ["transform", "error"],
                [[escape(name), f"{error:.1e}"]
                 for name, error in record["costs"]["round_trip"].items()],
                (1,),
            ),
        ),
        Chapter(
            "settings", "Settings", record["claim"] and f"The paper: {record['claim']}",
            html=facts_table(
                {**settings, "epochs": record["epochs"], "host": settings["comparison"]["host"],
                 "host_args": settings["comparison"]["host_args"],
                 "machine": record["costs"]["machine"]}, HIDDEN,
            ),
        ),
    ]  # fmt: skip
    seeds = pluralize(settings["seeds"], "seed")
    subtitle = f"{len(rows)} variants, {seeds}, {pluralize(record['epochs'], 'epoch')}"
    return write_pages(folder, PAGE, record["title"], subtitle, cards, chapters)
