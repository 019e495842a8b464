"""Comma-separated values that both programs and spreadsheets read safely.

Cells that a spreadsheet would run as a formula get an apostrophe in front, which `read_cell`
removes again. Line breaks of any kind inside cells are quoted. File names that are not UTF-8 keep
their bytes where the file has the error handler `surrogateescape`.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

FORMULA = re.compile(r"'*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20].", re.DOTALL)


def write_rows(file: TextIO, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows into a file that was opened with `newline=""`."""
    writer = csv.writer(_UnixLines(file))
    writer.writerows([_write_cell(cell) for cell in row] for row in rows)


def read_rows(file: TextIO, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield what `write_rows` wrote into a file without a header, as text by column."""
    for row in csv.reader(file):
        yield dict(zip(columns, map(read_cell, row), strict=True))


def read_cell(text: str) -> str:
    """Return the text that a cell stands for."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def _write_cell(value: Any) -> Any:
    is_formula = isinstance(value, str) and FORMULA.match(value) and not _is_number(value)
    return f"'{value}" if is_formula else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _UnixLines:
    """A text file whose lines end in a line feed, while csv quotes both its line ends in cells."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, line: str) -> int:
        return self.file.write(line.removesuffix("\r\n") + "\n")
