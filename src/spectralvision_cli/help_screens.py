"""The help of the command and of its verbs, as text.

The options of a task or recipe are in modules that import torch and timm. `task_options.json` holds
their help, so that it can be shown without; `python -m spectralvision.commands.describe_options`
writes the file, and a test compares it with the modules.
"""

import functools
import json
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any, NamedTuple

from spectralvision_cli.fields import Field, read_fields
from spectralvision_cli.options import VERBS
from spectralvision_cli.options.common import REST
from spectralvision_cli.parser import PROG

STORED = Path(__file__).with_name("task_options.json")
DEFAULT_TASK = "classification"
MIN_WIDTH, MAX_WIDTH = 60, 100  # columns
REQUIRED = "[required]"
VALUES = {
    "out": "DIR", "masks": "DIR", "pictures": "DIR", "label_maps": "DIR", "teacher": "MODEL",
    "teacher_cache": "DIR", "pretrained": "auto|none|published|NAME",
    "opt": "NAME", "sched": "NAME", "strategy": "NAME", "logger": "NAME", "auto_augment": "POLICY",
}  # fmt: skip
"""What stands for the value of a text option; for others, the last word of their name."""
LABEL_WIDTH = 26  # columns of an option's name and value, the margin included
ABOUT = (
    "Frequency-domain token mixers for PyTorch, and the vision backbones built on them: AFFNet, "
    "SVT, GFNet, DFFormer, vHeat."
)


class Row(NamedTuple):
    """An option in the help."""

    name: str
    label: str
    help: str
    parent: str


class Description(NamedTuple):
    """What a task or a recipe adds to the help of a verb."""

    about: str
    rows: tuple[Row, ...]


def command_help() -> str:
    """Return the help of the command: its verbs and where to go from here."""
    verbs = [(verb, first_line(kind)) for verb, kind in VERBS.items()]
    options = [("-h, --help", "Show this help."), ("-V, --version", "Show the version.")]
    blocks = [
        f"Usage: {PROG} VERB [OPTIONS]",
        *_wrap(ABOUT),
        *_table("Verbs", verbs),
        *_table("Options", options),
        f"`{PROG} VERB --help` shows the options of a verb.\n"
        f"A first run: `{PROG} train --data digits`",
    ]
    return "\n\n".join(blocks) + "\n"


def verb_help(verb: str, added: Description | None = None) -> str:
    """Return the help of a verb; `added` is what the task of a model adds."""
    own = describe(VERBS[verb])
    return _screen(verb, [*own.rows, *(added.rows if added else ())], _wrap(own.about))


def recipe_help(recipe: str, added: Description, titles: Mapping[str, str]) -> str:
    """Return the help of `train RECIPE`.

    Args:
        recipe: Its name.
        added: Its settings.
        titles: Name and title of each recipe.
    """
    own = describe(VERBS["train"])
    rows = [*own.rows, *added.rows]
    if recipe != DEFAULT_TASK:
        start = f"{PROG} train {recipe} --data photos"
        examples = (start, f"{start} --dry-run", f"{PROG} train --resume runs/photos-affnet_t")
        return _screen(f"train {recipe}", rows, _wrap(added.about), examples)
    recipes = _table(f"Recipes (see `{PROG} train RECIPE --help`)", titles.items())
    return _screen("train [RECIPE]", rows, [*_wrap(own.about), *recipes])


def _screen(
    usage: str, rows: Sequence[Row], about: Iterable[str], examples: Sequence[str] = ()
) -> str:
    """Return the help of a verb, of which `usage` is the beginning; by default its own examples."""
    kind = VERBS[usage.split()[0]]
    required = [row.label for row in rows if row.help.endswith(REQUIRED)]
    optional = [row.label for row in rows if row.label.startswith("[")]
    words = [f"Usage: {PROG}", usage, *sorted(required, key=_is_option), *optional, "[OPTIONS]"]
    blocks = [_fill(" ".join(_glue(word) for word in words), "       "), *about]
    for title, group in _grouped(rows, kind.groups).items():
        blocks += _table(title, [(row.label, row.help) for row in group])
    blocks.append("\n".join(["Examples:", *(f"  {line}" for line in examples or kind.examples)]))
    return "\n\n".join(blocks) + "\n"


def _is_option(label: str) -> bool:
    return label.startswith("--")


def describe(kind: type) -> Description:
    """Return the help of a dataclass of options; `lr` in a text becomes --lr."""
    fields = read_fields(kind)
    options = {f"`{one.name}`": one.option for one in fields if not one.positional}

    def rewrite(text: str) -> str:
        return re.sub(r"`\w+`", lambda match: options.get(match[0], match[0]), text)

    rows = (Row(one.name, label(one), rewrite(help_text(one)), one.parent) for one in fields)
    return Description(textwrap.dedent(f"    {kind.__doc__}").strip(), tuple(rows))


