"""Plot docs/images/haar.png: an image, its Haar bands, and those of their lowpass."""

from pathlib import Path

import matplotlib.pyplot as plt
from drawn import FLOWER, drawn_map

from spectralvision.ops.haar import haar2d

NAMES = ("low", "horizontal", "vertical", "diagonal")


def main() -> None:
    # 1. Two levels of the transform of a drawn image
    x = drawn_map(FLOWER)
    first = haar2d(x)
    second = haar2d(first[:, :, 0])

    # 2. Show the image and the bands of both levels
    figure, axes = plt.subplots(2, 5, figsize=(11, 4.7), layout="constrained")
    axes[0, 0].imshow(x[0, 0], cmap="gray")
    axes[0, 0].set_title("image")
    for level, bands in ((1, first), (2, second)):
        for index, name in enumerate(NAMES):
            panel = axes[level - 1, 1 + index]
            limit = {} if name == "low" else {"vmin": -0.15 * level, "vmax": 0.15 * level}
            panel.imshow(bands[0, 0, index], cmap="gray", **limit)
            panel.set_title(f"{name} {level}", fontsize=11)
    for panel in axes.flat:
        panel.set_axis_off()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)


if __name__ == "__main__":
    main()
