"""Write `report.html` of a run: what its task found, framed by what every run has."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from spectralvision.engine.errors import classify_failure
from spectralvision.report.page import Card, Section, render_page
from spectralvision.report.run_sections import (
    Curves,
    caveats_section,
    curves_section,
    facts_section,
    read_metrics,
    run_cards,
    run_timings,
    training_caveats,
)
from spectralvision.runs import read_json, write_text

VALIDATION = (
    "All metrics are measured on the validation images. They were not trained on, but the best "
    "epoch was selected with them, so the metrics are slightly optimistic."
)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a task hands in for the report of a run.

    Attributes:
        title: Heading of the page.
        subtitle: Line below it.
        cards: Numbers at the top; the first is usually the main one.
        caveats: Sentences on when a metric cannot be trusted and what would help.
        sections: What the task shows, below the training curves.
        metric_titles: Names for people of the metrics in `metrics.csv`: `{"top1": "Accuracy"}`.
        timings: More rows for the table of timings.
        facts: More rows for the table on model and data.
    """

    title: str
    subtitle: str = ""
    cards: Sequence[Card] = ()
    caveats: Sequence[str] = ()
    sections: Sequence[Section] = ()
    metric_titles: Mapping[str, str] = field(default_factory=dict)
    timings: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


def write_report(
    run: Path,
    findings: Findings,
    monitor: str,
    mode: Literal["max", "min"] = "max",
    tie: str | None = None,
) -> Path:
    """Write `run/report.html` and return its path.

    Args:
        run: Run folder with `run.json` and, if epochs were trained, `metrics.csv`.
        findings: What the task hands in.
        monitor: Column of `metrics.csv` that selects the best epoch, such as `val_top1`.
        mode: Whether the best value is the largest or the smallest.
        tie: Column that decides between equal values, the smaller the better.
    """
    run = Path(run)
    record = read_json(run / "run.json")
    curves = Curves(
        epochs=read_metrics(run),
        monitor=monitor,
        mode=mode,
        tie=tie,
        titles=findings.metric_titles,
    )
    text = report_page(findings, record, curves, next_command(run, record))
    write_text(run / "report.html", text)
    return run / "report.html"


def try_write_report(write: Callable[[], Path], say: Callable[[str], None]) -> str | None:
    """Call `write` and return the path; on an error that is not in the table, `say` it.

    Raises:
        Exception: An error of the table, such as a full disk.
    """
    try:
        return str(write())
    except Exception as error:  # the run is complete without a report, whatever goes wrong here
        if classify_failure(error) is not None:
            raise
        reason = f"{type(error).__name__}: {error}"
        say(f"the report could not be written ({reason}); the run itself is complete")
        return None


def report_page(
    findings: Findings, record: Mapping[str, Any], curves: Curves, command: str = ""
) -> str:
    """Return the HTML of a report.

    Args:
        findings: What the task hands in.
        record: Contents of `run.json`.
        curves: Metrics of the epochs.
        command: Command that evaluates the run on images that had no part in it.
    """
    status = str(record.get("status", "finished"))
    caveats = [*training_caveats(status, curves), *findings.caveats]
    timings = {**run_timings(record, curves.epochs), **findings.timings}
    sections = [
        caveats_section(caveats, VALIDATION, command),
        curves_section(curves),
        *findings.sections,
        facts_section(record, timings, findings.facts),
    ]
    return render_page(
        findings.title,
        findings.subtitle,
        [*findings.cards, *run_cards(record, curves)],
        [section for section in sections if section is not None],
    )


def next_command(run: Path, record: Mapping[str, Any]) -> str:
    """Return the command that evaluates a run on its test split, or on new images without one."""
    config = record.get("config", {})
    data = ["FOLDER-OF-NEW-IMAGES"]
    if "test" in record.get("data", {}).get("images", {}):
        data = [str(config.get("data", "FOLDER"))]
        if config.get("data_dir"):
            data += ["--data-dir", str(config["data_dir"])]
    return shlex.join(["spectralvision", "evaluate", "--model", str(run), "--data", *data])
