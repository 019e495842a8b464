"""Pictures that are written for each image, such as masks: their names, and how they are saved."""

from collections.abc import Callable
from pathlib import Path, PurePath

from PIL import Image

from spectralvision.data.images import Images
from spectralvision.runs import UserError, atomic_write

SUFFIX = ".png"


class PictureFolder:
    """A folder with one PNG per image.

    The PNG of `photos/a.jpg` is `a.png`; `photos/a.png` where another image is `a` too; and
    `photos/a.jpg.png` where one beside it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._images: Images | None = None
        self._names: list[Path] = []

    def path(self, images: Images, index: int) -> Path:
        """Return the file for an image of all that are predicted; it is below the folder."""
        if self._images is not images:
            self._images, self._names = images, picture_names(images)
        return self.folder / self._names[index]

    def save(self, picture: Image.Image, images: Images, index: int) -> None:
        """Write the picture for an image, whole or not at all.

        Raises:
            UserError: It cannot be written.
        """
        path = self.path(images, index)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                picture.save(temporary, "PNG")
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror or error}).") from None


def picture_names(images: Images) -> list[Path]:
    """Return distinct names of PNG files for images, as short as all can be."""
    names = [_safe_path(images.name(index)) for index in range(len(images))]
    forms: tuple[Callable[[Path], Path], ...] = (
        lambda path: Path(path.stem + SUFFIX),
        lambda path: path.with_name(path.stem + SUFFIX),
        lambda path: path.with_name(path.name + SUFFIX),
    )
    for form in forms:
        found = [form(path) for path in names]
        if len(set(found)) == len(found):
            return found
    return [Path(f"{number}-{path.name}{SUFFIX}") for number, path in enumerate(names)]


def _safe_path(name: str) -> Path:
    """Return the path in the name of an image, without what leads out of a folder."""
    parts = PurePath(name.replace("\\", "/").replace("\0", "")).parts
    safe = [part for part in parts if part not in ("/", "//", "..", ".")]
    return Path(*safe) if safe else Path("image")
