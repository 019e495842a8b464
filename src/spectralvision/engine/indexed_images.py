"""Images of numbers, such as class maps, with colors for viewers."""

import numpy as np
from PIL import Image

MAX_COLORS = 256


def palette(number: int) -> np.ndarray:
    """Return (number, 3) uint8 colors, those of Pascal VOC, without its black."""
    indices = np.arange(1, number + 1)
    colors = np.zeros((number, 3), np.uint8)
    for shift in range(8):
        for channel in range(3):
            bit = indices >> (3 * shift + channel) & 1
            colors[:, channel] |= (bit << (7 - shift)).astype(np.uint8)
    return colors


def indexed(numbers: np.ndarray, colors: np.ndarray) -> Image.Image:
    """Return (H, W) numbers below K as an image of them, with (K, 3) colors for K up to 256."""
    if len(colors) > MAX_COLORS:
        return Image.fromarray(numbers.astype(np.uint16))
    image = Image.fromarray(numbers.astype(np.uint8)).convert("L")
    image.putpalette(colors.astype(np.uint8).ravel().tolist())
    return image
