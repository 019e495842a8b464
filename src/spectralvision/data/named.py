"""Images that a person names: files, folders, patterns, standard input."""

import glob
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from spectralvision.data.datasets import FileImages, Images
from spectralvision.data.images import images_below, open_image
from spectralvision.runs import UserError

STANDARD_INPUT = "-"


class OneImage(Images):
    """An image whose file came through standard input."""

    def __init__(self, content: bytes) -> None:
        super().__init__([0])
        self.content = content

    def image(self, index: int) -> Image.Image:
        return open_image(self.content, "standard input")

    def name(self, index: int) -> str:
        return STANDARD_INPUT


def named_images(words: Sequence[str], stdin: BinaryIO | None = None) -> Images:
    """The images that words on a command line stand for, in their order.

    Args:
        words: Each a file, a folder (the image files below it), a pattern that no shell has expanded, or `-`.
        stdin: Where `-` reads: one path a line, or the bytes of one image, in which case it must be the only word.

    Raises:
        UserError: A path that does not exist, a folder without an image, a pattern that fits nothing.
    """
    files: list[str] = []
    for word in words:
        if word != STANDARD_INPUT:
            files += _files(word)
            continue
        content = (stdin or sys.stdin.buffer).read()
        if _holds_image(content):
            if len(words) > 1:
                raise UserError("standard input holds an image: name no other images beside -.")
            return OneImage(content)
        files += _listed(content)
    return FileImages(Path(), files, [0] * len(files))


def _files(word: str) -> Iterator[str]:
    path = Path(word).expanduser()
    if not path.exists() and glob.has_magic(word):
        matches = sorted(glob.glob(str(path), recursive=True))
        if not matches:
            raise UserError(f"nothing fits the pattern {word}.")
        for match in matches:
            yield from _files(match)
    elif not path.exists():
        raise UserError(f"{word} does not exist.")
    elif path.is_dir():
        inside = images_below(path)
        if not inside:
            raise UserError(f"{word} holds no image.")
        yield from map(str, inside)
    else:
        yield str(path)


def _listed(content: bytes) -> Iterator[str]:
    """Files named in text, one a line."""
    if b"\0" in content:
        raise UserError("standard input is neither an image that can be read nor a list of paths.")
    lines = [line for line in os.fsdecode(content).splitlines() if line.strip()]
    if not lines:
        raise UserError("standard input is empty: it takes paths, one a line, or the bytes of an image.")
    for line in lines:  # one that has gone does not stop a long list: it is told at the end
        yield from _files(line) if Path(line).expanduser().exists() or glob.has_magic(line) else [line]


def _holds_image(content: bytes) -> bool:
    try:
        Image.open(io.BytesIO(content)).close()
    except Exception:  # whatever a decoder makes of a list of paths
        return False
    return True
