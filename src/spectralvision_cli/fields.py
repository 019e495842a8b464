"""Options from dataclasses: a field is an option, the string below a field is its help.

Nested dataclasses are flattened: `TrainConfig.optimizer.lr` is `--lr`.
"""

import ast
import dataclasses
import functools
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Field:
    """An option or a positional argument of a verb."""

    name: str  # as in Python
    type: Any
    default: Any  # MISSING: required
    help: str
    parent: str  # name of the field that holds the nested dataclass; "" at the top
    metavar: str
    positional: bool

    @property
    def option(self) -> str:
        """The option on the command line, as in `--data-dir`."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def types(self) -> tuple[Any, ...]:
        """The types of one value, without None: of `tuple[int, ...]` int, of `int | None` int."""
        kind = typing.get_args(self.type)[0] if self.repeated else self.type
        union = typing.get_origin(kind) in (typing.Union, types.UnionType)
        kinds = typing.get_args(kind) if union else (kind,)
        return tuple(one for one in kinds if one is not type(None))

    @property
    def optional(self) -> bool:
        """Whether None is a value."""
        return type(None) in typing.get_args(self.type)

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that are values by themselves, such as auto."""
        literals = (typing.get_args(one) for one in self.types if typing.get_origin(one) is Literal)
        return tuple(str(word) for words in literals for word in words)

    @property
    def repeated(self) -> bool:
        """Whether several values may follow."""
        return typing.get_origin(self.type) is tuple


def argument(default: Any, metavar: str) -> Any:
    """Declare a positional argument of a verb; a `default` of ... makes it required."""
    default = MISSING if default is ... else default
    return dataclasses.field(default=default, metadata={"positional": True, "metavar": metavar})


def option(default: Any, metavar: str) -> Any:
    """Declare an option with a name for its value; a `default` of ... makes it required."""
    default = MISSING if default is ... else default
    return dataclasses.field(default=default, metadata={"metavar": metavar})


def read_fields(kind: type) -> list[Field]:
    """Return the fields of a dataclass and of the dataclasses nested in it.

    Raises:
        TypeError: Two of them have the same name.
    """
    fields = list(_read(kind, {}, ""))
    names = [field.name for field in fields]
    if twice := {name for name in names if names.count(name) > 1}:
        raise TypeError(f"{kind.__name__} has more than one field named {', '.join(sorted(twice))}")
    return fields


def _read(kind: type, values: Mapping[str, Any], parent: str) -> Iterator[Field]:
    """Yield the fields; `values` are those of the instance that is a nested dataclass's default."""
    hints = typing.get_type_hints(kind)
    docs = read_docs(kind)
    for field in dataclasses.fields(kind):
        default = values.get(field.name, default_of(field))
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _read(type(default), vars(default), field.name)
            continue
        yield Field(
            name=field.name,
            type=hints[field.name],
            default=default,
            help=docs.get(field.name, ""),
            parent=parent,
            metavar=field.metadata.get("metavar", ""),
            positional=field.metadata.get("positional", False),
        )


def default_of(field: "dataclasses.Field[Any]") -> Any:
    """Return the default of a dataclass field, MISSING if it has none."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def build(kind: type, values: Mapping[str, Any]) -> Any:
    """Return an instance of a dataclass from flat values; everything else keeps its default."""
    known = {field.name for field in dataclasses.fields(kind)}
    found = {name: value for name, value in values.items() if name in known}
    for field in dataclasses.fields(kind):
        default = default_of(field)
        if dataclasses.is_dataclass(default) and not isinstance(default, type):
            found[field.name] = _replace(default, values)
    return kind(**found)


def _replace(instance: Any, values: Mapping[str, Any]) -> Any:
    """Return a nested dataclass with those values that are its own, also further down."""
    found = {}
    for name, old in vars(instance).items():
        if dataclasses.is_dataclass(old):
            found[name] = _replace(old, values)
        elif name in values:
            found[name] = values[name]
    return dataclasses.replace(instance, **found)


@functools.cache
def read_docs(kind: type) -> dict[str, str]:
    """Return the string below each field in the source of a class and of its bases, in one line."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(node, ast.ClassDef)
        for field, below in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                docs[field.target.id] = " ".join(str(below.value.value).split())
    return docs
