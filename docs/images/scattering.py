"""Plot docs/images/scattering.png: the parts that a scattering mixer treats separately."""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

from spectralvision.demo.examples import write_examples
from spectralvision.ops import Pyramid, dtcwt2d, idtcwt2d


def main() -> None:
    # 1. Split a drawn image into lowpass and bands
    with tempfile.TemporaryDirectory() as folder:
        image = np.asarray(Image.open(write_examples(Path(folder))[2]).convert("L")) / 255
    x = torch.from_numpy(image)[None, None].float()
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
    figure, axes = plt.subplots(1, 6, figsize=(14, 2.7), layout="constrained")
    for panel, (title, part) in zip(axes, parts.items(), strict=True):
        limit = {"vmin": -0.3, "vmax": 0.3} if "bands" in title else {"vmin": 0, "vmax": 1}
        panel.imshow(part, cmap="gray", **limit)
        panel.set_title(title, fontsize=11)
        panel.set_axis_off()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)


if __name__ == "__main__":
    main()
