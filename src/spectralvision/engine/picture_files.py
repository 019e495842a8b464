"""Pictures that are written for each image, such as masks: their names, and how they are saved."""

import json
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Literal

from PIL import Image

from spectralvision.data.images import Images
from spectralvision.runs import UserError, atomic_write, expand_user, is_disk_full

Kind = Literal["masks", "pictures"]
KINDS: tuple[Kind, ...] = ("masks", "pictures")
FORMATS = {".png": "PNG", ".jpg": "JPEG"}
MARKER = ".predictions"
"""File in a folder of pictures: a line with what they are, and a line [name, image] for each."""


class PictureFolder:
    """A folder with one picture per image.

    That of `photos/a.jpg` is `a.png`; `photos/a.png` where another image is `a` too; and
    `photos/a.jpg.png` where one beside it is. Only earlier pictures of the same images are
    overwritten.

    Args:
        folder: The folder, which need not exist.
        kind: What the pictures are.
        suffix: .png, or .jpg for photographs.

    Raises:
        UserError: It is a file, or has pictures of another kind.
    """

    def __init__(self, folder: str, kind: Kind, suffix: str = ".png") -> None:
        self.folder, self.kind, self.suffix = expand_user(folder), kind, suffix
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{folder} is a file, but {kind} need a folder: name another.")
        self._known = self._read_marker()
        self._images: Images | None = None
        self._names: list[Path] = []

    def path(self, images: Images, index: int) -> Path:
        """Return the file for an image of all that are predicted; it is inside the folder.

        Raises:
            UserError: The folder has files of these names that are no earlier predictions for the
                same images.
        """
        if self._images is not images:
            self._images, self._names = images, picture_names(images, self.suffix)
            self._check(images)
        return self.folder / self._names[index]

    def save(self, picture: Image.Image, images: Images, index: int) -> None:
        """Write the picture for an image, whole or not at all.

        Raises:
            UserError: It cannot be written.
        """
        path = self.path(images, index)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._mark(str(self._names[index]), _source(images, index))
            with atomic_write(path) as temporary:
                picture.save(temporary, FORMATS[self.suffix])
        except OSError as error:
            if is_disk_full(error):
                raise  # reported with how to resume
            raise UserError(f"{path} cannot be written ({error.strerror or error}).") from None

    def _read_marker(self) -> dict[str, str]:
        """Return the image of each picture that was written before.

        Raises:
            UserError: They are of another kind.
        """
        path = self.folder / MARKER
        is_known = path.is_file()
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if is_known else []
        for kind in KINDS:
            if kind in lines and kind != self.kind:
                raise UserError(f"{self.folder} has {kind} of predict: name another folder.")
        known: dict[str, str] = {}
        for line in lines:
            with suppress(ValueError):  # a line that was cut off
                name, source = json.loads(line)
                known[str(name)] = str(source)
        return known

    def _mark(self, name: str, source: str) -> None:
        """Record, before it is written, which image a picture belongs to."""
        if self._known.get(name) == source:
            return
        path = self.folder / MARKER
        line = "\n" + json.dumps([name, source])  # also after one that was cut off
        with suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
            file.write(self.kind)
        with path.open("a", encoding="utf-8") as file:  # other processes may append too
            file.write(line)
        self._known[name] = source

    def _check(self, images: Images) -> None:
        if not self.folder.is_dir():
            return
        for index, name in enumerate(self._names):
            source = self._known.get(str(name))
            path = self.folder / name
            if source == _source(images, index) or not path.exists():
                continue
            if source is None:
                raise UserError(
                    f"{path} exists and was not written by predict: name a new folder for the "
                    f"{self.kind}."
                )
            raise UserError(
                f"{path} belongs to another image, {source}: name a new folder for the {self.kind}."
            )


def picture_names(images: Images, suffix: str) -> list[Path]:
    """Return distinct names of pictures of images, each as short as can be."""
    paths = [_safe_path(images.name(index)) for index in range(len(images))]
    forms: tuple[Callable[[Path], Path], ...] = (
        lambda path: Path(path.stem + suffix),
        lambda path: path.with_name(path.stem + suffix),
        lambda path: path.with_name(path.name + suffix),
    )
    found = [forms[0](path) for path in paths]
    for form in forms[1:]:
        counts = Counter(found)
        found = [
            form(path) if counts[name] > 1 else name
            for path, name in zip(paths, found, strict=True)
        ]
    if len(set(found)) == len(found):
        return found
    return [Path(f"{number}-{path.name}{suffix}") for number, path in enumerate(paths)]


def _source(images: Images, index: int) -> str:
    """Return what an image is called, for a file its absolute path."""
    name = images.name(index)
    return os.path.realpath(name) if os.path.exists(name) else name


def _safe_path(name: str) -> Path:
    """Return the path in the name of an image, without what leads out of a folder."""
    parts = PurePath(name.replace("\\", "/").replace("\0", "")).parts
    safe = [part for part in parts if part not in ("/", "//", "..", ".")]
    return Path(*safe) if safe else Path("image")
