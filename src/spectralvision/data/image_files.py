"""Decoding of image files: any format and mode to upright 8-bit RGB on white."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from spectralvision.runs import UserError

EXTENSIONS = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jfif",
        ".png",
        ".bmp",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".avif",
    ]
)
MAX_PIXELS = 178_956_970
"""Pixels of one image above which Pillow, too, reports a decompression bomb."""


def is_image_file(path: Path) -> bool:
    """Return whether a file has the extension of an image and is not hidden."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def find_images(folder: Path) -> list[Path]:
    """Return the image files at any depth below a folder, sorted by path. Links are followed."""
    paths = (
        Path(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names
    )
    return sorted(path for path in paths if is_image_file(path) and path.is_file())


def open_image(source: str | Path | bytes, name: str | None = None) -> Image.Image:
    """Decode the first frame of an image file, or of its content, to upright 8-bit RGB on white.

    Args:
        source: A path, or the content of a file.
        name: What to call the image in error messages.

    Raises:
        UserError: The file does not exist, cannot be decoded, or has more than `MAX_PIXELS`.
    """
    name = name or (str(source) if not isinstance(source, bytes) else "the image file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is higher
            return _decode(source)
    except FileNotFoundError:
        raise UserError(f"{name} does not exist.") from None
    except Exception as error:  # decoders raise many kinds of errors for broken files
        reason = _describe_decode_error(error, source)
        raise UserError(f"{name} cannot be read as an image ({reason}).") from None


def problem_of(content: bytes) -> str | None:
    """Return why the content of an image file cannot be decoded, in a few words, or None if it can.

    Decodes the whole file as `open_image` does, but JPEG at an eighth of its size, which takes a
    quarter of the time.
    """
    try:
        _decode(content, small=True)
    except Exception as error:  # as in open_image
        return _describe_decode_error(error, content)
    return None


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB: transparency on white, 16 bits scaled to 8."""
    if image.mode[0] in "IF":
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
    if "transparency" in image.info or image.mode[-1] in "Aa":
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def describe_error(error: BaseException) -> str:
    """Return the message of an error on one line, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _decode(source: str | Path | bytes, small: bool = False) -> Image.Image:
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        if small:
            image.draft(image.mode, (1, 1))
        return to_rgb(ImageOps.exif_transpose(image))


def _describe_decode_error(error: Exception, source: str | Path | bytes) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS / 1e6:.0f} million pixels"
    if isinstance(error, Image.UnidentifiedImageError):
        size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
        return "no image format" if size else "an empty file"
    return describe_error(error)


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Convert (H, W) values of 16 or 32 bits to uint8.

    Integers are scaled as 16-bit values if any is above 255; floats are scaled by 255 if none is
    above 1; NaN becomes 0.
    """
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, posinf=0, neginf=0)
        values = values * 255 if values.size and values.max() <= 1 else values
    elif values.dtype.itemsize == 2 or (values.size and values.max() > 255):
        values = values / 257  # 65535 -> 255
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
