"""Plot docs/images/orientations.png: a zone plate and the six highpass bands of its DTCWT."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from spectralvision.ops import ORIENTATIONS, dtcwt2d

SIDE_PIXELS = 256


def main() -> None:
    # 1. Transform an image with every orientation and frequency
    axis = torch.linspace(-1, 1, SIDE_PIXELS)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    plate = torch.cos(0.3 * torch.pi * SIDE_PIXELS * (x**2 + y**2))
    pyramid = dtcwt2d(plate[None, None], levels=2)
    bands = pyramid.complex()[1][0, 0].abs()

    # 2. Show the magnitude of each band
    figure, axes = plt.subplots(1, 7, figsize=(14, 2.3), layout="constrained")
    axes[0].imshow(plate, cmap="gray")
    axes[0].set_title("image")
    for panel, band, angle in zip(axes[1:], bands, ORIENTATIONS, strict=True):
        panel.imshow(band, cmap="magma")
        panel.set_title(f"{angle}°")
    for panel in axes:
        panel.set_axis_off()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)


if __name__ == "__main__":
    main()
