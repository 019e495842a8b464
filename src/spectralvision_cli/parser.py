"""From the words after a verb to its option dataclasses. cyclopts reads the words."""

import contextlib
import difflib
import inspect
import math
import os
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.exceptions import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from spectralvision_cli.fields import Field, build, read_fields

PROG = "spectralvision"
HELP_FLAGS = ("-h", "--help")
SYNONYMS = {
    "batch": "batch-size", "checkpoint": "model", "classes": "num-classes", "clip": "clip-grad",
    "dataset": "data", "gpus": "devices", "image-size": "input-size", "img-size": "input-size",
    "learning-rate": "lr", "num-epochs": "epochs", "num-workers": "workers", "optimizer": "opt",
    "output": "out", "output-dir": "out", "resolution": "input-size", "scheduler": "sched",
    "size": "input-size", "wd": "weight-decay", "weights": "model",
}  # fmt: skip
"""Names that other programs give to options -> ours."""
MAX_DIGITS = 30
DASH = "\0"  # stands for a lone "-" (standard input), which cyclopts would take for an option


class UsageError(ValueError):
    """The words do not form a command. The message is one sentence with the value and the cure."""

    def __str__(self) -> str:
        text = super().__str__()  # may quote words that are names of files
        return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def parse(verb: str, words: Sequence[str], *kinds: type) -> tuple[Any, ...]:
    """Return an instance of each dataclass from the words after a verb.

    Raises:
        UsageError: An option is unknown, missing, or has no value or a wrong one.
    """
    fields = [field for kind in kinds for field in read_fields(kind)]
    values = parse_values(verb, words, fields)
    missing = [
        field.metavar if field.positional else field.option
        for field in fields
        if field.default is MISSING and field.name not in values
    ]
    if missing:
        raise UsageError(f"{verb} needs {' and '.join(missing)}: see `{PROG} {verb} --help`.")
    return tuple(build(kind, values) for kind in kinds)


def parse_values(verb: str, words: Sequence[str], fields: Sequence[Field]) -> dict[str, Any]:
    """Return the values that the words give, by the names of their fields.

    Raises:
        UsageError: An option is unknown, or has no value or a wrong one.
    """

    def command(**values: Any) -> None:
        """Stand for the verb: only its signature is used."""

    positional = [field for field in fields if field.positional]
    options = [field for field in fields if not field.positional]
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [_parameter(field) for field in (*positional, *options)]
    )
    app = App(name=verb, help_flags=(), version_flags=())
    app.default(command)
    words = [DASH if word == "-" else word for word in words]
    try:
        _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise UsageError(_sentence(verb, error, {one.option: one for one in fields})) from None
    return dict(bound.arguments)


def asks_for_help(words: Sequence[str]) -> bool:
    """Return whether --help or -h is among the words before a lone --."""
    options = words[: words.index("--")] if "--" in words else words
    return any(word in HELP_FLAGS for word in options)


def value_of(option: str, words: Sequence[str]) -> str | None:
    """Return the first value of an option, without any other option being known."""
    words = words[: words.index("--")] if "--" in words else words
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == option:
            return value if equals else next(iter(words[position + 1 :]), None)
    return None


def suggest(word: str, known: Sequence[str]) -> str | None:
    """Return the name that was probably meant, None if nothing is near."""
    bare = {one.lstrip("-"): one for one in known}
    near = difflib.get_close_matches(word.lstrip("-"), list(bare), n=1, cutoff=0.55)
    return bare[near[0]] if near else None


def is_path(word: str) -> bool:
    """Return whether a word is a file or a folder, or is written like one."""
    return "/" in word or Path(word).exists()


def describe_stray_path(verb: str, path: str) -> str:
    """Return the error about a path where a verb takes no arguments."""
    return f"{verb} takes its data as an option: did you mean --data {path}?"


