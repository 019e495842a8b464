"""Draw class maps over images."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from spectralvision.data.masks import IGNORED
from spectralvision.engine.indexed_images import palette

OPACITY = 0.55
IGNORED_COLOR = (128, 128, 128)


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
