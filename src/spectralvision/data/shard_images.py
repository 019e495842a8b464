"""The images in a column of shards: contents of files, or Hugging Face's {bytes, path}."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import Image

from spectralvision.data.image_files import open_image, open_regular_file
from spectralvision.data.images import Images
from spectralvision.data.shard_files import read_column
from spectralvision.runs import UserError


class ShardImages(Images):
    """The rows of some shards.

    The file contents stay in memory, shared with forked workers; images are decoded on demand.

    Args:
        files: The shards.
        column: The column of images in each.
        labels: (N,) int64.
    """

    def __init__(self, files: Sequence[Path], column: str, labels: np.ndarray) -> None:
        super().__init__(labels)
        self.files = tuple(files)
        self.column = column
        self._names = _distinct_names(self.files)
        self._read()

    def _read(self) -> None:
        self._columns = [read_column(file, self.column) for file in self.files]
        self._starts = np.cumsum([0, *map(len, self._columns)])

    def image(self, index: int) -> Image.Image:
        source = self._source(index)
        return open_image(source, name=self.name(index) if isinstance(source, bytes) else None)

    def encoded(self, index: int) -> bytes | None:
        source = self._source(index)
        if isinstance(source, bytes):
            return source
        with open_regular_file(source) as file:
            return file.read()

    def name(self, index: int) -> str:
        shard, row = self._find(index)
        return f"{self._names[shard]}#{row}"

    def _find(self, index: int) -> tuple[int, int]:
        """Return the number of the shard of an image, and its row there."""
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        return shard, int(index - self._starts[shard])

    def _source(self, index: int) -> bytes | Path:
        """Return the content of the image file, or its path if only that is stored."""
        shard, row = self._find(index)
        try:
            value = self._columns[shard][row].as_py()
        except UnicodeDecodeError:
            raise UserError(f"{self.name(index)} has a path that is not UTF-8.") from None
        if not isinstance(value, dict):
            value = {"path" if isinstance(value, str) else "bytes": value}
        content, path = value.get("bytes"), value.get("path")
        if content is None and path:
            return _path_below(self.files[shard].parent, path, self.name(index))
        return content or b""

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker reads the shards itself
        return {key: value for key, value in self.__dict__.items() if key != "_columns"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._read()


def _path_below(folder: Path, path: Any, name: str) -> Path:
    """Return the file that a row names, which may be nowhere but below the folder of its shard.

    Raises:
        UserError: It is somewhere else, by its name or through links.
    """
    text = str(path)
    if not PurePath(text).is_absolute() and ".." not in PurePath(text).parts and "\0" not in text:
        target = folder / text
        if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(folder)):
            return target
    raise UserError(f"{name} names the file {text}, which is not below the folder of its shard.")


def _distinct_names(files: Sequence[Path]) -> list[str]:
    """Return the names of shards, with their folders only where names occur twice."""
    names = [file.name for file in files]
    if len(set(names)) == len(names):
        return names
    root = os.path.commonpath([file.parent for file in files])
    return [str(file.relative_to(root)) for file in files]
