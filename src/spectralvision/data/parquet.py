"""Parquet shards with a label column and an image column.

The image column has file contents, or Hugging Face's {bytes, path}.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spectralvision.data.image_files import open_image
from spectralvision.data.images import Images
from spectralvision.runs import UserError, require_extra

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels")


class ParquetImages(Images):
    """The rows of some shards.

    The file contents stay in memory, shared with forked workers; images are decoded on demand.
    Labels are integers, or strings, which are numbered in the order of `classes`.
    """

    def __init__(self, files: Sequence[Path], classes: Sequence[str]) -> None:
        self.files = tuple(files)
        self._read_shards()
        super().__init__(self._read_labels(classes))

    def _read_shards(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._image = _find_column(_read_schema(self.files[0]), IMAGE_COLUMNS, self.files[0])
        self._label = label_column(self.files[0])
        columns = [self._image, self._label]
        try:
            tables = [pq.read_table(file, columns=columns) for file in self.files]
            self._table = pa.concat_tables(
                [table.replace_schema_metadata(None) for table in tables]
            )
        except (pa.ArrowException, OSError, KeyError) as error:
            raise UserError(
                f"the shards in {self.files[0].parent} cannot be read together ({error})."
            ) from None
        self._starts = np.cumsum([0, *(table.num_rows for table in tables)])

    def _read_labels(self, classes: Sequence[str]) -> np.ndarray:
        import pyarrow.compute as pc

        folder = self.files[0].parent
        column = self._table[self._label]
        if column.null_count:
            raise UserError(f"{folder} has {column.null_count} rows without a label.")
        if _is_text(column.type):
            label_of = {name: label for label, name in enumerate(classes)}
            labels = np.array([label_of[name] for name in column.to_pylist()], dtype=np.int64)
        else:
            labels = pc.cast(column, "int64").to_numpy()
        outside = labels[(labels < 0) | (labels >= len(classes))]
        if len(outside):
            raise UserError(
                f"{folder} has the label {outside[0]}, outside of its {len(classes)} classes."
            )
        return labels

    def image(self, index: int) -> Image.Image:
        source = self._source(index)
        return open_image(source, name=self.name(index) if isinstance(source, bytes) else None)

    def encoded(self, index: int) -> bytes | None:
        source = self._source(index)
        return source if isinstance(source, bytes) else source.read_bytes()

    def _source(self, index: int) -> bytes | Path:
        """Return the content of the image file, or its path if only that is stored."""
        value = self._table[self._image][index].as_py()
        if isinstance(value, dict):
            if value.get("bytes") is None and value.get("path"):
                return self.files[0].parent / value["path"]
            value = value.get("bytes")
        return value or b""

    def name(self, index: int) -> str:
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        return f"{self.files[shard].name}#{index - self._starts[shard]}"

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker reads the shards itself
        return {key: value for key, value in self.__dict__.items() if key != "_table"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._read_shards()


def label_column(file: Path) -> str:
    """Return the name of the label column.

    Raises:
        UserError: There is none, or the file is not a parquet file.
    """
    return _find_column(_read_schema(file), LABEL_COLUMNS, file)


def class_names(files: Sequence[Path]) -> tuple[str, ...]:
    """Return the class names of shards.

    They are, in this order of preference: `class_names` in the schema's metadata, Hugging Face's
    ClassLabel, the distinct strings of the label column, or the numbers from 0 to the largest
    label.

    Raises:
        UserError: The metadata is malformed.
    """
    schema = _read_schema(files[0])
    column = label_column(files[0])
    names = _stored_class_names(schema.metadata or {}, column, files[0])
    if names is not None:
        return names
    return _distinct_labels(files, column, _is_text(schema.field(column).type))


def _stored_class_names(
    metadata: dict[bytes, bytes], column: str, file: Path
) -> tuple[str, ...] | None:
    """Return the class names in a schema's metadata, or None."""
    try:
        if b"class_names" in metadata:
            return tuple(map(str, json.loads(metadata[b"class_names"])))
        info = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {})
        names = info.get("features", {}).get(column, {}).get("names")
        return tuple(map(str, names)) if names else None
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{file} has class names that cannot be read ({error}).") from None


def _distinct_labels(files: Sequence[Path], column: str, is_text: bool) -> tuple[str, ...]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    labels = [pq.read_table(file, columns=[column])[column] for file in files]
    if is_text:
        names = {name for values in labels for name in pc.unique(values).to_pylist()}
        return tuple(sorted(names - {None}))
    largest = max((pc.max(values).as_py() for values in labels if len(values)), default=-1)
    return tuple(str(label) for label in range(largest + 1))


def _read_schema(file: Path) -> Any:
    require_extra("train", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file} cannot be read as a parquet file ({error}).") from None


def _find_column(schema: Any, names: Sequence[str], file: Path) -> str:
    for name in names:
        if name in schema.names:
            return name
    raise UserError(
        f"{file} has no column {names[0]!r}: its columns are {', '.join(schema.names)}."
    )


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind))
