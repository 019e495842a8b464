"""A file larger than memory: written as shards beside its place, and merged at the end.

The shards of FILE are in FILE.shards/. `job.json` says what they belong to; shard n, a file
without header, has the rows of the images n * size to (n + 1) * size, in order, whichever process
has written it; for JSON it has a record per line. `n.unreadable.csv` beside it lists the
images that cannot be read. A shard is written whole or not at all.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from spectralvision.engine.csv_files import read_rows, write_rows
from spectralvision.engine.lock import flock, lock
from spectralvision.runs import (
    UserError,
    atomic_write,
    read_json,
    replace_file,
    require_extra,
    write_json,
)

FORMATS = (".csv", ".parquet", ".json")
SHARDS_PER_ROW_GROUP = 32
"""Of Parquet."""
UNREADABLE_COLUMNS = ("image", "reason")
NUMERIC_PREFIXES = ("probability", "score")
WriteJson = Callable[[Callable[[], Iterator[Any]], TextIO], None]
"""(returns all records, file) -> None."""


def check_out(out: Path) -> None:
    """Raise `UserError` for a file that would be overwritten, or whose format is not supported."""
    if out.suffix not in FORMATS:
        raise UserError(f"--out {out} should end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.")
    if out.suffix == ".parquet":
        require_extra("train", "pyarrow")
    existing = [path for path in (out, unreadable_path(out)) if path.exists()]
    if out in existing or (existing and not _folder(out).exists()):
        raise UserError(f"{existing[0]} exists: name another file with --out, or move it away.")


def unreadable_path(out: Path) -> Path:
    """Return where the images that cannot be read are listed."""
    return out.with_name(f"{out.stem}.unreadable.csv")


class OutputShards:
    """The shards of a file with `num_images` rows, minus those of images that cannot be read.

    Args:
        out: A table, .csv or .parquet, or .json.
        columns: Its header; `probability...` and `score...` are numbers, the others text.
        num_images: In total, whichever process writes them.
        size: Images per shard.
        job: What else the rows depend on; the keys are words for messages.
        merge_json: Writes the JSON file, from what returns all records; default: a list of them.

    Raises:
        UserError: There are shards of another job.
    """

    def __init__(
        self,
        out: Path,
        columns: Sequence[str],
        num_images: int,
        size: int,
        job: dict[str, Any],
        merge_json: WriteJson | None = None,
    ) -> None:
        self.out, self.columns, self.num_images, self.size = out, columns, num_images, size
        self.merge_json = merge_json or (lambda records, file: write_json_list(records(), file))
        self.folder = _folder(out)
        self.folder.mkdir(parents=True, exist_ok=True)
        job = json.loads(json.dumps(job | {"number of images": num_images, "shard size": size}))
        record = self.folder / "job.json"
        if not record.exists():
            write_json(record, job)
        known = read_json(record)
        if changed := [key for key, value in job.items() if known.get(key) != value]:
            raise UserError(
                f"{self.folder} was started with another {changed[0]}: use the same again to "
                "resume, or delete the folder, or name another file with --out."
            )

    @property
    def is_json(self) -> bool:
        """Whether shards have records, not cells."""
        return self.out.suffix == ".json"

    def __len__(self) -> int:
        return -(-self.num_images // self.size)

    def rows(self, number: int) -> range:
        """Return the images of a shard."""
        return range(number * self.size, min((number + 1) * self.size, self.num_images))

    def missing(self, numbers: Iterable[int] | None = None) -> list[int]:
        """Return which of these shards are not written; none once the table is merged."""
        if not self.folder.exists():
            return []
        existing = set(os.listdir(self.folder))
        wanted = range(len(self)) if numbers is None else numbers
        return [number for number in wanted if self._name(number) not in existing]

    def write(self, number: int, rows: Sequence[Any], unreadable: Sequence[Sequence[str]]) -> None:
        """Write a shard, after its list of unreadable images: the shard says that both exist.

        Args:
            number: Of the shard.
            rows: Cells of the table; records for JSON.
            unreadable: Image and reason of what cannot be read.
        """
        if unreadable:
            with atomic_write(self._unreadable(number)) as temporary:
                _write_csv(temporary, unreadable)
        with atomic_write(self.folder / self._name(number)) as temporary:
            if self.is_json:
                _write_lines(temporary, rows)
            elif self.out.suffix == ".csv":
                _write_csv(temporary, rows)
            else:
                _write_parquet(temporary, rows, self.columns)

    def unreadable(self, numbers: Iterable[int]) -> Iterator[dict[str, str]]:
        """Yield image and reason of what cannot be read in these shards."""
        for number in numbers:
            path = self._unreadable(number)
            if path.exists():
                with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
                    yield from read_rows(file, UNREADABLE_COLUMNS)

    def merge(self) -> None:
        """Write the table and the list of unreadable images, and remove the shards."""
        shards = [self.folder / self._name(number) for number in range(len(self))]
        lists = [self._unreadable(number) for number in range(len(self))]
        lists = [path for path in lists if path.exists()]
        if lists:
            merged_list = self.folder / "unreadable"
            _merge_csv(lists, merged_list, UNREADABLE_COLUMNS)
            replace_file(merged_list, unreadable_path(self.out))
        merged = self.folder / "merged"
        if self.is_json:
            with open(merged, "w", encoding="utf-8") as file:
                self.merge_json(lambda: _read_lines(shards), file)
        else:
            merge = _merge_csv if self.out.suffix == ".csv" else _merge_parquet
            merge(shards, merged, self.columns)
        replace_file(merged, self.out)
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def in_use(self, process: tuple[int, int]) -> Iterator["OutputShards"]:
        """Keep other processes from removing the shards while the block runs.

        Args:
            process: (k, n): this is process k of n.

        Raises:
            UserError: Another process is the same one of as many.
        """
        k, n = process
        what = str(self.out) if n == 1 else f"shard {k}/{n} of {self.out}"
        own = lock(self.folder / f"{k}-of-{n}.lock", what)
        with open(self.folder / "lock", "a+") as self._lock, own:
            flock(self._lock.fileno(), fcntl.LOCK_SH)
            check_out(self.out)  # another process may just have merged the table
            yield self

    def is_last_user(self) -> bool:
        """Return whether, inside `in_use`, no other process uses the shards or can start to."""
        # Of several that end together, at least one sees no other
        flock(self._lock.fileno(), fcntl.LOCK_UN)
        try:
            flock(self._lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return self.folder.exists()

    def _name(self, number: int) -> str:
        return f"{number:06d}{self.out.suffix}"

    def _unreadable(self, number: int) -> Path:
        return self.folder / f"{number:06d}.unreadable.csv"


def write_json_list(records: Iterable[Any], file: TextIO) -> None:
    """Write a JSON list, a record per line."""
    separator = "["
    for record in records:
        file.write(f"{separator}\n{json.dumps(record)}")
        separator = ","
    file.write("\n]\n" if separator == "," else "[]\n")


def _folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.shards")


def _write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        write_rows(file, rows)


def _write_lines(path: Path, records: Iterable[Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def _read_lines(files: Sequence[Path]) -> Iterator[Any]:
    for path in files:
        with open(path, encoding="utf-8") as file:
            yield from map(json.loads, file)


def _merge_csv(files: Sequence[Path], out: Path, columns: Sequence[str]) -> None:
    _write_csv(out, [columns])
    with open(out, "ab") as merged:
        for file in files:
            with open(file, "rb") as shard:
                shutil.copyfileobj(shard, merged)


def _write_parquet(path: Path, rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(columns)
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = []
    for column, field in zip(values, schema, strict=True):
        is_text = pa.types.is_string(field.type)
        arrays.append(
            pa.array([_utf8(value) for value in column] if is_text else column, field.type)
        )
    pq.write_table(pa.table(arrays, schema), path)


def _merge_parquet(files: Sequence[Path], out: Path, columns: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(out, _schema(columns)) as writer:
        for start in range(0, len(files), SHARDS_PER_ROW_GROUP):
            group = files[start : start + SHARDS_PER_ROW_GROUP]
            writer.write_table(pa.concat_tables([pq.read_table(file) for file in group]))


def _schema(columns: Sequence[str]) -> Any:
    import pyarrow as pa

    fields = []
    for name in columns:
        is_number = name.startswith(NUMERIC_PREFIXES)
        fields.append((name, pa.float32() if is_number else pa.string()))
    return pa.schema(fields)


def _utf8(value: Any) -> str | None:
    """Return text as UTF-8 for Parquet; bytes of a file name that are not become \\xff."""
    if value is None:
        return None
    return os.fsencode(str(value)).decode("utf-8", "backslashreplace")
