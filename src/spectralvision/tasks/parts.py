"""A table larger than memory: written in parts beside its place, put there whole at the end.

The parts of FILE lie in FILE.parts/. `job.json` says what they are parts of; part n, a file without a head, holds the
rows of the images n * size to (n + 1) * size, in order, so that it does not matter which process has written it.
`n.unreadable.csv` stands beside it where some of these could not be read. A part is written whole or not at all.
"""

import csv
import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spectralvision.runs import UserError, put_in_place, read_json, replacing, require_extra, write_json

FORMATS = (".csv", ".parquet")
GROUP = 32  # parts in a row group of Parquet
UNREADABLE = ("image", "reason")


def refuse_out(out: Path) -> None:
    """Raises `UserError` for a file that would be overwritten, or is of no kind that can be written."""
    if out.suffix not in FORMATS:
        raise UserError(f"--out {out} should end in {' or '.join(FORMATS)}.")
    if out.suffix == ".parquet":
        require_extra("train", "pyarrow")
    taken = [file for file in (out, unreadable_beside(out)) if file.exists()]
    if out in taken or (taken and not _folder(out).exists()):
        raise UserError(f"{taken[0]} exists: name another file with --out, or move it away.")


def unreadable_beside(out: Path) -> Path:
    """Where the images are listed that could not be read."""
    return out.with_name(f"{out.stem}.unreadable.csv")


class Parts:
    """The parts of a table of `num_images` rows, less those of images that cannot be read.

    Args:
        out: Where the table goes, .csv or .parquet.
        columns: Its head; `probability...` are numbers, the others texts.
        num_images: In all, whoever writes them.
        size: Images in a part.
        job: What else the rows depend on; keys are words that a sentence can name.

    Raises:
        UserError: There are parts of another job.
    """

    def __init__(self, out: Path, columns: Sequence[str], num_images: int, size: int, job: dict[str, Any]) -> None:
        self.out, self.columns, self.num_images, self.size = out, columns, num_images, size
        self.folder = _folder(out)
        self.folder.mkdir(parents=True, exist_ok=True)
        job = job | {"number of images": num_images, "size of a part": size}
        record = self.folder / "job.json"
        if not record.exists():
            write_json(record, job)
        begun = read_json(record)
        if other := [key for key, value in job.items() if begun.get(key) != value]:
            raise UserError(
                f"{self.folder} was begun with another {other[0]}: give that again to go on, "
                "or delete the folder, or name another file with --out."
            )

    def __len__(self) -> int:
        return -(-self.num_images // self.size)

    def rows(self, number: int) -> range:
        """The images of a part."""
        return range(number * self.size, min((number + 1) * self.size, self.num_images))

    def missing(self, numbers: Iterable[int] | None = None) -> list[int]:
        """Which of these parts, or of all, have not been written; none once the table is in its place."""
        if not self.folder.exists():
            return []
        there, wanted = set(os.listdir(self.folder)), range(len(self)) if numbers is None else numbers
        return [number for number in wanted if self._name(number) not in there]

    def write(self, number: int, rows: Sequence[Sequence[Any]], unreadable: Sequence[Sequence[str]]) -> None:
        """Puts a part in place; that of the unreadable images first, as the other one says that both are there."""
        if unreadable:
            with replacing(self._unreadable(number)) as beside:
                _write_csv(beside, unreadable)
        with replacing(self.folder / self._name(number)) as beside:
            if self.out.suffix == ".csv":
                _write_csv(beside, rows)
            else:
                _write_parquet(beside, rows, self.columns)

    def unreadable(self, numbers: Iterable[int]) -> Iterator[dict[str, str]]:
        """What could not be read in these parts: image and reason."""
        for number in numbers:
            if self._unreadable(number).exists():
                with open(self._unreadable(number), newline="", encoding="utf-8", errors="surrogateescape") as file:
                    yield from csv.DictReader(file, UNREADABLE)

    def merge(self) -> None:
        """Puts the table in its place, and the list of what could not be read beside it; takes the parts away."""
        files = [self.folder / self._name(number) for number in range(len(self))]
        merged, listed = self.folder / "merged", self.folder / "unreadable"
        if failures := [file for number in range(len(self)) if (file := self._unreadable(number)).exists()]:
            _merge_csv(failures, listed, UNREADABLE)
            put_in_place(listed, unreadable_beside(self.out))
        (_merge_csv if self.out.suffix == ".csv" else _merge_parquet)(files, merged, self.columns)
        put_in_place(merged, self.out)
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def shared(self) -> Iterator["Parts"]:
        """While the block runs the parts are in use: no other process takes them away."""
        with open(self.folder / "lock", "a+") as self._lock:
            _flock(self._lock, fcntl.LOCK_SH)
            refuse_out(self.out)  # another process may just have put the table in its place
            yield self

    def last(self) -> bool:
        """Whether, within `shared`, no other process uses the parts any more; from then on none can begin to."""
        _flock(self._lock, fcntl.LOCK_UN)  # of several that end together one at least sees the others gone
        try:
            _flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return self.folder.exists()

    def _name(self, number: int) -> str:
        return f"{number:06d}{self.out.suffix}"

    def _unreadable(self, number: int) -> Path:
        return self.folder / f"{number:06d}.unreadable.csv"


def _folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.parts")


def _flock(file: Any, how: int) -> None:
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        raise
    except OSError as error:  # a file system without locks: only processes that end at once could meet
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise


def _write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:  # names that are no UTF-8
        csv.writer(file, lineterminator="\n").writerows(rows)


def _merge_csv(files: Sequence[Path], out: Path, columns: Sequence[str]) -> None:
    _write_csv(out, [columns])
    with open(out, "ab") as merged:
        for file in files:
            with open(file, "rb") as part:
                shutil.copyfileobj(part, merged)


def _write_parquet(path: Path, rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(columns)
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = []
    for column, field in zip(values, schema, strict=True):
        texts = pa.types.is_string(field.type)
        arrays.append(pa.array([_utf8(value) for value in column] if texts else column, field.type))
    pq.write_table(pa.table(arrays, schema), path)


def _merge_parquet(files: Sequence[Path], out: Path, columns: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(out, _schema(columns)) as writer:
        for start in range(0, len(files), GROUP):
            writer.write_table(pa.concat_tables([pq.read_table(file) for file in files[start : start + GROUP]]))


def _schema(columns: Sequence[str]) -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.float32() if name.startswith("probability") else pa.string()) for name in columns])


def _utf8(text: str) -> str:
    """Parquet's texts are UTF-8: bytes of a file's name that are not come as \\xff."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
