"""Progress on standard error: a bar on a terminal, and lines of text elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from spectralvision.runs import format_duration, format_rate, printable

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 60.0


def is_terminal() -> bool:
    """Return whether a person watches standard error."""
    return sys.stderr.isatty()


def log_line(line: str) -> None:
    """Print a message for the user, on one line, on standard error."""
    print(printable(line), file=sys.stderr, flush=True)


def discard_line(line: str) -> None:
    """Print nothing: all ranks but the first are silent."""


def track(
    items: Iterable[T],
    title: str,
    total: int | None = None,
    count: Callable[[T], int] = lambda item: 1,
    unit: str = "images/s",
) -> Iterator[T]:
    """Yield the items under a progress bar, which disappears at the end; elsewhere log lines.

    Args:
        items: What to go through.
        title: Left of the bar.
        total: Of what is counted; default: the number of items.
        count: How much an item counts.
        unit: Of the rate at the right of the bar; "" shows none.
    """
    if total is None:
        total = len(items)  # type: ignore[arg-type]
    if not is_terminal():
        lines = LineProgress(title, total, unit)
        for item in items:
            yield item
            lines.advance(count(item))
        return
    columns: list[Any] = [TextColumn(title), BarColumn(), MofNCompleteColumn()]
    columns += [_Rate(unit)] if unit else []
    with _bar(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("", total=total)
        for item in items:
            yield item
            progress.advance(task, count(item))


@contextmanager
def show_status(text: str) -> Iterator[None]:
    """Say on a terminal what takes time inside the block, where its end is not known."""
    if not is_terminal():
        yield
        return
    with Console(stderr=True).status(Text(printable(text))):
        yield


class LineProgress:
    """Progress of a long job as a line per minute, for where no bar is shown."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self.start = self.last_line = time.monotonic()

    def advance(self, number: int) -> None:
        """Count what is done, and print a line when it is time for one."""
        self.done += number
        now = time.monotonic()
        if now - self.last_line < SECONDS_BETWEEN_LINES or not self.done:
            return
        self.last_line = now
        speed = self.done / (now - self.start)
        noun = (
            f" {self.unit.partition('/')[0]}, {format_rate(speed, self.unit)}" if self.unit else ""
        )
        left = format_duration((self.total - self.done) / speed)
        log_line(f"{self.title}: {self.done} of {self.total}{noun}, {left} left")


class TrainingBar:
    """The bar of a training run: one line for the epoch, with metrics and the time left.

    Where no person watches a terminal, `say` gets a line a minute.
    """

    def __init__(self, say: Callable[[str], None] = discard_line) -> None:
        self.say = say
        self.title, self.total, self.done = "", 0, 0
        self.last_line = time.monotonic()
        self._progress: Progress | None = None
        self._task: Any = None

    @contextmanager
    def show(self, is_shown: bool) -> Iterator[None]:
        """Show the bar inside the block, if a person watches."""
        self.last_line = time.monotonic()
        if not is_shown or not is_terminal():
            yield
            return
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=8), MofNCompleteColumn())
        with _bar(*columns, TextColumn("{task.fields[text]}")) as self._progress:
            self._task = self._progress.add_task("", total=None, text="")
            yield
        self._progress = None

    def begin(self, title: str, total: int, done: int = 0) -> None:
        """Start a pass over `total` batches."""
        self.title, self.total, self.done = title, total, done
        if self._progress is not None:
            self._progress.reset(
                self._task, total=total, completed=done, description=title, text=""
            )

    def advance(self, values: dict[str, str] | None = None) -> None:
        """Count a batch; `values` are shown as `name value` beside the bar, or in a line."""
        self.done += 1
        if values is not None and self.is_line_due():
            self.last_line = time.monotonic()
            shown = [" ".join(pair) for pair in values.items()]
            self.say(", ".join([f"{self.title}: batch {self.done} of {self.total}", *shown]))
        if self._progress is not None:
            text = (
                {} if values is None else {"text": "  ".join(" ".join(p) for p in values.items())}
            )
            self._progress.update(self._task, advance=1, **text)  # type: ignore[arg-type]

    def is_line_due(self) -> bool:
        """Return whether it is time for a line, where there is no terminal."""
        age = time.monotonic() - self.last_line
        return age >= SECONDS_BETWEEN_LINES and not is_terminal()

    @property
    def is_shown(self) -> bool:
        """Return whether there is a bar to fill, or a line to print."""
        return self._progress is not None or self.is_line_due()


def _bar(*columns: ProgressColumn) -> Progress:
    return Progress(*columns, console=Console(stderr=True), transient=True)


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Any) -> Text:
        return Text("" if task.speed is None else format_rate(task.speed, self.unit))
