"""Decoding of image files: any format and mode to upright 8-bit RGB on white.

Guarantees against hostile files: Pillow tries only the formats of `image_formats`; only regular
files are opened; decoding an image takes at most `MAX_DECODED_BYTES`, and of images that take more
than `LARGE_DECODED_BYTES` one at a time is decoded by all workers of this machine together.
"""

import contextlib
import fcntl
import io
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image

from spectralvision.data.image_formats import describe_format, readable_formats
from spectralvision.runs import UserError

MAX_PIXELS = 178_956_970
"""Pixels of one image above which Pillow, too, reports a decompression bomb."""
MAX_DECODED_BYTES = 3 * 2**29
"""Memory of one image while it is decoded, which is also the largest file that is read."""
LARGE_DECODED_BYTES = 2**28
"""Memory above which images are decoded one at a time."""
STRIP_PIXELS = 2**22
"""Pixels that are converted to RGB at once."""
STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
"""Bytes of a pixel in Pillow's modes; 4 in all others."""
DECODER_BYTES = {"WEBP": 8, "AVIF": 12, "HEIF": 12, "JPEG2000": 16}
"""Bytes of a pixel that a decoder holds beside Pillow's image, if they are many."""
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Orientation in EXIF -> what makes the image upright."""
TURNS = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
)
"""What exchanges height and width."""
LOSSY_FORMATS = ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF", "HEIF")


class TooLargeError(ValueError):
    """Decoding an image would take too much memory."""


class FileSize(NamedTuple):
    """The size of the image in a file."""

    size: tuple[int, int]
    """(H, W) of the upright image in pixels."""
    is_turned: bool
    """Whether EXIF exchanges height and width."""


def open_image(source: str | Path | bytes, name: str | None = None) -> Image.Image:
    """Decode the first frame of an image file, or of its content, to upright 8-bit RGB on white.

    Args:
        source: A path, or the content of a file.
        name: What to call the image in error messages.

    Raises:
        UserError: The file does not exist, is not a regular file, cannot be decoded, or is too
            large.
    """
    return _open(_decode, source, name)


def open_mask(source: str | Path | bytes, name: str | None = None) -> Image.Image:
    """Decode the first frame of an image file without changing its values: numbers of classes.

    Args:
        source: A path, or the content of a file.
        name: What to call the mask in error messages.

    Raises:
        UserError: As `open_image`; or a format that may be lossy.
    """
    return _open(_decode_values, source, name, "a mask")


def _open(
    decode: Callable[[BinaryIO], Image.Image],
    source: str | Path | bytes,
    name: str | None,
    kind: str = "an image",
) -> Image.Image:
    name = name or (str(source) if not isinstance(source, bytes) else "the image file")
    try:
        with warnings.catch_warnings(), _open_source(source) as file:
            warnings.simplefilter("ignore")  # of odd metadata, and below MAX_PIXELS of large images
            return decode(file)
    except FileNotFoundError:
        raise UserError(f"{name} does not exist.") from None
    except Exception as error:  # decoders raise many kinds of errors for broken files
        reason = _describe_decode_error(error, source)
        raise UserError(f"{name} cannot be read as {kind} ({reason}).") from None


def read_size(source: str | Path | bytes) -> FileSize:
    """Return the size of the image that `open_image` returns, from the head of its file.

    Raises:
        FileNotFoundError: The file does not exist.
        UserError: It is no image; the message is the reason in a few words.
    """
    try:
        with _open_source(source) as file, Image.open(file, formats=readable_formats()) as image:
            is_turned = _orientation(image) in TURNS
            width, height = image.size
    except FileNotFoundError:
        raise
    except Exception as error:  # as in open_image
        raise UserError(_describe_decode_error(error, source)) from None
    return FileSize((width, height) if is_turned else (height, width), is_turned)


def open_regular_file(path: str | Path, any_size: bool = False) -> BinaryIO:
    """Open a file for reading, which neither blocks nor has endless content.

    Raises:
        OSError: It does not exist, cannot be opened, or is a folder, pipe, device or socket.
        TooLargeError: It has more than `MAX_DECODED_BYTES`, unless `any_size`.
    """
    file = os.stat(path)
    if not stat.S_ISREG(file.st_mode):
        raise OSError("not a regular file")
    if not any_size:
        check_file_size(file.st_size)
    return open(path, "rb")


def check_file_size(size: int) -> None:
    """Raise `TooLargeError` if an image file has more than `MAX_DECODED_BYTES`."""
    if size > MAX_DECODED_BYTES:
        raise TooLargeError(f"a file of {_megabytes(size)}")


def problem_of(content: bytes) -> str | None:
    """Return why the content of an image file cannot be decoded, in a few words, or None if it can.

    Decodes the whole file as `open_image` does, but JPEG at an eighth of its size, which takes a
    quarter of the time.
    """
    try:
        _decode(io.BytesIO(content), small=True)
    except Exception as error:  # as in open_image
        return _describe_decode_error(error, content)
    return None


def is_image(content: bytes) -> bool:
    """Return whether the content of a file begins as an image that can be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(io.BytesIO(content), formats=readable_formats()).close()
    except Exception:  # as in open_image
        return False
    return True


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB: transparency on white, 16 bits scaled to 8."""
    scale = _scale_of(image) if image.mode[0] in "IF" else 1.0
    if image.width * image.height <= STRIP_PIXELS:
        return _convert_strip(image, scale)
    rgb = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        rgb.paste(_convert_strip(strip, scale), (0, top))
    return rgb


def describe_error(error: BaseException) -> str:
    """Return the message of an error on one line, or its type if it has none."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def _open_source(source: str | Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else open_regular_file(source)


