"""Files with a table of images: parquet shards, and the arrow files of Hugging Face's data sets.

Guarantees against hostile files: only regular files are opened, and a column takes at most
`MAX_GROWTH` times the size of its file, or `MIN_BOUND`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spectralvision.data.find_images import list_folder, subfolders
from spectralvision.runs import UserError, format_bytes, read_json, require_extra

MAX_GROWTH = 100
"""Memory of a column over the size of its file; images, which are compressed, take about 1."""
MIN_BOUND = 2**28
"""Memory that a column of any file may take."""
BATCH_BYTES = 2**26
"""Memory of the rows that are decoded at once."""
SAVED_FILES = ("state.json", "dataset_info.json")
"""What `save_to_disk` of Hugging Face's `datasets` writes beside arrow files."""


def find_shards(path: Path) -> list[Path]:
    """Return the shards at any depth below a folder, each once, or a parquet file itself.

    Folders that systems keep are left out. Links are followed, but not to a folder above.

    Raises:
        UserError: A folder cannot be read.
    """
    if not path.is_dir():
        return [path] if path.suffix == ".parquet" and path.is_file() else []
    shards: list[Path] = []
    seen: set[str] = set()
    folders, links = [path], list[Path]()
    while folders or links:  # real folders first, so that a link never hides what it points to
        folder = folders.pop() if folders else links.pop(0)
        real_folder = os.path.realpath(folder)
        if real_folder in seen:
            continue
        seen.add(real_folder)
        shards += _shards_in(folder)
        for below in subfolders(folder):
            (links if below.is_symlink() else folders).append(below)
    each_once: dict[str, Path] = {}
    for shard in sorted(shards, key=lambda shard: (shard.is_symlink(), shard)):
        each_once.setdefault(os.path.realpath(shard), shard)
    return sorted(each_once.values())


def _shards_in(folder: Path) -> list[Path]:
    """Return the shards of one folder; links to what does not exist too, so that they are named."""
    names = {entry.name for entry in list_folder(folder)}
    if names.issuperset(SAVED_FILES):
        return _saved_shards(folder)
    paths = [folder / name for name in names if name.endswith(".parquet")]
    return [path for path in paths if path.is_file() or not path.exists()]


def _saved_shards(folder: Path) -> list[Path]:
    """Return the arrow files that `state.json` lists; others are caches."""
    state = read_json(folder / SAVED_FILES[0])
    try:
        names = [file["filename"] for file in state["_data_files"]]
        is_valid = bool(names) and all(Path(name).name == name for name in names)
    except (KeyError, TypeError):
        is_valid = False
    if not is_valid or any(key.startswith("_indices") and state[key] for key in state):
        raise UserError(f"{folder}/{SAVED_FILES[0]} lists no arrow files: save the data set again.")
    paths = [folder / name for name in names]
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} is missing or no regular file: save the data set again.")
    return paths


def read_schema(file: Path) -> Any:
    """Return the `pyarrow.Schema` of a shard.

    Raises:
        UserError: The file cannot be read, or pyarrow is missing.
    """
    require_extra("train", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _named_errors(file):
        if file.suffix == ".parquet":
            return pq.read_schema(file)
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
            return reader.schema


def read_column(file: Path, column: str) -> Any:
    """Return a column of a shard, a `pyarrow.ChunkedArray`.

    Raises:
        UserError: The file cannot be read, or takes too much memory.
    """
    import pyarrow as pa

    limit = max(MIN_BOUND, MAX_GROWTH * file.stat().st_size)
    read = _read_parquet if file.suffix == ".parquet" else _read_arrow
    chunks: list[Any] = []
    size = 0
    with _named_errors(file):
        kind = read_schema(file).field(column).type
        for chunk in read(file, column, limit):
            size += chunk.nbytes
            _check_size(file, size, limit)
            chunks.append(chunk)
        return pa.chunked_array(chunks, kind)


def count_rows(file: Path) -> int:
    """Return the number of rows of a shard.

    Raises:
        UserError: The file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _named_errors(file):
        if file.suffix == ".parquet":
            return int(pq.read_metadata(file).num_rows)
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
            return sum(batch.num_rows for batch in reader)


def _read_parquet(file: Path, column: str, limit: int) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as shard:
        # 1. What the file states, before anything is decoded
        sizes = []
        for number in range(shard.metadata.num_row_groups):
            group = shard.metadata.row_group(number)
            chunks = [group.column(index) for index in range(group.num_columns)]
            own = [one for one in chunks if f"{one.path_in_schema}.".startswith(f"{column}.")]
            sizes.append(sum(one.total_uncompressed_size for one in own))
        _check_size(file, sum(sizes), limit)

        # 2. Few rows at a time, as a value that is stored once may be in all of them
        rows = min(max(BATCH_BYTES // max([1, *sizes]), 1), 1024)
        for batch in shard.iter_batches(rows, columns=[column]):
            yield batch.column(column)


def _read_arrow(file: Path, column: str, limit: int) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
        for batch in reader:
            values = batch.column(column)
            values.validate(full=True)  # offsets that point outside of the file
            yield values


def _check_size(file: Path, size: int, limit: int) -> None:
    if size > limit:
        raise UserError(
            f"{file} takes more than {format_bytes(limit)} of memory, but its file has "
            f"{format_bytes(file.stat().st_size)}: store its images in a compressed format."
        )


@contextmanager
def _named_errors(file: Path) -> Iterator[None]:
    """Raise errors of pyarrow and of the file system as `UserError` with the name of the file."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        kind = "a parquet file" if file.suffix == ".parquet" else "an arrow file"
        raise UserError(f"{file} cannot be read as {kind} ({error}).") from None
