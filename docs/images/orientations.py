"""Draws docs/images/orientations.png: a zone plate, and where the six orientations of its DTCWT answer."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from spectralvision.ops import ORIENTATIONS, dtcwt2d

SIDE = 256


def main() -> None:
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    plate = torch.cos(0.3 * torch.pi * SIDE * (x**2 + y**2))
    bands = dtcwt2d(plate[None, None], levels=2).complex()[1][0, 0].abs()
    figure, axes = plt.subplots(1, 7, figsize=(14, 2.3), layout="constrained")
    axes[0].imshow(plate, cmap="gray")
    axes[0].set_title("image")
    for axis, band, angle in zip(axes[1:], bands, ORIENTATIONS, strict=True):
        axis.imshow(band, cmap="magma")
        axis.set_title(f"{angle}°")
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)


if __name__ == "__main__":
    main()
