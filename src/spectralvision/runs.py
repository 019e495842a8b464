"""Run folders, atomic file writes, and errors for the user.

A run is one folder: `config.json` and `model.safetensors` in timm's format, `run.json` (settings,
data, environment and results), `metrics.csv` (one row per epoch) and `checkpoints/`. This module
imports nothing of the package.
"""

import difflib
import errno
import importlib.util
import json
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

MAX_COUNT = 1_000_000
"""Of images, epochs, processes and so on that an option may ask for."""
MAX_SIDE = 8192
"""Of an image that a model takes, in pixels."""
ABOVE_ZERO = sys.float_info.min
"""Lower end of a range that leaves zero out."""
Auto = Literal["auto"]
"""The value of a setting that is chosen from the data or the machine."""


class UserError(ValueError):
    """An error that the user can fix. The message is one sentence with the value and the cure."""

    def __str__(self) -> str:
        # torch wraps the error of a data-loading worker in a traceback; its last line is ours
        return printable(super().__str__().rsplit("UserError: ", 1)[-1].strip())


class SigtermInterrupt(KeyboardInterrupt):
    """Training was stopped by SIGTERM, after a checkpoint, and can be resumed."""


def require_extra(extra: str, *modules: str) -> None:
    """Check that the modules of an optional dependency group are installed.

    Raises:
        UserError: A module is missing; the message has the install command.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(f"this needs {' and '.join(missing)}: run {install_command(extra)}.")


def install_command(extra: str) -> str:
    """Return how an optional dependency group is installed, in words."""
    return f'`pip install ".[{extra}]"` in your clone of spectralvision'


def reject_unfinished_run(folder: Path) -> None:
    """Raise `UserError` for a run folder without weights yet."""
    if (folder / "run.json").is_file() and not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} has no finished epoch yet: `spectralvision train --resume {folder}` resumes "
            "it."
        )


def check_ranges(fields: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]]) -> None:
    """Check numbers against closed ranges; other values, such as "auto", are ignored.

    Raises:
        UserError: A number is outside its range, NaN or infinite; the message names the first such
            option.
    """
    for name, (low, high) in ranges.items():
        value = fields[name]
        if isinstance(value, int | float) and not (low <= value <= high and value != math.inf):
            bounds = f"at least {low:g}"
            if low == ABOVE_ZERO:
                bounds = "greater than 0" if high == math.inf else f"greater than 0, at most {high}"
            elif high != math.inf:
                bounds = f"between {low:g} and {high:.10g}"
            bounds += " and finite" if value == math.inf == high else ""
            raise UserError(f"--{name.replace('_', '-')} {value} should be {bounds}.")


def suggest(name: str, known: Iterable[str], what: str) -> str:
    """Return the end of an error message about an unknown name: the closest names, or all."""
    names = list(known)
    closest = difflib.get_close_matches(name, names, n=2)
    if closest:
        return f"did you mean {' or '.join(closest)}?"
    return f"{what} {', '.join(names)}."


def expand_user(path: str | Path) -> Path:
    """Return a path with the home folder for `~`; that of an unknown user is kept as it is."""
    return Path(os.path.expanduser(path))


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path` that replaces `path` if the block succeeds."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        replace_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(temporary: Path, path: Path) -> None:
    """Move a file to `path` on the same disk atomically, after flushing its content to disk."""
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    # Temporary files are private; give the file the usual permissions
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)
    os.replace(temporary, path)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder inside `path`, whose files can be moved to `path` atomically."""
    temporary = Path(tempfile.mkdtemp(dir=path, prefix=".writing."))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files and folders that a killed process has left in `folder`."""
    for path in folder.glob(".*.????????"):
        if path.is_file():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path, ignore_errors=True)


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error means that the disk, or the user's quota, is full."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON atomically."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: The file is missing, not JSON, or not a JSON object.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} should contain a JSON object, not a {type(value).__name__}.")
    return value


def require_empty_dir(out: str | Path | None, cure: str = "name another with --out") -> None:
    """Check that `out` is None, a new path or an empty folder, since a run is never overwritten.

    Args:
        out: The path.
        cure: What the error message advises.

    Raises:
        UserError: It is a file, or a folder that is not empty.
    """
    folder = expand_user(out) if out is not None else None
    if folder and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not an empty folder: {cure}.")


def create_run_folder(name: str, out: str | Path | None = None, root: str | Path = "runs") -> Path:
    """Create the folder of a new run: `out`, or the first free of `root/name`, `root/name-2`, ...

    Raises:
        UserError: `out` is not an empty folder, or the folder cannot be created.
    """
    try:
        if out is not None:
            require_empty_dir(out)
            folder = expand_user(out)
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        base = Path(root) / (re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run")
        base.parent.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
            try:
                folder.mkdir()  # reserves the name: runs that start together get different folders
                return folder
            except FileExistsError:
                number += 1
    except OSError as error:
        raise UserError(
            f"the run folder cannot be created ({error}): name another with --out."
        ) from None


UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: they move the cursor and change the terminal
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # these reorder what is around them
    "\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # invisible, line ends
    "\ud800-\udfff]"  # bytes of file names that are not UTF-8
)


def printable(text: object) -> str:
    r"""Return text on one line for people: what is no visible character becomes \n, \x1b, \u202e.

    All names of files and classes are printed through it: on the terminal, in messages, in the
    report and in the model card.
    """

    def escape(match: re.Match[str]) -> str:
        code = ord(match[0])
        if 0xDC80 <= code <= 0xDCFF:  # Python's form of a byte that is not UTF-8
            return f"\\x{code - 0xDC00:02x}"
        return match[0].encode("unicode_escape", "backslashreplace").decode()

    return UNPRINTABLE.sub(escape, str(text))


def format_duration(seconds: float) -> str:
    """Return a duration for reading: 2.5 s, 40 s, 3 min, 2 h 10 min, 3 days 4 h, 2 years."""
    if not math.isfinite(seconds):
        return "unknown time"
    if seconds < 9.95:
        return f"{round(seconds, 1):g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours = round(minutes / 60)
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    days = round(hours / 24)
    if days < 10:
        return f"{hours // 24} days {hours % 24} h"
    if days < 730:
        return f"{days} days"
    return f"{format_count(round(days / 365.25))} years"


def format_count(count: int) -> str:
    """Return a whole number for reading: 1,399."""
    return f"{count:,}"


def format_rate(per_second: float, unit: str = "images/s") -> str:
    """Return a rate for reading: 0.31 images/s, 4.2 images/s, 1,080 images/s."""
    digits = 2 if per_second < 1 else 1 if per_second < 10 else 0
    return f"{per_second:,.{digits}f} {unit}".rstrip()


def format_bytes(count: float) -> str:
    """Return an amount of memory for reading: 800 bytes, 3.4 KiB, 12.0 MiB, 1.50 GiB."""
    for unit, digits, size in (("GiB", 2, 2**30), ("MiB", 1, 2**20), ("KiB", 1, 2**10)):
        if count >= size:
            return f"{count / size:,.{digits}f} {unit}"
    return f"{count:.0f} bytes"
