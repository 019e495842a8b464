"""Plot docs/images/filters.png: an adaptive frequency filter as a mask and as a convolution."""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import timm.data
import torch
from matplotlib.axes import Axes
from PIL import Image

import spectralvision as sv
from spectralvision.analysis import find_layers, record_inputs
from spectralvision.demo.examples import write_examples
from spectralvision.mixers import AdaptiveFrequencyFilter

LAYER = "stages.2.blocks.0.filter"
CHANNEL = 3
PICTURES = (0, 1)


def main() -> None:
    # 1. Two drawn images through a trained network, and the inputs of one of its filters
    model = sv.create_model("affnet_et.tiny_imagenet", pretrained=True).eval()
    model.set_input_size(256)
    transform = timm.data.create_transform((3, 256, 256), crop_pct=1.0)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_examples(Path(folder))
        images = [Image.open(paths[index]).convert("RGB") for index in PICTURES]
    batch = torch.stack([transform(image) for image in images])
    layers = find_layers(model, AdaptiveFrequencyFilter)
    layer = layers[LAYER]
    x = record_inputs(lambda: model(batch), layers)[LAYER]
    with torch.no_grad():
        re, im = layer.mask(x)
        kernel, y = layer.kernel(x), layer(x)

    # 2. Show input, mask, kernel and output for each image
    titles = ("map x", "log10 |M|, the mask", "kernel", "output y")
    figure, axes = plt.subplots(2, 5, figsize=(12.5, 5), layout="constrained")
    for row, image in enumerate(images):
        mask = np.fft.fftshift(torch.hypot(re, im)[row, CHANNEL].numpy(), axes=0)
        centred = np.fft.fftshift(kernel[row, CHANNEL].numpy())
        panels = axes[row]
        panels[0].imshow(image)
        panels[0].set_title("image" if row == 0 else "")
        show(panels[1], x[row, CHANNEL].numpy(), "gray")
        show(panels[2], np.log10(mask + 1e-2), "magma", extent=(0, 1, 1, -1))
        show(panels[3], centred, "RdBu_r", float(np.quantile(np.abs(centred), 0.998)))
        show(panels[4], y[row, CHANNEL].numpy(), "gray")
        for panel, title in zip(panels[1:], titles, strict=True):
            panel.set_title(title if row == 0 else "")
        for panel in np.delete(panels, 2):
            panel.set_axis_off()
        panels[2].set(xlabel="m / Nyquist", ylabel="n / Nyquist", xticks=(0, 1), yticks=(-1, 0, 1))
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)


def show(
    panel: Axes,
    values: np.ndarray,
    colors: str,
    limit: float | None = None,
    extent: tuple[float, float, float, float] | None = None,
) -> None:
    limits = {} if limit is None else {"vmin": -limit, "vmax": limit}
    image = panel.imshow(values, cmap=colors, extent=extent, **limits)
    panel.figure.colorbar(image, ax=panel, shrink=0.75)


if __name__ == "__main__":
    main()
