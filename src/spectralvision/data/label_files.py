"""Images that a CSV file lists with their labels: columns `file` and `label`, optionally `split`.

Files are named relative to the CSV file, and never outside of its folder. Each has one label.
"""

import csv
import io
import itertools
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from spectralvision.data.find_images import is_ignored, is_image_file, scan_folder, subfolders
from spectralvision.data.image_files import describe_error, open_regular_file
from spectralvision.data.images import FileImages
from spectralvision.data.layout import number_classes
from spectralvision.data.names import normalize_name
from spectralvision.data.split_names import SPLIT_OF_WORD
from spectralvision.runs import UserError, format_bytes, format_count

FILE_COLUMNS = ("file", "filename", "file_name", "image", "path", "id")
LABEL_COLUMNS = ("label", "class", "target")
"""The first is taken if it is there, else the only other one."""
SPLIT_COLUMN = "split"
SEPARATORS = (",", ";", "\t")
MAX_BYTES = 2**28
MAX_ROWS = 5_000_000
SEVERAL_LABELS = re.compile(r"\[.*\]|\{.*\}|\(.*,.*\)|.*\|.*", re.DOTALL)
"""A list, a set, a tuple, or names with | between them."""


class Table(NamedTuple):
    """A CSV file."""

    header: list[str]
    """Names of the columns, in lower case."""
    rows: list[tuple[int, list[str]]]
    """Number of its line, and cells, of each row."""


class Row(NamedTuple):
    """A file with its label."""

    file: str
    label: str
    split: str


def open_label_file(path: Path) -> tuple[tuple[str, ...], dict[str, FileImages]]:
    """Return the classes, and the images of each split, that a CSV file lists.

    A file that does not exist is kept, like one that cannot be read: opening it fails later.

    Raises:
        UserError: The file cannot be read as such a list, or no image that it lists exists.
    """
    rows = _read_rows(path)
    files: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        files.setdefault(row.split, {}).setdefault(row.label, []).append(row.file)
    if not any(os.path.exists(path.parent / row.file) for row in rows):
        raise UserError(
            f"no file that {path} lists exists, such as {path.parent / rows[0].file}: write paths "
            "relative to the folder of the CSV file."
        )
    classes, labeled = number_classes(files, str(path))
    return classes, {split: FileImages(path.parent, *labeled[split]) for split in labeled}


def find_label_file(folder: Path) -> Path | None:
    """Return the CSV file that labels the images in a folder without class folders, if any.

    Raises:
        UserError: Several do.
    """
    if subfolders(folder):
        return None
    files = [path for path in sorted(folder.iterdir()) if not is_ignored(path.name)]
    tables = [path for path in files if path.suffix.lower() == ".csv"]
    if not tables or not any(map(is_image_file, files)):
        return None
    if len(tables) == 1:
        return tables[0]
    fitting = [path for path in tables if _has_columns(path)]
    if len(fitting) > 1:
        names = ", ".join(path.name for path in fitting)
        raise UserError(f"{folder} has several lists of labels ({names}): give one to --data.")
    return fitting[0] if fitting else None


def _has_columns(path: Path) -> bool:
    try:
        _find_columns(path, _read_table(path))
    except UserError:
        return False
    return True


def _read_table(path: Path) -> Table:
    """Parse a CSV file, with the separator that gives the first line the most columns."""
    text = _read_text(path)
    try:
        separator = max(SEPARATORS, key=lambda one: len(next(_parse(text, one, False), (0, []))[1]))
        rows = list(itertools.islice(_parse(text, separator), MAX_ROWS + 1))
    except csv.Error as error:
        raise UserError(f"{path} cannot be read as a CSV file ({error}).") from None
    if len(rows) > MAX_ROWS:
        raise UserError(f"{path} lists more than {format_count(MAX_ROWS)} images: divide it.")
    if len(rows) < 2:
        raise UserError(f"{path} lists no images: its first line should be file,label.")
    header = [name.strip().lower() for name in rows[0][1]]
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            raise UserError(
                f"{path} has {len(cells)} columns in line {line}, but {len(header)} in the first: "
                "quote names that contain the separator."
            )
    return Table(header, rows[1:])


def _read_text(path: Path) -> str:
    """Return the content; bytes that are not UTF-8 become those of file names."""
    try:
        with open_regular_file(path) as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({describe_error(error)}).") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{path} has more than {format_bytes(MAX_BYTES)}: divide it.")
    if b"\0" in content:
        raise UserError(f"{path} is no text in UTF-8: save it as CSV (UTF-8).")
    return content.decode("utf-8-sig", "surrogateescape")


