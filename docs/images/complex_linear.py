"""Plot docs/images/complex_linear.png: a block-diagonal complex layer, and its real matrices."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import hsv_to_rgb
from matplotlib.patches import Rectangle

GROUPS, WIDTH = 3, 4


def main() -> None:
    # 1. A complex matrix of three blocks, and a vector
    rng = np.random.default_rng(1)
    blocks = rng.normal(size=(GROUPS, WIDTH, WIDTH)) + 1j * rng.normal(size=(GROUPS, WIDTH, WIDTH))
    whole = np.zeros((GROUPS * WIDTH, GROUPS * WIDTH), complex)
    for group, block in enumerate(blocks):
        part = slice(group * WIDTH, (group + 1) * WIDTH)
        whole[part, part] = block
    first = blocks[0]
    real = np.block([[first.real, first.imag], [-first.imag, first.real]])

    # 2. Hue is the phase and brightness the magnitude of complex numbers
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.7), layout="constrained")
    axes[0].imshow(colors_of(whole))
    axes[0].set(title=f"complex W, {GROUPS} groups", xlabel="features out", ylabel="features in")
    axes[0].add_patch(
        Rectangle((-0.5, -0.5), WIDTH, WIDTH, fill=False, edgecolor="white", linewidth=2)
    )
    limit = np.abs(real).max()
    picture = axes[1].imshow(real, cmap="RdBu_r", vmin=-limit, vmax=limit)
    figure.colorbar(picture, ax=axes[1], label="weight", shrink=0.8)
    for row, column, name in ((0, 0, "Wr"), (0, 1, "Wi"), (1, 0, "-Wi"), (1, 1, "Wr")):
        middle = (column + 0.5) * WIDTH - 0.5, (row + 0.5) * WIDTH - 0.5
        axes[1].text(
            *middle, name, ha="center", va="center", fontsize=15,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none"},
        )  # fmt: skip
    axes[1].axhline(WIDTH - 0.5, color="black")
    axes[1].axvline(WIDTH - 0.5, color="black")
    axes[1].set(title="the first block as a real matrix M", xlabel="[re, im] out")
    axes[1].set_ylabel("[re, im] in")

    # 3. One weight turns and scales one number
    weight, number = 1.2 * np.exp(0.9j), 1 + 0.35j
    for value, name, color in ((number, "z", "C0"), (weight * number, "z w", "C3")):
        axes[2].annotate(
            "", (value.real, value.imag), (0, 0), arrowprops={"color": color, "width": 1.5}
        )
        axes[2].text(value.real + 0.05, value.imag + 0.05, name, color=color, fontsize=13)
    axes[2].set(xlim=(-0.3, 1.5), ylim=(-0.2, 1.5), title="one weight w = 1.2 exp(0.9 i)")
    axes[2].set(xlabel="real part", ylabel="imaginary part", aspect="equal")
    axes[2].grid(alpha=0.3)
    for panel in axes[:2]:
        panel.set(xticks=[], yticks=[])
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)


def colors_of(matrix: np.ndarray) -> np.ndarray:
    hue = np.angle(matrix) / (2 * np.pi) % 1
    value = np.abs(matrix) / np.abs(matrix).max()
    return hsv_to_rgb(np.stack([hue, np.ones_like(hue), value], axis=-1))


if __name__ == "__main__":
    main()
