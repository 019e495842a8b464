"""Random images for dry runs and tests."""

import numpy as np
from PIL import Image

from spectralvision.data.images import Images
from spectralvision.data.splits import Data
from spectralvision.runs import UserError

SYNTHETIC = "synthetic"
"""Name of the data set."""
HEIGHT = 375
WIDTH = 500
"""Median size of ImageNet's images in pixels."""
DEFAULT_IMAGES = 1000
DEFAULT_CLASSES = 10
TRAIN_IMAGES_PER_VAL_IMAGE = 25


class SyntheticImages(Images):
    """Noise by (seed, index), (375, 500) RGB; image i has the label i % num_classes."""

    def __init__(self, count: int, num_classes: int, seed: int = 0) -> None:
        super().__init__(np.arange(count) % num_classes)
        self.seed = seed

    def image(self, index: int) -> Image.Image:
        coarse = np.random.default_rng((self.seed, index)).integers(0, 256, (15, 20, 3), np.uint8)
        return Image.fromarray(coarse).resize((WIDTH, HEIGHT))

    def name(self, index: int) -> str:
        return f"synthetic/{self.seed}/{index}"


def open_synthetic(spec: str, num_classes: int | None = None) -> Data:
    """Return `synthetic` or `synthetic/COUNT`: COUNT training images, and a 25th as many for val.

    Raises:
        UserError: COUNT is not a number, or below two images per class.
    """
    count = spec.partition("/")[2] or str(DEFAULT_IMAGES)
    num_classes = num_classes or DEFAULT_CLASSES
    if not count.isdecimal() or int(count) < 2 * num_classes:
        raise UserError(
            f"--data {spec} should be synthetic/COUNT with at least {2 * num_classes} images for "
            f"{num_classes} classes."
        )
    num_val = max(2, int(count) // TRAIN_IMAGES_PER_VAL_IMAGE)
    splits = {
        "train": SyntheticImages(int(count), num_classes),
        "val": SyntheticImages(num_val, num_classes, seed=1),
    }
    return Data(SYNTHETIC, tuple(map(str, range(num_classes))), dict(splits))
