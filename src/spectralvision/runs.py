"""The run folder, files that are never half-written, and errors meant for the person who typed the command.

A run is one folder: `config.json` and `model.safetensors` in timm's format, `run.json` (what was done, with what, and
what came out), `metrics.csv` (one row an epoch) and `checkpoints/`. Imports nothing of the package.
"""

import difflib
import errno
import importlib.util
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class UserError(ValueError):
    """Something the user can mend. The message is one sentence with the value and the cure."""

    def __str__(self) -> str:
        # A data-loader worker hands an error over wrapped in its own traceback; the sentence is its last line.
        return super().__str__().rsplit("UserError: ", 1)[-1].strip()


class Stopped(KeyboardInterrupt):
    """SIGTERM has ended a training, which can be resumed."""


def require_extra(extra: str, *modules: str) -> None:
    """Raises `UserError` naming the install command when a module that an extra brings is missing."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(f'this needs {" and ".join(missing)}: run `pip install "spectralvision[{extra}]"`.')


def refuse_outside(fields: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]]) -> None:
    """Raises `UserError` for the first number outside of its closed range, also for one that is none; words pass."""
    for name, (low, high) in ranges.items():
        value = fields[name]
        if isinstance(value, int | float) and not low <= value <= high:
            bounds = f"be at least {low:g}" if high == math.inf else f"lie between {low:g} and {high:g}"
            raise UserError(f"--{name.replace('_', '-')} {value} should {bounds}.")


def nearest(name: str, known: Iterable[str], what: str) -> str:
    """The end of a sentence that refuses a name: what may have been meant, else all there is."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=2)
    return f"did you mean {' or '.join(near)}?" if near else f"{what} {', '.join(names)}."


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a file beside `path` to write to; it takes the place of `path` only once the block has ended well."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        put_in_place(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def put_in_place(beside: Path, path: Path) -> None:
    """Moves a finished file onto `path` on the same disk, in one step and only once its bytes are on the disk."""
    with open(beside, "rb+") as file:
        os.fsync(file.fileno())
    mask = os.umask(0)
    os.umask(mask)
    beside.chmod(0o666 & ~mask)  # temporary files are private; a run is as readable as any other file
    os.replace(beside, path)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yields a temporary folder on the same disk as `path`, so that what is written there can be moved into it."""
    beside = Path(tempfile.mkdtemp(dir=path, prefix=".writing."))
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def clear_unfinished(folder: Path) -> None:
    """Removes what a process that was killed while it wrote has left beside the files of a folder."""
    for left in folder.glob(".*.????????"):
        left.unlink(missing_ok=True) if left.is_file() else shutil.rmtree(left, ignore_errors=True)


def disk_full(error: BaseException) -> bool:
    """Whether an error says that there is no room left, on the disk or in what the user may take of it."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        UserError: The file is missing, is not JSON, or holds no object.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} should hold a JSON object, and holds {type(value).__name__}.")
    return value


def refuse_taken(out: str | Path | None) -> None:
    """Raises `UserError` when `out` exists and is not an empty folder: a run is never overwritten."""
    folder = Path(out).expanduser() if out is not None else None
    if folder and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not an empty folder: name another with --out.")


def new_run_folder(name: str, out: str | Path | None = None, root: str | Path = "runs") -> Path:
    """Makes the folder of a new run: `out`, or `root/name`, then `root/name-2`, `-3`, ... when those are taken.

    Raises:
        UserError: `out` exists and is not empty (a run is never overwritten), or the folder cannot be made.
    """
    try:
        if out is not None:
            refuse_taken(out)
            folder = Path(out).expanduser()
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        base = Path(root) / (re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run")
        base.parent.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
            try:
                folder.mkdir()  # claims the name: two runs that start together get two folders
                return folder
            except FileExistsError:
                number += 1
    except OSError as error:
        raise UserError(f"the run folder cannot be made ({error}): name another with --out.") from None


def spoken(seconds: float) -> str:
    """A length of time as a person says it: 40 s, 3 min, 2 h 10 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
