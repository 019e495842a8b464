"""Open an image, and make it the input of the model as preprocess.json says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""That are opened: Pillow's other readers may start programs or read other files."""
CONFIG, LABELS = "preprocess.json", "labels.txt"


def read_config(folder: Path) -> dict[str, Any]:
    """Return preprocess.json, with the names of the classes as "labels"."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    labels = (folder / LABELS).read_text(encoding="utf-8").split("\n")
    return {**config, "labels": labels[:-1]}


def open_image(path: Any) -> Image.Image:
    """Return an image file upright and in RGB, transparent pixels white."""
    with Image.open(path, formats=FORMATS) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("LA", "PA", "RGBA") or "transparency" in upright.info:
            white = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(white, upright.convert("RGBA"))
        return upright.convert("RGB")


def prepare(image: Image.Image, config: dict[str, Any]) -> tuple[np.ndarray, tuple[int, int]]:
    """Return (3, H, W) float32, and the height and width of the resized image in it.

    "crop" cuts the center out of the image, "stretch" ignores its aspect ratio, "fit" keeps all of
    it at the upper left.
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
        sides = (round(image.width * scale), round(image.height * scale))
        return min(max(1, sides[0]), width), min(max(1, sides[1]), height)
    tall, wide = (int(side / config["crop_pct"]) for side in (height, width))
    if tall * image.width <= wide * image.height:  # the width decides
        return wide, max(height, int(wide * image.height / image.width))
    return max(width, int(tall * image.width / image.height)), tall
