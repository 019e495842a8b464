"""Escape, shorten, count and format text for people, in pages and on a terminal."""

import html
import math
from collections.abc import Sequence

from spectralvision.runs import format_count, printable

MAX_NAME = 40  # characters of a name in a table or a sentence


def escape(text: object) -> str:
    """Escape text for HTML content and attributes; see `printable` for control characters."""
    return html.escape(printable(text), quote=True)


def shorten(text: str, limit: int) -> str:
    """Return at most `limit` characters: both ends with an ellipsis between.

    The middle is cut because long names often differ at their end.
    """
    if len(text) <= limit:
        return text
    tail = limit // 2
    return f"{text[: limit - tail - 1]}…{text[-tail:]}"


def pluralize(number: int, noun: str) -> str:
    """Return `1 image`, `2 images`, `2 classes`."""
    if number == 1:
        return f"1 {noun}"
    return f"{format_count(number)} {noun}{'es' if noun.endswith('s') else 's'}"


def join_names(names: Sequence[str], limit: int = 5, width: int | None = MAX_NAME) -> str:
    """Return the first `limit` names, of at most `width` characters, and the number of others."""
    text = ", ".join(name if width is None else shorten(name, width) for name in names[:limit])
    rest = len(names) - limit
    return f"{text} and {format_count(rest)} more" if rest > 0 else text


def format_percent(value: float | None) -> str:
    """Return a fraction in per cent, and a dash for None and NaN."""
    return "-" if value is None or math.isnan(value) else f"{value:.1%}"
