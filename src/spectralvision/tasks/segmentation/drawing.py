"""Draw class maps over images, and as PNG with a palette."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from spectralvision.data.masks import IGNORED

OPACITY = 0.55
IGNORED_COLOR = (128, 128, 128)


def palette(number: int) -> np.ndarray:
    """Return (number, 3) uint8 colors, those of Pascal VOC, without its black."""
    indices = np.arange(1, number + 1)
    colors = np.zeros((number, 3), np.uint8)
    for shift in range(8):
        for channel in range(3):
            bit = indices >> (3 * shift + channel) & 1
            colors[:, channel] |= (bit << (7 - shift)).astype(np.uint8)
    return colors


def overlay(image: Image.Image, classes: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Return an image with (H, W) classes drawn over it.

    Ignored pixels are gray. A class named background is not drawn.
    """
    number = len(names)
    colors = np.concatenate([palette(number), [IGNORED_COLOR]]).astype(np.uint8)
    image = image.convert("RGB")
    drawn = Image.fromarray(colors[np.where(classes == IGNORED, number, classes)])
    blended = Image.blend(image, drawn, OPACITY)
    backgrounds = [index for index, name in enumerate(names) if name.lower() == "background"]
    plain = Image.fromarray(np.isin(classes, backgrounds))
    blended.paste(image, mask=plain)
    return blended


def indexed(classes: np.ndarray, number: int) -> Image.Image:
    """Return (H, W) classes as an image of their numbers, with colors for viewers up to 256."""
    if number > 256:
        return Image.fromarray(classes.astype(np.uint16))
    image = Image.fromarray(classes.astype(np.uint8)).convert("L")
    image.putpalette(palette(number).ravel().tolist())
    return image
