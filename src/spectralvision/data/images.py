"""One way to open an image: whatever the file holds, 8-bit RGB comes out, upright and on white."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from spectralvision.runs import UserError

EXTENSIONS = frozenset(
    [".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif"]
)
MAX_PIXELS = 178_956_970  # of one image, where Pillow, too, takes it for a decompression bomb


def is_image_file(path: Path) -> bool:
    """Whether the name looks like an image's; hidden files do not count."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def images_below(folder: Path) -> list[Path]:
    """Image files at any depth below a folder, links followed, in the order of their paths."""
    found = (Path(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names)
    return sorted(file for file in found if is_image_file(file) and file.is_file())


def open_image(source: str | Path | bytes, name: str | None = None) -> Image.Image:
    """Reads an image file, or the bytes of one, as 8-bit RGB: the first frame, upright, on white.

    Raises:
        UserError: There is no such file, or it is not an image that can be read, or one of more than `MAX_PIXELS`;
            `name` stands for it in the sentence.
    """
    name = name or (str(source) if not isinstance(source, bytes) else "the image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is the higher one
            return _decoded(source)
    except FileNotFoundError:
        raise UserError(f"{name} does not exist.") from None
    except Exception as error:  # decoders of broken files fail in many ways, all of them the file's fault
        raise UserError(f"{name} is not an image that can be read ({_reason(error, source)}).") from None


def problem_of(content: bytes) -> str | None:
    """Why the bytes of a file cannot be opened as an image, in a few words; None where they can.

    Decodes the whole file as `open_image` does, JPEG at an eighth of its size, which takes a quarter of the time.
    """
    try:
        _decoded(content, small=True)
    except Exception as error:  # see open_image
        return _reason(error, content)
    return None


def _decoded(source: str | Path | bytes, small: bool = False) -> Image.Image:
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        if small:
            image.draft(image.mode, (1, 1))
        return to_rgb(ImageOps.exif_transpose(image))


def _reason(error: Exception, source: str | Path | bytes) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS / 1e6:.0f} million pixels"
    if isinstance(error, Image.UnidentifiedImageError):
        empty = not (source if isinstance(source, bytes) else Path(source).stat().st_size)
        return "an empty file" if empty else "no image format"
    return " ".join(str(error).split()) or type(error).__name__


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any PIL image: transparency onto white, 16 bits scaled to 8, grey repeated."""
    if image.mode[0] in "IF":
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
    if "transparency" in image.info or image.mode[-1] in "Aa":
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """(H, W) of 16 or 32 bits -> uint8. Integers above 255 count as 16-bit, floats up to 1 as fractions, NaN as 0."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, posinf=0, neginf=0)
        values = values * 255 if values.size and values.max() <= 1 else values
    elif values.dtype.itemsize == 2 or (values.size and values.max() > 255):
        values = values / 257  # 65535 -> 255
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
