"""Made-up images, for dry runs and tests: nothing can be learnt from them but how long it would take."""

import numpy as np
from PIL import Image

from spectralvision.data.datasets import Data, Images
from spectralvision.runs import UserError

HEIGHT, WIDTH = 375, 500  # ImageNet's median
COUNT, CLASSES, VAL = 1000, 10, 25  # images, classes, training images for each one to validate on


class SyntheticImages(Images):
    """Noise by the image's number, (375, 500) RGB; the labels take turns."""

    def __init__(self, count: int, num_classes: int, seed: int = 0) -> None:
        super().__init__(np.arange(count) % num_classes)
        self.seed = seed

    def image(self, index: int) -> Image.Image:
        coarse = np.random.default_rng((self.seed, index)).integers(0, 256, (15, 20, 3), np.uint8)
        return Image.fromarray(coarse).resize((WIDTH, HEIGHT))

    def name(self, index: int) -> str:
        return f"synthetic/{self.seed}/{index}"


def synthetic(spec: str, num_classes: int | None = None) -> Data:
    """`synthetic` or `synthetic/COUNT` training images, and a 25th of that to validate on; classes are numbers.

    Raises:
        UserError: COUNT is no number, or less than two images a class.
    """
    word, classes = spec.partition("/")[2] or str(COUNT), num_classes or CLASSES
    if not word.isdecimal() or int(word) < 2 * classes:
        raise UserError(
            f"--data {spec} should be synthetic/COUNT with at least {2 * classes} images for {classes} classes."
        )
    count = int(word)
    splits = {"train": SyntheticImages(count, classes), "val": SyntheticImages(max(2, count // VAL), classes, seed=1)}
    return Data("synthetic", tuple(map(str, range(classes))), dict(splits))
