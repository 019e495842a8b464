"""Parquet shards with an image column (JPEG or PNG bytes, or Hugging Face's {bytes, path}) and a label column."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spectralvision.data.datasets import Images
from spectralvision.data.images import open_image
from spectralvision.runs import UserError, require_extra

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels")


class ParquetImages(Images):
    """The rows of some shards. Encoded bytes stay in memory, shared with forked workers; pixels are decoded on demand.

    Labels are integers, or texts, which are then counted in the order of `classes`.
    """

    def __init__(self, files: Sequence[Path], classes: Sequence[str]) -> None:
        import pyarrow.compute as pc

        self.files = tuple(files)
        self._read()
        labels = self._table[self._label]
        if labels.null_count:
            raise UserError(f"{self.files[0].parent} has {labels.null_count} rows without a label.")
        if _is_text(labels.type):
            number = {name: index for index, name in enumerate(classes)}
            labels = np.array([number[name] for name in labels.to_pylist()], dtype=np.int64)
        else:
            labels = pc.cast(labels, "int64").to_numpy()
        if len(labels) and (labels.min() < 0 or labels.max() >= len(classes)):
            outside = labels[(labels < 0) | (labels >= len(classes))][0]
            raise UserError(f"{self.files[0].parent} has the label {outside}, outside of its {len(classes)} classes.")
        super().__init__(labels)

    def _read(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        first = _schema(self.files[0])
        self._image, self._label = _column(first, IMAGE_COLUMNS, self.files[0]), label_column(self.files[0])
        try:
            tables = [pq.read_table(file, columns=[self._image, self._label]) for file in self.files]
            self._table = pa.concat_tables([table.replace_schema_metadata(None) for table in tables])
        except (pa.ArrowException, OSError, KeyError) as error:
            raise UserError(f"the shards in {self.files[0].parent} cannot be read together ({error}).") from None
        self._starts = np.cumsum([0, *(table.num_rows for table in tables)])

    def image(self, index: int) -> Image.Image:
        source = self._source(index)
        return open_image(source, name=self.name(index) if isinstance(source, bytes) else None)

    def encoded(self, index: int) -> bytes | None:
        source = self._source(index)
        return source if isinstance(source, bytes) else source.read_bytes()

    def _source(self, index: int) -> bytes | Path:
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
        return {key: value for key, value in self.__dict__.items() if key != "_table"}  # a spawned worker reads anew

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._read()


def label_column(file: Path) -> str:
    """The name of the label column."""
    return _column(_schema(file), LABEL_COLUMNS, file)


def class_names(files: Sequence[Path]) -> tuple[str, ...]:
    """Classes of shards: the schema's `class_names`, Hugging Face's ClassLabel, the texts, or 0 .. largest label."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schema, column = _schema(files[0]), label_column(files[0])
    metadata = schema.metadata or {}
    try:
        if b"class_names" in metadata:
            return tuple(map(str, json.loads(metadata[b"class_names"])))
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        if names := features.get(column, {}).get("names"):
            return tuple(map(str, names))
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{files[0]} has class names that cannot be read ({error}).") from None
    columns = [pq.read_table(file, columns=[column])[column] for file in files]
    if _is_text(schema.field(column).type):
        return tuple(sorted({name for values in columns for name in pc.unique(values).to_pylist() if name is not None}))
    largest = max((pc.max(values).as_py() for values in columns if len(values)), default=-1)
    return tuple(str(label) for label in range(largest + 1))


def _schema(file: Path) -> Any:
    require_extra("train", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file} is not a parquet file that can be read ({error}).") from None


def _column(schema: Any, names: Sequence[str], file: Path) -> str:
    for name in names:
        if name in schema.names:
            return name
    raise UserError(f"{file} has no column {names[0]!r}: its columns are {', '.join(schema.names)}.")


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind))
