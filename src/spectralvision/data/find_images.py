"""Find the image files of folders, each file once."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from spectralvision.data.image_formats import readable_suffixes, unreadable_suffixes
from spectralvision.runs import UserError

SYSTEM_FOLDERS = frozenset(
    [
        "__macosx",  # archives made on macOS
        "network trash folder",
        "temporary items",
        "@eadir",  # Synology
        "#recycle",
        "#snapshot",
        "@__thumb",  # QNAP
        "@recycle",
        "@recently-snapshot",
        "~snapshot",  # NetApp
        "$recycle.bin",  # Windows
        "system volume information",
        "lost+found",  # Linux
        "__pycache__",
        "_vti_cnf",
    ]
)
"""Folders, in lower case, in which systems keep thumbnails, deleted files and metadata."""


class FolderFiles(NamedTuple):
    """What a folder has at any depth."""

    images: list[str]
    """Image files as paths relative to the folder, sorted."""
    left_out: Counter[str]
    """Suffix -> number of pictures and videos in formats that are not read."""


def is_ignored(name: str) -> bool:
    """Return whether a file or folder is hidden, or belongs to a system and not to the user."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def is_image_file(path: Path) -> bool:
    """Return whether a file has the suffix of an image that can be read and is not hidden."""
    return path.suffix.lower() in readable_suffixes() and not is_ignored(path.name)


def find_images(folder: Path) -> list[Path]:
    """Return the image files at any depth below a folder, sorted by path (see `scan_folder`)."""
    return [folder / name for name in scan_folder(folder).images]


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted, without those of `is_ignored` and training runs.

    Links are followed, but not to the folder itself or above it.

    Raises:
        UserError: The folder cannot be read.
    """
    above = _above(folder) | {os.path.realpath(folder)}
    return sorted(
        Path(entry.path)
        for entry in list_folder(folder)
        if _holds(entry.is_dir)
        and not _has_runs(Path(entry.path))
        and not (entry.is_symlink() and os.path.realpath(entry.path) in above)
    )


def _has_runs(folder: Path) -> bool:
    """Return whether a folder is a run folder, or `runs` with run folders, as `train` makes it."""
    if folder.name == "runs" and any(map(_is_run, folder.iterdir())):
        return True
    return _is_run(folder)


def _is_run(folder: Path) -> bool:
    """Return whether a folder is a run folder; pictures alone may have a run.json beside them."""
    is_started = (folder / "checkpoints").is_dir() or (folder / "config.json").is_file()
    return is_started and (folder / "run.json").is_file()


def scan_folder(folder: Path, others: Collection[str] = ()) -> FolderFiles:
    """Return the image files at any depth below a folder, each once.

    Hidden files and those that systems keep (`is_ignored`) are left out. Links to files and folders
    are followed, but not to a folder above. A link whose target is gone counts as an image, so that
    opening it reports it. Pipes, devices and sockets are no images.

    Args:
        folder: Where to look.
        others: Real paths of folders that are scanned by themselves: links to them are not
            followed.

    Raises:
        UserError: A folder cannot be read.
    """
    start = os.path.realpath(folder)
    seen = _above(folder)
    files: list[str] = []
    real_files: set[str] = set()
    linked_files: list[tuple[str, str]] = []
    left_out: Counter[str] = Counter()

    # 1. Real folders first, so that a link never hides what it points to
    folders: list[str] = [""]
    linked_folders: list[str] = []
    while folders or linked_folders:
        below = folders.pop() if folders else linked_folders.pop(0)
        real_folder = os.path.realpath(folder / below)
        if real_folder in seen or (real_folder in others and real_folder != start):
            continue
        seen.add(real_folder)
        for entry in sorted(list_folder(folder / below), key=lambda entry: entry.name):
            name = f"{below}{entry.name}"
            suffix = os.path.splitext(entry.name)[1].lower()
            if _holds(entry.is_dir):
                (linked_folders if entry.is_symlink() else folders).append(f"{name}/")
            elif suffix in unreadable_suffixes():
                left_out[suffix] += 1
            elif suffix not in readable_suffixes():
                continue
            elif entry.is_symlink():
                linked_files.append((os.path.realpath(entry.path), name))
            elif _holds(entry.is_file):
                files.append(name)
                real_files.add(f"{real_folder}/{entry.name}")

    # 2. Links to files that are not among them
    for real_file, name in sorted(linked_files):
        is_regular = os.path.isfile(real_file) or not os.path.exists(real_file)
        if is_regular and real_file not in real_files:
            real_files.add(real_file)
            files.append(name)
    return FolderFiles(sorted(files, key=lambda name: name.split("/")), left_out)


def scan_files(folder: Path, suffix: str) -> Iterator[str]:
    """Yield the files with a suffix in lower case at any depth, relative to the folder.

    Links are followed, but not to a folder above.

    Raises:
        UserError: A folder cannot be read.
    """
    yield from (one.name for one in list_folder(folder) if one.name.lower().endswith(suffix))
    for inner in subfolders(folder):
        yield from (f"{inner.name}/{file}" for file in scan_files(inner, suffix))


def list_folder(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """Yield what is in a folder and not ignored."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not is_ignored(entry.name))
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}).") from None


def _above(folder: Path) -> set[str]:
    """Return the real paths of the folders above, as it is written and as it is stored."""
    parents = [*folder.absolute().parents, *Path(os.path.realpath(folder)).parents]
    return {os.path.realpath(parent) for parent in parents}


def _holds(test: Callable[[], bool]) -> bool:
    """Return whether an entry is of a kind; False for a link that cannot be followed."""
    try:
        return test()
    except OSError:
        return False
