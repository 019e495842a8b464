"""Lists of the classes of masks: names, and the values or colors that stand for them.

    classes.json     ["sky", "road"], {"names": [...], "ignore_index": 11, "colors": [...]},
                     {"0": "sky"}, {"sky": 0}, {"sky": [r, g, b]}, or [{"name": "sky", "id": 0,
                     "color": ...}]; as id2label.json of the Hugging Face Hub, too
    classes.txt      a name per line, or `r g b name`; as class_names.txt or labels.txt of labelme,
                     whose `__ignore__` is not counted, too
    class_dict.csv   name,r,g,b
    _classes.csv     of Roboflow: value,name
    labelmap.txt     of CVAT: name:r,g,b::
    objectInfo150.txt   of ADE20K, whose value 0 is ignored

Classes named void, ignore or unlabeled are ignored.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spectralvision.data.image_files import describe_error, open_regular_file
from spectralvision.data.masks import IGNORED, MAX_VALUE, Color, Values
from spectralvision.data.names import normalize_name
from spectralvision.data.parse_numbers import to_whole
from spectralvision.runs import UserError

FILES = (
    "classes.json", "id2label.json", "classes.txt", "class_names.txt", "class_dict.csv",
    "_classes.csv", "label_colors.txt", "labelmap.txt", "labels.txt", "objectInfo150.txt",
)  # fmt: skip
LABELME_IGNORED = "__ignore__"
"""The first label of labelme, whose number is -1."""
IGNORED_NAMES = ("void", "ignore", "ignored", "unlabeled", "unlabelled")
BINARY = ({0, 1}, {0, 255}, {0, MAX_VALUE})
"""Values of masks of background and foreground."""
MAX_BYTES = 10_000_000
MAX_CLASSES = 32_767
"""That class maps can have."""
MAX_UNLISTED = 250
"""Classes of masks without a list; masks with more have smoothed edges, or instances."""
MAX_UNUSED = 20
"""Numbers without a class, beside as many as there are classes, in masks without a list."""
NO_VALUES = (None, -1, -100)
"""Of `ignore_index`, which mean that no value is ignored."""
CVAT_LINE = re.compile(r"([^:]+):(\d+),(\d+),(\d+)(:.*)?")


class ClassList(NamedTuple):
    """The classes of masks."""

    names: tuple[str, ...]
    values: Values


class Entry(NamedTuple):
    """A line of a list; a value or a color stands for the class."""

    name: str
    value: int | None = None
    color: Color | None = None


def find_class_list(folders: Iterable[Path]) -> Path | None:
    """Return the first file in some folders that lists classes; None if there is none."""
    files = (folder / name for folder in folders for name in FILES)
    return next((file for file in files if file.is_file()), None)


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
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a list of classes (it is not UTF-8 text).") from None
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        reason = describe_error(error)
        raise UserError(f"{path} is not a list of classes ({reason}).") from None


def number_classes(entries: Sequence[Entry]) -> ClassList:
    """Return the classes of a list, without those that are ignored.

    Raises:
        ValueError: There are none or too many, or a name, value or color occurs twice.
    """
    values: dict[int, int] = {}
    colors: dict[Color, int] = {}
    names: dict[str, None] = {}
    for entry in entries:
        name = normalize_name(entry.name).strip()
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
            names[name] = None
    if not 0 < len(names) <= MAX_CLASSES:
        raise ValueError(f"it names {len(names) or 'no'} classes: name 1 to {MAX_CLASSES}")
    if values and 0 not in values and min(values) == 1:
        values[0] = IGNORED  # numbered from 1
    return ClassList(tuple(names), Values(values, colors))


def infer_classes(found: Sequence[int], where: str) -> ClassList:
    """Return the classes of masks whose values are not listed.

    Two values as in `BINARY` are background and foreground; otherwise every value up to the largest
    is a class, named after it, and 255 is ignored.

    Args:
        found: The values of all masks.
        where: The data set, for messages.

    Raises:
        UserError: All masks have the same value, or they do not seem to be numbers of classes.
    """
    values = set(found)
    if values in BINARY:
        return ClassList(("background", "foreground"), Values({0: 0, max(values): 1}, {}))
    values -= {255}
    if len(values) < 2:
        raise UserError(
            f"{where} has masks with one value only ({', '.join(map(str, sorted(values)))}): at "
            "least two classes are required."
        )
    numbers = range(max(values) + 1)
    if len(numbers) > min(2 * len(values) + MAX_UNUSED, MAX_UNLISTED):
        first = ", ".join(map(str, sorted(values)[:3]))
        raise UserError(
            f"{where} has masks with {len(values)} values up to {max(values)} ({first} ...), which "
            "do not look like class numbers: list the values of the classes in classes.json."
        )
    table = {number: number for number in numbers} | {255: IGNORED}
    return ClassList(tuple(map(str, numbers)), Values(table, {}))


def _read_json(content: Any) -> Iterator[Entry]:
    if isinstance(content, dict) and "names" in content:
        yield from _read_names(content)
    elif isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, list):
                yield Entry(key, None, _to_color(value))
            elif isinstance(value, str):
                yield Entry(value, _to_value(key))
            else:
                yield Entry(key, _to_value(value))
    elif isinstance(content, list):
        for number, one in enumerate(content):
            yield _read_item(one, number)
    else:
        raise ValueError("a list or an object is expected")


def _read_names(content: dict[str, Any]) -> Iterator[Entry]:
    """Yield the entries of names, whose colors and ignored value may stand beside them."""
    entries = list(_read_json(content["names"]))
    count = _to_value(content.get("num_classes", len(entries)))
    ignored = content.get("ignore_index")
    ignored = None if ignored in NO_VALUES else _to_value(ignored)
    colors = content.get("colors", [entry.color for entry in entries])
    if not isinstance(colors, list) or len(colors) != len(entries):
        raise ValueError(f"colors should be a list of {len(entries)} colors")
    for place, (entry, color) in enumerate(zip(entries, colors, strict=True)):
        is_ignored = place >= count or (ignored is not None and entry.value == ignored)
        name = "ignored" if is_ignored else entry.name
        yield Entry(name, entry.value, None if color is None else _to_color(color))
    if ignored is not None and all(entry.value != ignored for entry in entries):
        yield Entry("ignored", ignored)


def _read_item(one: Any, number: int) -> Entry:
    if not isinstance(one, dict):
        return Entry(_to_name(one), number)
    value = next((one[key] for key in ("id", "value", "index") if key in one), number)
    color = next((one[key] for key in ("color", "rgb") if key in one), None)
    name = _to_name(one.get("name"))
    return Entry(name, _to_value(value), None if color is None else _to_color(color))


def _read_csv(text: str) -> Iterator[Entry]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row]
    if rows and not any(cell.isdigit() for cell in rows[0]):
        rows = rows[1:]  # a header
    for row in rows:
        if len(row) == 2:
            yield Entry(row[1], _to_value(row[0]))
        elif len(row) >= 4:
            yield Entry(row[0], None, _to_color(row[1:4]))
        else:
            raise ValueError(f"a line has {len(row)} of 4 cells (name, r, g, b)")


def _read_lines(text: str) -> Iterator[Entry]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].split("\t")[0].strip() == "Idx":  # ADE20K
        for line in lines[1:]:
            cells = line.split("\t")
            yield Entry(cells[-1].split(",")[0], _to_value(cells[0]))
        return
    labels = [CVAT_LINE.fullmatch(line) for line in lines if not line.startswith("# label:")]
    parts = [line.split(maxsplit=3) for line in lines]
    if all(labels):
        yield from (Entry(one[1], None, _to_color(one.group(2, 3, 4))) for one in labels if one)
    elif all(len(one) == 4 and all(cell.isdigit() for cell in one[:3]) for one in parts):
        yield from (Entry(one[3], None, _to_color(one[:3])) for one in parts)
    else:
        names = lines[lines[0] == LABELME_IGNORED :]
        yield from (Entry(name, number) for number, name in enumerate(names))


def _to_name(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError(f"the name {json.dumps(name)} is not text")
    return name


def _to_value(value: Any) -> int:
    number = to_whole(value)
    if number is None or not 0 <= number <= MAX_VALUE:
        raise ValueError(f"{json.dumps(value)} is not a whole number from 0 to {MAX_VALUE}")
    return number


def _to_color(color: Any) -> Color:
    parts = list(map(to_whole, color)) if isinstance(color, list | tuple) else []
    known = [part for part in parts if part is not None and 0 <= part <= 255]
    if not len(parts) == len(known) == 3:
        raise ValueError(f"{json.dumps(color)} is not a color of three numbers from 0 to 255")
    red, green, blue = known
    return red, green, blue
