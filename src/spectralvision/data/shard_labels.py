"""The labels in a column of a shard: text, or whole numbers, of any type that stands for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spectralvision.data.shard_columns import is_text
from spectralvision.data.shard_files import count_rows, read_column, read_schema
from spectralvision.runs import MAX_COUNT, UserError


def read_labels(file: Path, column: str) -> Any:
    """Return the labels of a shard as a `pyarrow.ChunkedArray` of text or of 64-bit integers.

    Missing ones, which are null, NaN or -1, become null, all if there is no such column. Booleans
    become 0 and 1. Text is in Unicode's composed form (NFC).

    Raises:
        UserError: The column cannot be read, or does not hold one class per image.
    """
    import pyarrow as pa

    if column not in read_schema(file).names:
        return pa.chunked_array([pa.nulls(count_rows(file), "int64")])
    where = f"the column {column!r} of {file}"
    values = read_column(file, column)
    try:
        return _normalize(values, where)
    except (pa.ArrowException, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{where} has labels that cannot be read ({error}).") from None


def class_names(labels: Sequence[Any], name: str) -> tuple[str, ...]:
    """Return the class names of shards that store none: their distinct texts, or 0 to the largest.

    Args:
        labels: What `read_labels` returns for each shard.
        name: The data set, for messages.

    Raises:
        UserError: Text beside numbers, or a number that is too large.
    """
    import pyarrow.compute as pc

    known = [values for values in labels if len(values) > values.null_count]
    kinds = {is_text(values.type) for values in known}
    if len(kinds) > 1:
        raise UserError(f"{name} has labels that are text beside numbers: use one kind in all.")
    if kinds == {True}:
        return tuple(sorted({text for one in known for text in pc.unique(one).to_pylist() if text}))
    largest = max((pc.max(values).as_py() for values in known), default=-1)
    if largest >= MAX_COUNT:
        raise UserError(
            f"{name} has the label {largest}: number its classes from 0, or name them in text."
        )
    return tuple(str(label) for label in range(largest + 1))


def number_labels(labels: Any, classes: Sequence[str], name: str) -> np.ndarray:
    """Return the labels of a shard as positions in `classes`, (N,) int64; missing ones are -1.

    Raises:
        UserError: A label is not among the classes.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_text(labels.type):
        numbers = pc.index_in(labels, value_set=pa.array(classes, labels.type))
        is_unknown = pc.and_(pc.is_valid(labels), pc.is_null(numbers))
    else:
        numbers = labels
        is_unknown = pc.or_(pc.less(labels, 0), pc.greater_equal(labels, len(classes)))
    unknown = pc.filter(labels, is_unknown)
    if len(unknown):
        raise UserError(
            f"{name} has the label {unknown[0].as_py()!r}, outside of its {len(classes)} classes."
        )
    return np.asarray(pc.fill_null(pc.cast(numbers, "int64"), -1), dtype=np.int64)


def _normalize(values: Any, where: str) -> Any:
    import pyarrow.compute as pc
    import pyarrow.types as types

    kind = values.type
    if types.is_dictionary(kind):
        return _normalize(pc.cast(values, kind.value_type), where)
    if types.is_boolean(kind):
        return pc.cast(values, "int64")
    if is_text(kind):
        return pc.utf8_normalize(pc.cast(values, "large_string"), form="NFC")
    if types.is_null(kind):
        return pc.cast(values, "int64")
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return _whole_numbers(values, where)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        raise UserError(
            f"{where} has lists, but several labels per image (multi-label) and one-hot vectors "
            "are not supported: store one class per image."
        )
    raise UserError(f"{where} has the type {kind}: store classes as text or whole numbers.")


def _whole_numbers(values: Any, where: str) -> Any:
    """Return numbers as int64, with null for NaN and -1."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    if types.is_floating(values.type):
        values = pc.cast(values, "float64")
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, "float64"), values)
    try:
        numbers = pc.cast(values, "int64")
    except pa.ArrowInvalid:
        broken = next(one for one in values.to_pylist() if one is not None and not _is_whole(one))
        raise UserError(
            f"{where} has the label {broken}, but labels are whole numbers from 0, or text."
        ) from None
    return pc.if_else(pc.equal(numbers, -1), pa.scalar(None, "int64"), numbers)


def _is_whole(value: Any) -> bool:
    return abs(value) < 2**63 and value == int(value)
