"""Images named on the command line: files, folders, archives, addresses, or standard input."""

import glob
import itertools
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from spectralvision.data.archive_formats import is_archive
from spectralvision.data.archives import Archive, ArchiveImages
from spectralvision.data.find_images import FolderFiles, scan_folder
from spectralvision.data.image_files import is_image, open_image
from spectralvision.data.image_formats import describe_left_out
from spectralvision.data.image_urls import UrlImages, is_url
from spectralvision.data.images import ConcatenatedImages, FileImages, Images
from spectralvision.runs import UserError

STANDARD_INPUT = "-"


class StdinImage(Images):
    """A single image whose file content was read from standard input."""

    def __init__(self, content: bytes) -> None:
        super().__init__([0])
        self.content = content

    def image(self, index: int) -> Image.Image:
        return open_image(self.content, "standard input")

    def name(self, index: int) -> str:
        return STANDARD_INPUT


def image_paths(words: Sequence[str], stdin: BinaryIO | None = None) -> Images:
    """Return the images named by the words of a command line, in their order.

    A file that does not exist is kept, like one that cannot be read: opening it fails later, and
    the others are not rejected with it. The same holds for addresses.

    Args:
        words: Each a file, a folder or a zip or tar archive (all image files in it), an http or
            https address, a pattern that the shell has not expanded, or `-`.
        stdin: What `-` reads: one path per line, or the content of one image file, in which case
            `-` must be the only word. Addresses are not fetched from such a list.

    Raises:
        UserError: A folder or archive has no images or cannot be read, or a pattern has no matches.
    """
    found: list[str | Images] = []
    left_out: Counter[str] = Counter()
    for word in words:
        if is_url(word):
            found.append(UrlImages([word]))
            continue
        if word != STANDARD_INPUT:
            found += _expand_path(word, left_out)
            continue
        content = (stdin or sys.stdin.buffer).read()
        if is_image(content):
            if len(words) > 1:
                raise UserError("standard input is an image: name no other images beside -.")
            return StdinImage(content)
        found += _parse_path_list(content, left_out)
    images = _concatenate(found)
    images.left_out = dict(left_out)
    return images


def _concatenate(found: Iterable[str | Images]) -> Images:
    """Return files and other images in their order."""
    parts: list[Images] = []
    for is_other, items in itertools.groupby(found, lambda item: isinstance(item, Images)):
        if is_other:
            parts += [item for item in items if isinstance(item, Images)]
        else:
            files = [item for item in items if isinstance(item, str)]
            parts.append(FileImages(Path(), files, [0] * len(files)))
    return parts[0] if len(parts) == 1 else ConcatenatedImages(parts)


def _expand_path(word: str, left_out: Counter[str]) -> Iterator[str | Images]:
    """Yield what a path or a pattern stands for; count what is left out of folders."""
    path = os.path.expanduser(word)
    if not os.path.exists(path) and glob.has_magic(word):
        matches = sorted(glob.glob(path, recursive=True))
        if not matches:
            raise UserError(f"nothing matches the pattern {word}: check the path.")
        for match in matches:
            yield from _expand_path(match, left_out)
    elif os.path.isdir(path):
        found = scan_folder(Path(path))
        _require_images(word, found, left_out)
        yield from (str(Path(path, name)) for name in found.images)
    elif is_archive(Path(path)) and os.path.isfile(path):
        archive = Archive(Path(path))
        found = archive.scan_folder("")
        _require_images(word, found, left_out)
        labels = [0] * len(found.images)
        yield ArchiveImages(archive, "", found.images, labels, title=f"{Path(path)}/")
    else:
        yield str(Path(path))


def _require_images(word: str, found: FolderFiles, left_out: Counter[str]) -> None:
    """Check that a folder or archive has images; count what is left out."""
    left_out.update(found.left_out)
    if not found.images:
        rest = f" ({describe_left_out(found.left_out)})" if found.left_out else ""
        raise UserError(f"{word} contains no images{rest}.")


def _parse_path_list(content: bytes, left_out: Counter[str]) -> Iterator[str | Images]:
    """Yield what is listed in text, one path per line."""
    if b"\0" in content:
        raise UserError("standard input is neither a readable image nor a list of paths.")
    lines = [line.removesuffix("\r") for line in os.fsdecode(content).split("\n") if line.strip()]
    if not lines:
        raise UserError(
            "standard input is empty: pipe in paths, one per line, or the content of an image file."
        )
    for line in lines:
        yield from _expand_path(line, left_out)