def _decode(file: BinaryIO, small: bool = False) -> Image.Image:
    with Image.open(file, formats=readable_formats()) as image:
        # 1. Bound the memory before any pixel is decoded
        if image.width * image.height > MAX_PIXELS:
            raise TooLargeError(f"more than {MAX_PIXELS / 1e6:.0f} million pixels")
        coefficients = _coefficient_bytes(image)
        if image.format in ("JPEG", "MPO") and (
            small or coefficients + _pixel_bytes(image) > MAX_DECODED_BYTES
        ):
            target = (1, 1) if small else (image.width // 2, image.height // 2)
            image.draft(image.mode, target)
        size = coefficients + _pixel_bytes(image)
        if size > MAX_DECODED_BYTES:
            raise TooLargeError(f"decoding takes {_megabytes(size)}")

        # 2. Decode
        with _decode_alone(size > LARGE_DECODED_BYTES):
            rgb = to_rgb(image)
            method = _orientation(image)
            image.close()
            return rgb if method is None else rgb.transpose(method)


def _decode_values(file: BinaryIO) -> Image.Image:
    with Image.open(file, formats=readable_formats()) as image:
        if image.format in LOSSY_FORMATS:
            raise ValueError(f"{image.format} may change class numbers: save masks as PNG")
        if image.width * image.height > MAX_PIXELS:
            raise TooLargeError(f"more than {MAX_PIXELS / 1e6:.0f} million pixels")
        size = _pixel_bytes(image)
        if size > MAX_DECODED_BYTES:
            raise TooLargeError(f"decoding takes {_megabytes(size)}")
        with _decode_alone(size > LARGE_DECODED_BYTES):
            return image.copy()


def _pixel_bytes(image: Image.Image) -> int:
    """Return the memory of the pixels of an image, of its decoder, and of the RGB image."""
    of_pixel = STORED_BYTES.get(image.mode, 4) + DECODER_BYTES.get(image.format or "", 0) + 4
    return image.width * image.height * of_pixel


def _coefficient_bytes(image: Image.Image) -> int:
    """Return the memory of the coefficients of a JPEG with several scans, whatever its draft."""
    return 2 * len(image.getbands()) * image.width * image.height * ("progressive" in image.info)


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """Return what makes an image upright; None where EXIF does not say it, or is broken.

    `ImageOps.exif_transpose` also writes the other tags again, which fails for odd values.
    """
    try:
        return TRANSPOSE.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # parsers raise many kinds of errors for broken metadata
        return None


@contextlib.contextmanager
def _decode_alone(is_large: bool) -> Iterator[None]:
    """Let one process or thread of this machine at a time into the block, if an image is large."""
    if not is_large:
        yield
        return
    with open(__file__, "rb") as lock:
        with contextlib.suppress(OSError):  # of a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _describe_decode_error(error: Exception, source: str | Path | bytes) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS / 1e6:.0f} million pixels"
    if isinstance(error, Image.UnidentifiedImageError):
        with _open_source(source) as file:
            suffix = "" if isinstance(source, bytes) else os.path.splitext(source)[1]
            return describe_format(suffix, file.read(16))
    return describe_error(error)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB, more than {MAX_DECODED_BYTES / 1e6:.0f} MB"


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield the first row and the image of strips of at most about `STRIP_PIXELS`."""
    rows = max(1, STRIP_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _convert_strip(image: Image.Image, scale: float) -> Image.Image:
    if image.mode[0] in "IF":
        image = Image.fromarray(_to_8_bits(np.asarray(image), scale))
    if "transparency" in image.info or image.mode[-1] in "Aa":
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _scale_of(image: Image.Image) -> float:
    """Return the factor that makes 16 or 32-bit values 8-bit.

    Integers are 16-bit values if any is above 255; floats are between 0 and 1 if none is above 1.
    """
    if image.mode.startswith("I;16"):
        return 1 / 257  # 65535 -> 255
    largest = max(
        (_finite(np.asarray(strip)).max(initial=0) for _, strip in _strips(image)), default=0
    )
    if image.mode == "F":
        return 255.0 if largest <= 1 else 1.0
    return 1 / 257 if largest > 255 else 1.0


def _to_8_bits(values: np.ndarray, scale: float) -> np.ndarray:
    """Convert (H, W) values of 16 or 32 bits to uint8; NaN and infinity become 0."""
    values = _finite(values)
    if scale < 1:  # the same as rounding, in integers
        return ((np.clip(values, 0, 65535).astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.clip(np.round(values * scale), 0, 255).astype(np.uint8)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, posinf=0, neginf=0) if values.dtype.kind == "f" else values
