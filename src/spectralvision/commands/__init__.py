"""The verbs of the command, one file each: they run the work and print its result.

Their options are declared in `spectralvision_cli/options`, one file each too, where importing is
quick.
"""

import io
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TextIO, TypeVar

from rich.cells import cell_len

from spectralvision.data.shard_columns import Columns
from spectralvision.engine.csv_files import write_rows
from spectralvision.runs import MAX_COUNT, UserError, check_ranges, printable, require_extra
from spectralvision_cli.help_screens import verb_help
from spectralvision_cli.options.analyze import AnalyzeOptions
from spectralvision_cli.options.common import ComputeOptions, DataOptions, VerbOptions
from spectralvision_cli.options.export import ExportOptions
from spectralvision_cli.parser import parse

if TYPE_CHECKING:  # imports Lightning
    from spectralvision.engine.infer import InferenceConfig

O = TypeVar("O", bound=VerbOptions)  # noqa: E741


class Command(Generic[O]):
    """A verb with its options, from the words after it."""

    verb: ClassVar[str]
    kind: type[O]
    options: O

    def __init__(self, words: Sequence[str]) -> None:
        (self.options,) = parse(self.verb, words, self.kind)

    @classmethod
    def help(cls, words: Sequence[str]) -> str:
        """Return the help, for the words beside --help."""
        return verb_help(cls.verb)

    def run(self) -> dict[str, Any]:
        """Do the work; return the result as for --json."""
        raise NotImplementedError

    def is_silent(self) -> bool:
        """Return whether this process prints no result: all but the first of several."""
        return False

    def show(self, result: dict[str, Any]) -> None:
        """Print the result as text."""
        raise NotImplementedError

    def conclude(self, result: dict[str, Any]) -> int:
        """Print remarks on standard error; return the exit code."""
        return 0


def print_line(line: str, file: TextIO | None = None) -> None:
    """Print a line, of the result unless a file is given; names in it may have any character."""
    print(printable(line), file=file)


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as their longest cell."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        gaps = (" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        cells = map("".join, zip(row, gaps, strict=True))
        print("  ".join(cells).rstrip())


def print_csv(rows: Sequence[Sequence[Any]]) -> None:
    """Print comma-separated values; file names that are not UTF-8 keep their bytes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    write_rows(sys.stdout, rows)


def report_left_out(left_out: Mapping[str, int]) -> None:
    """Print on standard error which files of a folder are not read, if any, and what helps."""
    if left_out:
        from spectralvision.data.image_formats import describe_left_out

        print_line(f"not read: {describe_left_out(left_out)}", file=sys.stderr)


def require_train_packages() -> None:
    """Raise `UserError` without the packages of the extra `train`, which tasks import."""
    require_extra("train", "lightning", "torchmetrics", "scipy")


def inference_config(
    options: ComputeOptions, auto_batch: int = 64, devices: int = 1
) -> "InferenceConfig":
    """Return how to run inference.

    Args:
        options: Those of the command.
        auto_batch: Images per batch that `auto` stands for.
        devices: Number of processes.

    Raises:
        UserError: A value is out of range.
    """
    from spectralvision.engine.infer import InferenceConfig

    check_ranges(vars(options), {"batch_size": (1, MAX_COUNT), "workers": (0, 1024)})
    return InferenceConfig(
        batch_size=auto_batch if options.batch_size == "auto" else options.batch_size,
        workers=options.workers,
        device=options.device,
        precision=options.precision,
        devices=devices,
    )


def columns_of(options: DataOptions | ExportOptions | AnalyzeOptions, model: str) -> Columns:
    """Return the columns of shards: those given, or else those that a run was trained on."""
    from spectralvision.engine.model_io import run_of
    from spectralvision.engine.run_record import recorded_columns

    known = recorded_columns(run_of(model))
    return Columns(options.image_column, options.label_column, known)


def reject_data_options(options: ExportOptions | AnalyzeOptions) -> None:
    """Raise `UserError` for options of a data set without one."""
    for name in ("data_dir", "split", "image_column", "label_column"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} needs --data.")


def is_first_process() -> bool:
    """Return whether this is the only process, or the first of several."""
    from spectralvision.engine.processes import rank

    return rank() == 0
