"""What the verbs of the command share: common options, tables, and what a verb is."""

import csv
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from spectralvision.runs import refuse_outside

if TYPE_CHECKING:  # a command that only shows its help does not load it
    from spectralvision.tasks.inference import Inference

Json = Annotated[bool, tyro.conf.arg(help="Print one JSON object instead of text.")]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], tyro.conf.arg(help="Where to compute.")]
Precision = Annotated[
    Literal["auto", "32", "bf16-mixed", "16-mixed"], tyro.conf.arg(help="Number format; auto: bf16-mixed where fast.")
]
BatchSize = Annotated[int, tyro.conf.arg(help="Images at a time.")]
Workers = Annotated[int | Literal["auto"], tyro.conf.arg(help="Processes that read images.")]


class Verb:
    """A dataclass of options with these three steps; `json` decides whether the second or JSON is printed."""

    def run(self) -> dict[str, Any]:
        """Does the work."""
        raise NotImplementedError

    def show(self, result: dict[str, Any]) -> None:
        """Prints the result for a person."""
        raise NotImplementedError

    def conclude(self, result: dict[str, Any]) -> int:
        """Last words, on standard error, and the exit code."""
        return 0


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their longest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_csv(rows: Sequence[Sequence[Any]]) -> None:
    """Comma-separated values, cells quoted where they need it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    print(text.getvalue(), end="")


def engine(job: Any) -> "Inference":
    """How to run a model, from a verb's options."""
    from spectralvision.tasks.inference import Inference

    refuse_outside(vars(job), {"batch_size": (1, math.inf), "workers": (0, math.inf)})
    return Inference(
        batch_size=job.batch_size,
        workers=job.workers,
        device=job.device,
        precision=job.precision,
        devices=getattr(job, "devices", 1),
    )
