"""Plot docs/images/heat.png: cosine modes of a plate, and an image as its temperature in time."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from drawn import SHIP, drawn_map

from spectralvision.ops import dct2, idct2

MODES = 4
SIDE = 24
TIMES = (0, 10, 100, 1000)  # k in equation (4)


def main() -> None:
    # 1. The modes: one coefficient each
    modes = torch.zeros(MODES, MODES, SIDE, SIDE)
    for n in range(MODES):
        for m in range(MODES):
            modes[n, m, n, m] = 1
    modes = idct2(modes)
    modes = modes / modes.abs().amax(dim=(-2, -1), keepdim=True)
    sheet = torch.full((MODES, SIDE + 2, MODES, SIDE + 2), float("nan"))
    sheet[:, :SIDE, :, :SIDE] = modes.permute(0, 2, 1, 3)

    # 2. An image after some time
    x = drawn_map(SHIP)
    height, width = x.shape[-2:]
    n, m = torch.arange(height)[:, None] / height, torch.arange(width) / width
    decay = torch.exp(-(torch.pi**2) * (n**2 + m**2))  # (3)
    plates = [idct2(dct2(x) * decay**k)[0, 0] for k in TIMES]  # (4)

    # 3. Show them
    figure, axes = plt.subplots(1, 5, figsize=(13, 2.9), layout="constrained")
    axes[0].imshow(sheet.flatten(0, 1).flatten(1), cmap="RdBu_r", vmin=-1, vmax=1)
    axes[0].set_title("modes")
    middles = [(SIDE + 2) * n + SIDE / 2 for n in range(MODES)]
    axes[0].set_xticks(middles, [f"m = {m}" for m in range(MODES)], fontsize=8)
    axes[0].set_yticks(middles, [f"n = {n}" for n in range(MODES)], fontsize=8)
    axes[0].tick_params(length=0)
    axes[0].spines[:].set_visible(False)
    for panel, plate, k in zip(axes[1:], plates, TIMES, strict=True):
        panel.imshow(plate, cmap="inferno", vmin=0, vmax=1)
        panel.set_title("map z" if k == 0 else f"y, k = {k}")
    for panel in axes[1:]:
        panel.set_axis_off()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)


if __name__ == "__main__":
    main()
