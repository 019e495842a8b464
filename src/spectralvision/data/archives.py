"""Image files in zip and tar archives, read in memory: nothing is extracted.

Guarantees against hostile archives: links, devices, absolute names and `..` are rejected; the
number of members, the bytes of each, and how far those of zip archives are compressed are bounded.
Every read opens the archive itself, so that threads and processes share no position in it.
"""

import os
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from spectralvision.data.archive_formats import Entry, Member, find_format
from spectralvision.data.find_images import FolderFiles, is_ignored, is_image_file
from spectralvision.data.image_files import (
    check_file_size,
    describe_error,
    open_image,
    open_regular_file,
)
from spectralvision.data.image_formats import readable_suffixes, unreadable_suffixes
from spectralvision.data.images import Images
from spectralvision.data.split_names import find_split_word
from spectralvision.runs import UserError, format_count

MAX_MEMBERS = 2_000_000


class Archive:
    """The regular files of an archive, without hidden ones and those that systems keep.

    As a tree (see `layout`), its names are those of the members without `./`.

    Raises:
        UserError: The archive cannot be read, or has members that are not read.
    """

    empty_description = "no images"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._format = find_format(path)
        self.members: dict[str, Member] = {}
        folders: set[str] = set()
        try:
            with open_regular_file(path, any_size=True) as file:
                self._identity = _identify(file)
                self._collect(self._format.entries(file), folders)
        except UserError:
            raise
        except Exception as error:  # parsers raise many kinds of errors for broken archives
            raise UserError(
                f"{path} cannot be read as an archive ({describe_error(error)}): pack it again, "
                "or repeat the download."
            ) from None
        self._names = sorted(folders | self.members.keys())

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            OSError: The archive is gone or has changed.
            ValueError: The content is damaged, too large, or compressed too many times.
        """
        member = self.members[name]
        check_file_size(member.size)
        with open_regular_file(self.path, any_size=True) as file:
            if _identify(file) != self._identity:
                raise OSError(f"{self.path.name} has changed since it was opened")
            return self._format.read(file, member)

    def _collect(self, entries: Iterator[Entry], folders: set[str]) -> None:
        """Keep the files, and the names of the folders, of what the archive lists."""
        for number, (raw_name, member, kind) in enumerate(entries, start=1):
            if number > MAX_MEMBERS:
                raise UserError(
                    f"{self.path} has more than {format_count(MAX_MEMBERS)} members: unpack it, "
                    "and give the folder."
                )
            if raw_name.startswith("/") or re.match("[A-Za-z]:/", raw_name):
                raise UserError(f"{self.path} has the absolute path {raw_name}: pack it again.")
            parts = [part for part in raw_name.split("/") if part not in ("", ".")]
            if ".." in parts:
                raise UserError(f"{self.path} has a path with .. ({raw_name}): pack it again.")
            if any(map(is_ignored, parts)) or not parts:
                continue
            name = "/".join(parts)
            if member is not None:
                self.members[name] = member
            elif kind == "a folder":
                folders.add(f"{name}/")
            else:
                raise UserError(
                    f"{self.path} has {kind} ({name}): pack regular files and folders only."
                )

    # As a tree of names

    def locate(self, name: str) -> str:
        return str(self.path / name)

    def subfolders(self, below: str) -> list[str]:
        starts = (name[len(below) :].partition("/") for name in self._below(below))
        return sorted({folder for folder, slash, _ in starts if slash})

    def files(self, below: str) -> Iterator[str]:
        names = (name[len(below) :] for name in self._below(below))
        return (name for name in names if name and "/" not in name)

    def scan(self, folders: Sequence[str]) -> Iterator[FolderFiles]:
        return map(self.scan_folder, folders)

    def scan_folder(self, below: str) -> FolderFiles:
        """Return the image files of a folder, at any depth."""
        images: list[str] = []
        left_out: Counter[str] = Counter()
        for name in self._below(below):
            suffix = os.path.splitext(name)[1].lower()
            if suffix in unreadable_suffixes():
                left_out[suffix] += 1
            elif suffix in readable_suffixes():
                images.append(name[len(below) :])
        return FolderFiles(sorted(images, key=lambda name: name.split("/")), left_out)

    def find_top(self) -> str:
        """Return the folder, such as `photos/`, that has all others; "" if there are several."""
        top = ""
        while len(names := self.subfolders(top)) == 1 and not find_split_word(names[0]):
            inner = f"{top}{names[0]}/"
            has_images = any(is_image_file(Path(name)) for name in self.files(top))
            if has_images or not self.subfolders(inner):
                break
            top = inner
        return top

    def _below(self, folder: str) -> Sequence[str]:
        """Return the names that begin with that of a folder."""
        start = bisect_left(self._names, folder)
        return self._names[start : bisect_left(self._names, f"{folder}\U0010ffff")]


class ArchiveImages(Images):
    """Image files in an archive.

    Args:
        archive: An open archive.
        folder: In it, ends in `/`; "" for its root.
        files: Relative to `folder`.
        labels: One for each file.
        title: What names of images begin with.
    """

    def __init__(
        self,
        archive: Archive,
        folder: str,
        files: Sequence[str],
        labels: Sequence[int],
        title: str = "",
    ) -> None:
        super().__init__(labels)
        self.archive = archive
        self.folder = folder
        self.files = files
        self.title = title

    def image(self, index: int) -> Image.Image:
        name = self.archive.locate(self.folder + self.files[index])
        try:
            content = self.encoded(index)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{name} cannot be read as an image ({describe_error(error)})."
            ) from None
        return open_image(content, name)

    def encoded(self, index: int) -> bytes:
        return self.archive.read(self.folder + self.files[index])

    def file_size(self, index: int) -> int:
        return self.archive.members[self.folder + self.files[index]].size

    def name(self, index: int) -> str:
        return self.title + self.files[index]


def _identify(file: BinaryIO) -> tuple[int, int]:
    """Return the size of a file, and when it was changed."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
