"""Numbers in annotation files, which may be anything."""

import contextlib
from math import isfinite
from typing import Any

MAX_NUMBER = 2**63
"""Of images and categories, which are stored with 64 bits."""
MAX_EXACT = 2**53
"""From here on numbers with a decimal point stand for several whole ones."""


def to_float(value: Any) -> float | None:
    """Return a finite number, which may be written as text, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def to_floats(values: Any) -> list[float] | None:
    """Return a list of finite numbers, or None if it is something else."""
    if not isinstance(values, list):
        return None
    numbers = [number for number in map(to_float, values) if number is not None]
    return numbers if len(numbers) == len(values) else None


def to_whole(value: Any) -> int | None:
    """Return a whole number, which may be written as text or with .0, or None."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < MAX_NUMBER else None
    number = to_float(value) if isinstance(value, float | str) else None
    is_whole = number is not None and abs(number) < MAX_EXACT and number == int(number)
    return int(number) if number is not None and is_whole else None