def stored_description(verb: str, name: str) -> Description | None:
    """Return what is stored of a recipe for `train`, or of a task for the other verbs, if it is."""
    one = _stored()[verb].get(name)
    if one is None:
        return None
    rows = {}
    if one["like"]:
        base = stored_description(verb, one["like"])
        assert base is not None
        rows = {row.name: row for row in base.rows}
    rows |= {row[0]: Row(*row) for row in one["rows"]}
    return Description(one["about"], tuple(rows.values()))


def stored_titles(verb: str) -> dict[str, str]:
    """Return the title of each stored recipe or task."""
    return {name: _first(one["about"]) for name, one in _stored()[verb].items()}


def to_json(one: Description, like: str, base: Description | None) -> dict[str, Any]:
    """Return what `stored_description` reads; only what differs from the description `like`."""
    known = set(base.rows) if base else set()
    rows = [list(row) for row in one.rows if row not in known]
    return {"about": one.about, "like": like, "rows": rows}


def first_line(kind: type) -> str:
    """Return the first sentence of a class's docstring."""
    return _first(str(kind.__doc__))


def label(field: Field) -> str:
    """Return an option with its value, as in `--epochs N|auto`."""
    if field.positional:
        name = f"{field.metavar} ..." if field.repeated else field.metavar
        return name if field.default is MISSING else f"[{name}]"
    if field.type is bool:
        return f"--[no-]{field.option[2:]}" if field.default is True else field.option
    word = VALUES.get(field.name, field.name.rpartition("_")[2].upper())
    short = {int: "N", float: "X", str: word}
    kinds = [field.metavar] if field.metavar else []
    kinds += [short[kind] for kind in field.types if kind in short and not field.metavar]
    value = "|".join((*kinds, *field.choices))
    return f"{field.option} {value}{' ...' if field.repeated else ''}"


def help_text(field: Field) -> str:
    """Return the help of an option with its default."""
    default = field.default
    if default is MISSING:
        return f"{field.help} {REQUIRED}"
    if default is True:
        return f"{field.help} [default: on]"
    if default is None or default is False or default == () or (field.positional and default):
        return field.help
    values = default if isinstance(default, tuple) else (default,)
    words = (f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    return f"{field.help} [default: {' '.join(words)}]"


@functools.cache
def _stored() -> dict[str, dict[str, Any]]:
    stored: dict[str, dict[str, Any]] = json.loads(STORED.read_text(encoding="utf-8"))
    return stored


def _grouped(rows: Sequence[Row], groups: Mapping[str, Sequence[str]]) -> dict[str, list[Row]]:
    """Return the rows by the titles of their groups, in the order of the groups and their names.

    A row that no group names belongs to the group that names its dataclass, or else to that of
    `REST`; there, the title is that of the dataclass, or "Options".
    """
    title_of = {name: title for title, names in groups.items() for name in names}
    rest = title_of.get(REST, REST)
    found: dict[str, list[Row]] = {title: [] for title in groups}
    own: dict[str, list[Row]] = {}
    for row in rows:
        title = title_of.get(row.name) or title_of.get(row.parent) or rest
        if title == REST:
            own.setdefault(row.parent.replace("_", " ").capitalize() or "Options", []).append(row)
        else:
            found[title].append(row)
    ordered: dict[str, list[Row]] = {}
    for title in (*groups, *([] if REST in groups else [REST])):
        if title == REST:
            ordered |= own
            continue
        names = list(groups[title])
        place = {name: position for position, name in enumerate(names)}
        last = place.get(REST, len(names))
        found[title].sort(key=lambda row: place.get(row.name, place.get(row.parent, last)))
        ordered[title] = found[title]
    return {title: group for title, group in ordered.items() if group}


def _table(title: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a block with a title: names on the left, wrapped texts on the right."""
    lines = [f"{title}:"]
    indent = " " * LABEL_WIDTH
    for name, text in rows:
        start = f"  {name}".ljust(LABEL_WIDTH)
        if len(start) > LABEL_WIDTH or start[-1] != " ":
            lines.append(start)
            start = indent
        lines.append(_fill(text, indent, start))
    yield "\n".join(line.rstrip() for line in lines)


def _wrap(text: str) -> Iterator[str]:
    """Yield paragraphs, wrapped."""
    for paragraph in text.split("\n\n"):
        yield _fill(" ".join(paragraph.split()))


def _fill(text: str, indent: str = "", start: str = "") -> str:
    """Return a text wrapped, but not within [default: ...] or `...`."""
    text = re.sub(r"\[default: [^]]*\]|`[^`]{,40}`", lambda match: _glue(match[0]), text)
    lines = textwrap.fill(
        text,
        min(MAX_WIDTH, max(MIN_WIDTH, shutil.get_terminal_size().columns)),
        initial_indent=start,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return lines.replace("\xa0", " ")


def _glue(text: str) -> str:
    """Return a text that is not wrapped."""
    return text.replace(" ", "\xa0")


def _first(text: str) -> str:
    """Return the first line or sentence of a text."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".") + "."
