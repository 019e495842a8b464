"""Draw class maps over images, with or without a legend."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from spectralvision.data.masks import IGNORED
from spectralvision.engine.draw_legend import add_legend
from spectralvision.engine.indexed_images import palette

OPACITY = 0.55
BACKGROUND = "background"
"""A class that is not drawn."""
IGNORED_COLOR = (255, 255, 255)
"""No class has it: see `palette`."""
MIN_SIDE_PIXELS = 480
"""Longer side of a picture with a legend: smaller images are enlarged."""


def draw_prediction(image: Image.Image, classes: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Return an image of at least 480 pixels with (H, W) classes, and a legend of them below."""
    scale = max(1, MIN_SIDE_PIXELS / max(image.size))
    size = (round(image.width * scale), round(image.height * scale))
    numbers = Image.fromarray(classes.astype(np.int32)).resize(size, Image.Resampling.NEAREST)
    drawn = overlay(image.resize(size), np.asarray(numbers), names)
    pixels = np.bincount(classes[classes != IGNORED], minlength=len(names))
    order = np.argsort(-pixels, kind="stable")[: np.count_nonzero(pixels)]
    colors = palette(len(names)).tolist()
    drawn_labels = [label for label in order if names[label].lower() != BACKGROUND]
    return add_legend(drawn, [(names[label], tuple(colors[label])) for label in drawn_labels])


def overlay(image: Image.Image, classes: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Return an image with (H, W) classes drawn over it.

    Ignored pixels are white. A class named background is not drawn.
    """
    number = len(names)
    colors = np.concatenate([palette(number), [IGNORED_COLOR]]).astype(np.uint8)
    image = image.convert("RGB")
    drawn = Image.fromarray(colors[np.where(classes == IGNORED, number, classes)])
    blended = Image.blend(image, drawn, OPACITY)
    backgrounds = [index for index, name in enumerate(names) if name.lower() == BACKGROUND]
    plain = Image.fromarray(np.isin(classes, backgrounds))
    blended.paste(image, mask=plain)
    return blended
