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

from spectralvision.runs import format_duration

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 60.0


def is_terminal() -> bool:
    """Return whether a person watches standard error."""
    return sys.stderr.isatty()


def log_line(line: str) -> None:
    """Print a message for the user on standard error."""
    print(line, file=sys.stderr, flush=True)


def discard_line(line: str) -> None:
    """Print nothing: all ranks but the first are silent."""


def track(
    items: Iterable[T],
    title: str,
    total: int | None = None,
    count: Callable[[T], int] = lambda item: 1,
    unit: str = "images/s",
) -> Iterator[T]:
    """Yield the items under a progress bar, which disappears at the end.

    Args:
        items: What to go through.
        title: Left of the bar.
        total: Of what is counted; default: the number of items.
        count: How much an item counts.
        unit: Of the rate at the right of the bar; "" shows none.
    """
    if not is_terminal():
        yield from items
        return
    if total is None:
        total = len(items)  # type: ignore[arg-type]
    columns: list[Any] = [TextColumn(title), BarColumn(), MofNCompleteColumn()]
    columns += [_Rate(unit)] if unit else []
    with _bar(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("", total=total)
        for item in items:
            yield item
            progress.advance(task, count(item))


class LineProgress:
    """Progress of a long job as a line per minute, for where no bar is shown."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.start = self.last_line = time.monotonic()

    def advance(self, images: int) -> None:
        """Count images, and print a line when it is time for one."""
        self.done += images
        now = time.monotonic()
        if now - self.last_line >= SECONDS_BETWEEN_LINES and not is_terminal():
            self.last_line = now
            left = (self.total - self.done) * (now - self.start) / self.done
            log_line(
                f"{self.done} of {self.total} images, {self.images_per_second():.0f} images/s, "
                f"{format_duration(left)} left"
            )

    def images_per_second(self) -> float | None:
        """Return the rate since the start; None before the first image."""
        return round(self.done / (time.monotonic() - self.start), 1) if self.done else None


class TrainingBar:
    """The bar of a training run: one line for the epoch, with metrics and the time left."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: Any = None

    @contextmanager
    def show(self, is_shown: bool) -> Iterator[None]:
        """Show the bar inside the block, if a person watches."""
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
        if self._progress is not None:
            self._progress.reset(
                self._task, total=total, completed=done, description=title, text=""
            )

    def advance(self, values: dict[str, str] | None = None) -> None:
        """Count a batch; `values` are shown as `name value` beside the bar."""
        if self._progress is not None:
            text = (
                {} if values is None else {"text": "  ".join(" ".join(p) for p in values.items())}
            )
            self._progress.update(self._task, advance=1, **text)  # type: ignore[arg-type]

    @property
    def is_shown(self) -> bool:
        """Return whether there is a bar to fill."""
        return self._progress is not None


def _bar(*columns: ProgressColumn) -> Progress:
    return Progress(*columns, console=Console(stderr=True), transient=True)


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Any) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.0f} {self.unit}")