def _parse(text: str, separator: str, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row that is not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict)
    return ((reader.line_num, cells) for cells in reader if any(map(str.strip, cells)))


def _find_columns(path: Path, table: Table) -> tuple[int, int, int | None]:
    """Return the columns of files, labels and splits."""
    file = _find_column(path, table, FILE_COLUMNS)
    others = [column for column in range(len(table.header)) if column != file]
    has_label = any(name in table.header for name in LABEL_COLUMNS)
    if len(others) > 1 and not has_label and _is_one_hot(table, others):
        raise UserError(
            f"{path} has a column for each class ({', '.join(table.header[:5])} ...): multi-label "
            "data is not supported; give each file one name in a column `label`."
        )
    label = _find_column(path, table, LABEL_COLUMNS)
    split = table.header.index(SPLIT_COLUMN) if SPLIT_COLUMN in table.header else None
    return file, label, split


def _find_column(path: Path, table: Table, names: Sequence[str]) -> int:
    found = [column for column, name in enumerate(table.header) if name == names[0]]
    found = found or [column for column, name in enumerate(table.header) if name in names]
    if not found:
        raise UserError(
            f"{path} has no column {names[0]!r} (its first line is {', '.join(table.header)}): "
            "name the columns file and label."
        )
    if len(found) > 1:
        several = ", ".join(table.header[column] for column in found)
        raise UserError(f"{path} has several columns of {names[0]}s ({several}): keep one.")
    return found[0]


def _is_one_hot(table: Table, columns: Sequence[int]) -> bool:
    cells = {cells[column].strip() for _, cells in table.rows for column in columns}
    return cells <= {"0", "1", "0.0", "1.0"}


def _read_rows(path: Path) -> list[Row]:
    """Return each file once.

    Raises:
        UserError: A file has no label, several labels or splits, or is outside of the folder.
    """
    table = _read_table(path)
    file_column, label_column, split_column = _find_columns(path, table)
    names = _FileNames(path)
    rows: dict[str, Row] = {}
    for line, cells in table.rows:
        file = names.find(cells[file_column].strip(), line)
        label = normalize_name(cells[label_column].strip())
        if not label:
            raise UserError(f"{path} has no label for {file} in line {line}: add it.")
        if SEVERAL_LABELS.fullmatch(label):
            raise _several_labels(path, file, label)
        split = "all" if split_column is None else _find_split(path, cells[split_column], line)
        row = rows.setdefault(file, Row(file, label, split))
        if row.label != label:
            raise _several_labels(path, file, f"{row.label}, {label}")
        if row.split != split:
            raise UserError(f"{path} has {file} in {row.split} and in {split}: keep one of them.")
    return list(rows.values())


def _several_labels(path: Path, file: str, labels: str) -> UserError:
    return UserError(
        f"{path} has several labels for {file} ({labels}): multi-label data is not supported; "
        "keep one label for each file."
    )


def _find_split(path: Path, cell: str, line: int) -> str:
    split = SPLIT_OF_WORD.get(cell.strip().lower())
    if split is None:
        raise UserError(f"{path} has the split {cell!r} in line {line}: use train, val or test.")
    return split


class _FileNames:
    """The files below the folder of a CSV file, by how it names them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._by_stem: dict[str, list[str]] | None = None

    def find(self, cell: str, line: int) -> str:
        """Return the file of a cell, which may lack the suffix, relative to the folder."""
        if "\\" in cell and not os.path.exists(self.path.parent / cell):
            cell = cell.replace("\\", "/")
        name = posixpath.normpath(cell)
        if name == "." or name.startswith(("/", "../")) or name == ".." or name[1:3] == ":/":
            raise UserError(
                f"{self.path} has {cell!r} as a file in line {line}: write a path below its folder."
            )
        if os.path.exists(self.path.parent / name):
            return name
        candidates = self._stems().get(name, [])
        return candidates[0] if len(candidates) == 1 else name

    def _stems(self) -> dict[str, list[str]]:
        """Return the image files by their names without suffix."""
        if self._by_stem is None:
            self._by_stem = {}
            for name in scan_folder(self.path.parent).images:
                self._by_stem.setdefault(os.path.splitext(name)[0], []).append(name)
        return self._by_stem
