"""Open images, make them the input of the model as preprocess.json says, and name the outputs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
ORIENTATION = 0x0112
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Orientation in EXIF -> what makes an image upright."""
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""That are opened: Pillow's other readers may start programs or read other files."""
CONFIG, LABELS = "preprocess.json", "labels.txt"


def read_config(folder: Path) -> dict[str, Any]:
    """Return preprocess.json, with the names of the classes as "labels"."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    labels = (folder / LABELS).read_text(encoding="utf-8").split("\n")
    return {**config, "labels": labels[:-1]}


def open_image(path: Any) -> Image.Image:
    """Return an image file upright and in RGB: transparent pixels white, 16 bits scaled to 8."""
    with Image.open(path, formats=FORMATS) as image:
        method = _orientation(image)
        pixels = _to_8_bits(image) if image.mode[0] in "IF" else image
        if "transparency" in pixels.info or pixels.mode[-1] in "Aa":
            white = Image.new("RGBA", pixels.size, "white")
            pixels = Image.alpha_composite(white, pixels.convert("RGBA"))
        rgb = pixels.convert("RGB")
        return rgb if method is None else rgb.transpose(method)


def _orientation(image: Image.Image) -> Image.Transpose | None:
    try:
        return TRANSPOSE.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # parsers raise many kinds of errors for broken metadata
        return None


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Return 16-bit integers, or floats from 0 to 1 (or to 255 if any is above 1), as 8 bits."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0, neginf=0)
    largest = values.max(initial=0)
    if image.mode == "F":
        scale = 255.0 if largest <= 1 else 1.0
    else:
        scale = 1 / 257 if image.mode.startswith("I;16") or largest > 255 else 1.0
    return Image.fromarray(np.clip(np.round(values * scale), 0, 255).astype(np.uint8))


def name_outputs(images: Sequence[str], folder: Path, suffix: str) -> list[Path]:
    """Return the file to write for each image; the folder is made.

    Raises:
        ValueError: Two images have the same one, or it is one of the images.
    """
    outputs = [folder / f"{Path(image).stem}{suffix}" for image in images]
    inputs = {Path(image).resolve() for image in images}
    for number, output in enumerate(outputs):
        if output in outputs[:number]:
            raise ValueError(f"two images would be written to {output}: rename one of them")
        if output.resolve() in inputs:
            raise ValueError(f"{output} is one of the images: choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    return outputs


def prepare(image: Image.Image, config: dict[str, Any]) -> tuple[np.ndarray, tuple[int, int]]:
    """Return (3, H, W) float32, and the height and width of the resized image in it.

    "crop" cuts the center out of the image, "stretch" ignores its aspect ratio, "fit" keeps all of
    it at the upper left, its shorter side at most "short_side", if given.
    """
    height, width = config["size"]
    resized = image.resize(_resized(image, config), FILTERS[config["interpolation"]])
    if config["mode"] == "crop":
        left = round((resized.width - width) / 2)
        top = round((resized.height - height) / 2)
        resized = resized.crop((left, top, left + width, top + height))
    pixels = np.asarray(resized, np.float32) / 255
    pixels = (pixels - np.array(config["mean"], np.float32)) / np.array(config["std"], np.float32)
    canvas = np.zeros((3, height, width), np.float32)
    canvas[:, : resized.height, : resized.width] = pixels.transpose(2, 0, 1)
    return canvas, (resized.height, resized.width)


def _resized(image: Image.Image, config: dict[str, Any]) -> tuple[int, int]:
    """Return (width, height) of the image before it is cropped or padded."""
    height, width = config["size"]
    if config["mode"] == "stretch":
        return width, height
    if config["mode"] == "fit":
        scale = min(height / image.height, width / image.width)
        if config.get("short_side"):
            scale = min(scale, config["short_side"] / min(image.size))
        sides = (round(image.width * scale), round(image.height * scale))
        return min(max(1, sides[0]), width), min(max(1, sides[1]), height)
    tall, wide = (int(side / config["crop_pct"]) for side in (height, width))
    if tall * image.width <= wide * image.height:  # the width decides
        return wide, max(height, int(wide * image.height / image.width))
    return max(width, int(tall * image.width / image.height)), tall
