"""Pictures that are written for each image, such as masks: their names, and how they are saved."""

from collections.abc import Callable
from pathlib import Path, PurePath

from PIL import Image

from spectralvision.data.images import Images
from spectralvision.runs import UserError, atomic_write, expand_user, is_disk_full

FORMATS = {".png": "PNG", ".jpg": "JPEG"}
MARKER = ".predictions"
"""File in a folder of pictures: what is in the folder may be overwritten."""


class PictureFolder:
    """A folder with one picture per image.

    That of `photos/a.jpg` is `a.png`; `photos/a.png` where another image is `a` too; and
    `photos/a.jpg.png` where one beside it is. Only pictures of earlier predictions are
    overwritten.

    Args:
        folder: The folder, which need not exist.
        suffix: .png, or .jpg for photographs.

    Raises:
        UserError: It is a file.
    """

    def __init__(self, folder: str, suffix: str = ".png") -> None:
        self.folder, self.suffix = expand_user(folder), suffix
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{folder} is a file, but pictures need a folder: name another.")
        self._images: Images | None = None
        self._names: list[Path] = []

    def path(self, images: Images, index: int) -> Path:
        """Return the file for an image of all that are predicted; it is inside the folder.

        Raises:
            UserError: The folder has files of these names that are no earlier predictions.
        """
        if self._images is not images:
            self._images, self._names = images, picture_names(images, self.suffix)
            self._check()
        return self.folder / self._names[index]

    def save(self, picture: Image.Image, images: Images, index: int) -> None:
        """Write the picture for an image, whole or not at all.

        Raises:
            UserError: It cannot be written.
        """
        path = self.path(images, index)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / MARKER).touch()
            with atomic_write(path) as temporary:
                picture.save(temporary, FORMATS[self.suffix])
        except OSError as error:
            if is_disk_full(error):
                raise  # reported with how to resume
            raise UserError(f"{path} cannot be written ({error.strerror or error}).") from None

    def _check(self) -> None:
        if (self.folder / MARKER).exists():
            return
        taken = [name for name in self._names if (self.folder / name).exists()]
        if taken:
            raise UserError(
                f"{self.folder / taken[0]} exists and was not written by predict: name a new "
                "folder for the pictures."
            )


def picture_names(images: Images, suffix: str) -> list[Path]:
    """Return distinct names of pictures of images, as short as all can be."""
    names = [_safe_path(images.name(index)) for index in range(len(images))]
    forms: tuple[Callable[[Path], Path], ...] = (
        lambda path: Path(path.stem + suffix),
        lambda path: path.with_name(path.stem + suffix),
        lambda path: path.with_name(path.name + suffix),
    )
    for form in forms:
        found = [form(path) for path in names]
        if len(set(found)) == len(found):
            return found
    return [Path(f"{number}-{path.name}{suffix}") for number, path in enumerate(names)]


def _safe_path(name: str) -> Path:
    """Return the path in the name of an image, without what leads out of a folder."""
    parts = PurePath(name.replace("\\", "/").replace("\0", "")).parts
    safe = [part for part in parts if part not in ("/", "//", "..", ".")]
    return Path(*safe) if safe else Path("image")
