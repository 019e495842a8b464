"""Lists of the classes of masks: names, and the values or colors that stand for them.

    classes.json     ["sky", "road"], {"names": [...], "ignore_index": 11}, {"0": "sky"},
                     {"sky": 0}, {"sky": [r, g, b]}, or [{"name": "sky", "id": 0, "color": ...}]
    classes.txt      a name per line, or `r g b name`
    class_dict.csv   name,r,g,b
    objectInfo150.txt   of ADE20K, whose value 0 is ignored

Classes named void, ignore or unlabeled are ignored.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spectralvision.data.class_names import normalize_class
from spectralvision.data.image_files import open_regular_file
from spectralvision.data.masks import IGNORED, MAX_VALUE, Color, Values
from spectralvision.runs import UserError

FILES = (
    "classes.json", "classes.txt", "class_dict.csv", "label_colors.txt", "labels.txt",
    "objectInfo150.txt",
)  # fmt: skip
IGNORED_NAMES = ("void", "ignore", "ignored", "unlabeled", "unlabelled")
MAX_BYTES = 10_000_000


class ClassList(NamedTuple):
    """The classes of masks."""

    names: tuple[str, ...]
    values: Values


class Entry(NamedTuple):
    """A line of a list; a value or a color stands for the class."""

    name: str
    value: int | None = None
    color: Color | None = None


def find_class_list(folder: Path) -> Path | None:
    """Return the file in a folder that lists classes; None if there is none."""
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def read_class_list(path: Path) -> ClassList:
    """Read a list of classes.

    Raises:
        UserError: The file cannot be read, or is none of the forms above.
    """
    try:
        with open_regular_file(path) as file:
            text = file.read(MAX_BYTES).decode("utf-8-sig")
        if path.suffix == ".json":
            entries = list(_read_json(json.loads(text)))
        elif path.suffix == ".csv":
            entries = list(_read_csv(text))
        else:
            entries = list(_read_lines(text))
        return number_classes(entries)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} is no list of classes ({reason}).") from None


def number_classes(entries: Sequence[Entry]) -> ClassList:
    """Return the classes of a list, without those that are ignored.

    Raises:
        ValueError: There are none, or a name, value or color occurs twice.
    """
    values: dict[int, int] = {}
    colors: dict[Color, int] = {}
    names: list[str] = []
    for entry in entries:
        name = normalize_class(entry.name).strip()
        number = IGNORED if name.lower() in IGNORED_NAMES else len(names)
        if not name or name in names:
            raise ValueError(f"the name {name!r} {'is empty' if not name else 'occurs twice'}")
        for key, known, what in ((entry.value, values, "value"), (entry.color, colors, "color")):
            if key is None:
                continue
            if key in known:
                raise ValueError(f"the {what} {key} occurs twice")
            known[key] = number  # type: ignore[index]
        if number != IGNORED:
            names.append(name)
    if not names:
        raise ValueError("it names no class")
    if values and 0 not in values and min(values) == 1:
        values[0] = IGNORED  # numbered from 1
    return ClassList(tuple(names), Values(values, colors))


def infer_classes(found: Sequence[int], where: str) -> ClassList:
    """Return the classes of masks whose values are not listed.

    0 and 255 alone, or 0 and 1, are background and foreground; otherwise every value up to the
    largest is a class, named after it, and 255 is ignored.

    Args:
        found: The values of all masks.
        where: The data set, for messages.

    Raises:
        UserError: All masks have the same value.
    """
    values = set(found)
    if values in ({0, 255}, {0, 1}):
        return ClassList(("background", "foreground"), Values({0: 0, max(values): 1}, {}))
    values -= {255}
    if len(values) < 2:
        raise UserError(
            f"{where} has masks with one value only ({', '.join(map(str, sorted(values)))}): at "
            "least two classes are required."
        )
    numbers = range(max(values) + 1)
    table = {number: number for number in numbers} | {255: IGNORED}
    return ClassList(tuple(map(str, numbers)), Values(table, {}))


def _read_json(content: Any) -> Iterator[Entry]:
    if isinstance(content, dict) and "names" in content:
        names = content["names"]
        if isinstance(names, dict):
            yield from _read_json(names)
            return
        count = int(content.get("num_classes", len(names)))
        ignored = content.get("ignore_index")
        for value, name in enumerate(names):
            is_ignored = value == ignored or value >= count
            yield Entry("ignored" if is_ignored else _name(name), value)
        if isinstance(ignored, int) and 0 <= ignored <= MAX_VALUE and ignored >= len(names):
            yield Entry("ignored", ignored)
    elif isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, list):
                yield Entry(key, None, _color(value))
            elif isinstance(value, str):
                yield Entry(value, _value(key))
            else:
                yield Entry(key, _value(value))
    elif isinstance(content, list):
        for number, one in enumerate(content):
            yield _read_item(one, number)
    else:
        raise ValueError("a list or an object is expected")


def _read_item(one: Any, number: int) -> Entry:
    if not isinstance(one, dict):
        return Entry(_name(one), number)
    value = next((one[key] for key in ("id", "value", "index") if key in one), number)
    color = next((one[key] for key in ("color", "rgb") if key in one), None)
    return Entry(_name(one["name"]), _value(value), None if color is None else _color(color))


def _read_csv(text: str) -> Iterator[Entry]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row]
    if rows and not all(cell.isdigit() for cell in rows[0][1:4]):
        rows = rows[1:]  # a header
    for row in rows:
        if len(row) < 4:
            raise ValueError(f"a line has {len(row)} of 4 cells (name, r, g, b)")
        yield Entry(row[0], None, _color(row[1:4]))


def _read_lines(text: str) -> Iterator[Entry]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].split("\t")[0].strip() == "Idx":  # ADE20K
        for line in lines[1:]:
            cells = line.split("\t")
            yield Entry(cells[-1].split(",")[0], _value(cells[0]))
        return
    parts = [line.split(maxsplit=3) for line in lines]
    if parts and all(len(one) == 4 and all(c.isdigit() for c in one[:3]) for one in parts):
        yield from (Entry(one[3], None, _color(one[:3])) for one in parts)
        return
    yield from (Entry(line, number) for number, line in enumerate(lines))


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError(f"{name!r} is no name")
    return name


def _value(value: Any) -> int:
    number = int(value)
    if isinstance(value, float | bool) or not 0 <= number <= MAX_VALUE:
        raise ValueError(f"{value!r} is not a whole number from 0 to {MAX_VALUE}")
    return number


def _color(color: Any) -> Color:
    red, green, blue = (int(part) for part in color)
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ValueError(f"{color!r} is no color of three numbers from 0 to 255")
    return red, green, blue
