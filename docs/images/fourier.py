"""Plot docs/images/fourier.png: an image, its spectrum, and what low and high frequencies hold."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from drawn import SHIP, drawn_map

from spectralvision.ops import irfft2, rfft2

RADIUS = 12


def main() -> None:
    # 1. Transform a drawn image, and split its spectrum by the distance from zero frequency
    x = drawn_map(SHIP)
    re, im = rfft2(x)
    height, width = x.shape[-2:]
    u, v = np.fft.fftfreq(height) * height, np.arange(width // 2 + 1)
    is_low = torch.from_numpy(np.hypot(u[:, None], v) <= RADIUS)
    low = irfft2(re * is_low, im * is_low, size=(height, width))[0, 0]
    high = irfft2(re * ~is_low, im * ~is_low, size=(height, width))[0, 0]

    # 2. Show them
    amplitude = torch.fft.fftshift(torch.log10(re.hypot(im) + 1e-3)[0, 0], dim=0)
    figure, axes = plt.subplots(1, 4, figsize=(12.5, 3.3), layout="constrained")
    axes[0].imshow(x[0, 0], cmap="gray")
    axes[0].set_title("image x")
    half = axes[1].imshow(
        amplitude, cmap="magma", aspect="equal", extent=(0, width // 2, height // 2, -height // 2)
    )
    axes[1].add_patch(plt.Circle((0, 0), RADIUS, fill=False, color="white"))
    axes[1].set(title="half-spectrum X, amplitude", xlabel="v", ylabel="u")
    figure.colorbar(half, ax=axes[1], label="log10 |X[u, v]|", shrink=0.8)
    axes[2].imshow(low, cmap="gray")
    axes[2].set_title("frequencies inside the circle")
    axes[3].imshow(high, cmap="gray")
    axes[3].set_title("frequencies outside of it")
    for panel in (axes[0], axes[2], axes[3]):
        panel.set_axis_off()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)


if __name__ == "__main__":
    main()