def _parameter(field: Field) -> inspect.Parameter:
    """Return a parameter of a function for cyclopts; none is required, which `parse` checks."""
    settings: dict[str, Any] = {"allow_repeating": True, "json_list": False}
    if field.type is bool:
        settings["negative"] = None if field.default is True else ()
    else:
        settings["converter"] = _converter(field)
        settings["negative"] = ()
    annotation: Any = field.type
    default: Any = None
    kind: Any = inspect.Parameter.KEYWORD_ONLY
    if field.positional and field.repeated:
        annotation, default = typing.get_args(field.type)[0], inspect.Parameter.empty
        kind = inspect.Parameter.VAR_POSITIONAL
    elif field.positional:
        kind = inspect.Parameter.POSITIONAL_ONLY
    if field.repeated and not field.positional:
        settings["consume_multiple"] = (1, None)
    annotation = Annotated[annotation, Parameter(**settings)]
    return inspect.Parameter(field.name, kind, default=default, annotation=annotation)


def _converter(field: Field) -> Callable[[Any, Sequence[Any]], Any]:
    """Return what converts the tokens of an option into its value."""

    def convert(kind: Any, tokens: Sequence[Any]) -> Any:
        values = tuple(_convert(field, token.value.replace(DASH, "-")) for token in tokens)
        return values if field.repeated and not field.positional else values[-1]

    return convert


def _convert(field: Field, text: str) -> Any:
    """Return the value of a word.

    Raises:
        ValueError: It is not a value of this option; the message is the word.
    """
    if text in field.choices:
        return text
    if str in field.types and (text or field.positional):
        return text
    if field.optional and text.lower() == "none":
        return None
    if int in field.types and len(text) <= MAX_DIGITS:
        if re.fullmatch(r"[+-]?\d+(_\d+)*", text):
            return int(text)
        if re.fullmatch(r"[+-]?\d+(\.\d+)?[eE]\+?\d\d?", text) and float(text).is_integer():
            return int(float(text))  # 1e3
    if float in field.types:
        with contextlib.suppress(ValueError):
            if math.isfinite(number := float(text)):
                return number
    raise ValueError(text)


def _sentence(verb: str, error: CycloptsError, options: Mapping[str, Field]) -> str:
    """Return one sentence for an error of cyclopts."""
    if isinstance(error, UnknownOptionError):
        name = (error.token.keyword or error.token.value).split("=")[0]
        flags = [f"--no-{one.option[2:]}" for one in options.values() if one.default is True]
        if os.path.exists(name):
            return f"{verb} has no option {name}: for the file of this name, write ./{name}"
        name = name if len(name) <= 40 else f"{name[:40]}..."
        plain = name.replace("_", "-")
        near = f"--{SYNONYMS.get(plain[2:], '')}"
        if near not in options:
            near = suggest(plain, [*options, *flags, "--help"]) or ""
        cure = f"did you mean {near}?" if near else f"see `{PROG} {verb} --help`."
        return f"{verb} has no option {name}: {cure}"
    if isinstance(error, UnusedCliTokensError):
        word = (error.unused_tokens or [""])[0].replace(DASH, "-")
        if "--data" in options and is_path(word):
            return describe_stray_path(verb, word)
        return f"{verb} does not take {word!r}: see `{PROG} {verb} --help`."
    argument = error.argument
    if isinstance(error, CoercionError) and argument is not None:
        # For several values, the one that was rejected is the error's own message.
        if options[argument.name].type is bool:
            name = argument.name
            return (
                f"{name}={error.token.value if error.token else ''} is wrong: write {name} alone."
            )
        word = str(error.__cause__) if error.__cause__ else ""
        if not word and error.token is not None:
            word = error.token.value
        return f"{argument.name} {word or repr('')} should be {_values(options[argument.name])}."
    if isinstance(error, MissingArgumentError) and argument is not None:
        return f"{argument.name} needs a value: see `{PROG} {verb} --help`."
    return " ".join(str(error).split())


def _values(field: Field) -> str:
    """Return the values that an option takes, in words."""
    names = {int: "a whole number", float: "a number", str: field.metavar or "a name"}
    kinds = [names[kind] for kind in field.types if kind in names]
    kinds += [*field.choices, *(["none"] if field.optional and str not in field.types else [])]
    return kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} or {kinds[-1]}"
