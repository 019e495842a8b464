"""Images named on the command line: files, folders, patterns, or standard input."""

import glob
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from spectralvision.data.image_files import find_images, open_image
from spectralvision.data.images import FileImages, Images
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

    Args:
        words: Each a file, a folder (all image files below it), a pattern that the shell has not
            expanded, or `-`.
        stdin: What `-` reads: one path per line, or the content of one image file, in which case
            `-` must be the only word.

    Raises:
        UserError: A path does not exist, a folder has no images, or a pattern has no matches.
    """
    files: list[str] = []
    for word in words:
        if word != STANDARD_INPUT:
            files += _expand_path(word)
            continue
        content = (stdin or sys.stdin.buffer).read()
        if _is_image(content):
            if len(words) > 1:
                raise UserError("standard input is an image: name no other images beside -.")
            return StdinImage(content)
        files += _parse_path_list(content)
    return FileImages(Path(), files, [0] * len(files))


def _expand_path(word: str) -> Iterator[str]:
    """Yield the files that a path or a pattern stands for."""
    path = Path(word).expanduser()
    if not path.exists() and glob.has_magic(word):
        matches = sorted(glob.glob(str(path), recursive=True))
        if not matches:
            raise UserError(f"nothing matches the pattern {word}: check the path.")
        for match in matches:
            yield from _expand_path(match)
    elif not path.exists():
        raise UserError(f"{word} does not exist.")
    elif path.is_dir():
        images = find_images(path)
        if not images:
            raise UserError(f"{word} contains no images.")
        yield from map(str, images)
    else:
        yield str(path)


def _parse_path_list(content: bytes) -> Iterator[str]:
    """Yield the files listed in text, one path per line.

    A path that does not exist is kept, so that a long list is not rejected as a whole; opening it
    fails later.
    """
    if b"\0" in content:
        raise UserError("standard input is neither a readable image nor a list of paths.")
    lines = [line for line in os.fsdecode(content).splitlines() if line.strip()]
    if not lines:
        raise UserError(
            "standard input is empty: pipe in paths, one per line, or the content of an image file."
        )
    for line in lines:
        if Path(line).expanduser().exists() or glob.has_magic(line):
            yield from _expand_path(line)
        else:
            yield line


def _is_image(content: bytes) -> bool:
    try:
        Image.open(io.BytesIO(content)).close()
    except Exception:  # decoders raise many kinds of errors for what is not an image
        return False
    return True
