"""Plot docs/images/scattering.png: the parts that a scattering mixer treats separately."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from drawn import ZONE_PLATE, drawn_map

from spectralvision.ops import Pyramid, dtcwt2d, idtcwt2d

SIDE_PIXELS, GAP_PIXELS, TITLE_PIXELS = 256, 10, 30
DPI = 100


def main() -> None:
    # 1. Split a drawn image into lowpass and bands
    x = drawn_map(ZONE_PLATE)
    low, ((re, im),) = dtcwt2d(x)

    # 2. What each part gives back alone; the inverse is linear, so they add up to the image
    def inverse(of_low: float, of_bands: torch.Tensor) -> torch.Tensor:
        gain = of_bands[:, None, None]
        return idtcwt2d(Pyramid(of_low * low, ((gain * re, gain * im),)))[0, 0]

    orientations = torch.eye(6)
    parts = {
        "image x": x[0, 0],
        "lowpass L alone": inverse(1, 0 * orientations[0]),
        "bands D alone": inverse(0, torch.ones(6)),
        "bands of 15° and 165°": inverse(0, orientations[0] + orientations[5]),
        "bands of 45° and 135°": inverse(0, orientations[1] + orientations[4]),
        "bands of 75° and 105°": inverse(0, orientations[2] + orientations[3]),
    }

    # 3. Show them
    # One pixel for each sample, as resampling would draw rings of its own
    width, height = len(parts) * (SIDE_PIXELS + GAP_PIXELS), SIDE_PIXELS + TITLE_PIXELS
    figure = plt.figure(figsize=(width / DPI, height / DPI))
    for number, (title, part) in enumerate(parts.items()):
        left = number * (SIDE_PIXELS + GAP_PIXELS) / width
        panel = figure.add_axes((left, 0, SIDE_PIXELS / width, SIDE_PIXELS / height))
        limit = {"vmin": -0.3, "vmax": 0.3} if "bands" in title else {"vmin": 0, "vmax": 1}
        panel.imshow(part, cmap="gray", interpolation="nearest", **limit)
        panel.set_title(title, fontsize=11)
        panel.set_axis_off()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=DPI)


if __name__ == "__main__":
    main()
