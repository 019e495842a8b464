"""What the page shows of a model and an image; knows no page."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spectralvision.analysis.class_activation import draw_activation_maps
from spectralvision.analysis.filter_plots import plot_masks
from spectralvision.analysis.filter_spectra import filter_masks
from spectralvision.analysis.frequencies import CORNER, filter_images
from spectralvision.analysis.layers import find_layers, record_inputs
from spectralvision.analysis.scattering_bands import wavelet_bands
from spectralvision.analysis.wavelet_plots import plot_orientation
from spectralvision.data.image_files import open_image
from spectralvision.data.image_formats import readable_formats
from spectralvision.data.transforms import denormalize
from spectralvision.engine.model_io import data_config, label_titles
from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer
from spectralvision.runs import UserError
from spectralvision.tasks.analysis_subject import require_rgb
from spectralvision.tasks.registry import task_of

MAX_PIXELS = 50_000_000
"""Of an upload; a phone's picture has 12 million."""
SIDE = 640
"""Longer side in pixels to which an image is reduced."""
SHOWN_SIDE = 480
"""Longer side in pixels to which small images are enlarged for the page."""
TOP = 5
"""Classes that are shown."""
DPI = 90


@dataclass(frozen=True)
class Exploration:
    """What is shown for an image.

    Attributes:
        seen: The image without the removed frequencies, as the model gets it: resized and cropped.
        scores: Class -> probability, of a classifier.
        answer: Class activation, or what a model of another task finds, drawn into the image.
        layer: Masks and kernels of the chosen layer, or its bands; None without such layers.
        seconds: Of the prediction.
        text: What was found, in words.
    """

    seen: Image.Image
    scores: dict[str, float]
    answer: Image.Image | None
    layer: Image.Image | None
    seconds: float
    text: str


class Explorer:
    """Models by name, loaded when they are first used.

    Args:
        names: Run folders, repositories, or names of models with weights.

    Raises:
        UserError: The first model does not exist, has no weights, or is not for RGB images; the
            others are checked when they are first used.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.load = lru_cache(maxsize=4)(_Model)
        self.load(self.names[0])

    def layers(self, name: str) -> list[str]:
        """Return the layers of a model with pictures."""
        return list(self.load(name).layers)

    def is_classifier(self, name: str) -> bool:
        """Return whether the model answers with classes of the whole image."""
        return self.load(name).is_classifier

    def has_orientations(self, name: str, layer: str | None) -> bool:
        """Return whether a layer is a scattering mixer, with bands of several orientations."""
        return isinstance(self.load(name).layers.get(layer or ""), ScatteringMixer)

    def explore(
        self,
        name: str,
        path: str | Path,
        lowest: float = 0.0,
        highest: float = 1.5,
        layer: str | None = None,
        orientation: int = 0,
    ) -> Exploration:
        """Return what a model makes of an image.

        Args:
            name: Of the model.
            path: Image file.
            lowest, highest: Frequencies that are kept, as fractions of the Nyquist frequency of the
                model's input.
            layer: One of `layers`; None: the first.
            orientation: Of the bands, from 0 to 5.

        Raises:
            UserError: The file is no image, or too large.
        """
        model = self.load(name)
        image = open_upload(path)
        start = time.perf_counter()
        batch, pixels = model.prepare(image, lowest, highest)
        row = model.predict(batch)
        seconds = time.perf_counter() - start
        seen = denormalize(pixels, model.preprocessing)
        scores, text = {}, ""
        if model.is_classifier:
            scores = {one["class"]: one["probability"] for one in row.record["classes"]}
            answer = model.draw_activation(batch)
        else:
            text = ", ".join(str(cell) for cell in row.cells if cell)
            answer = model.task.draw(model.model, seen.resize(image.size), row.prediction)
        return Exploration(
            enlarge(seen), scores, answer, model.draw_layer(batch, layer, orientation), seconds,
            text,
        )  # fmt: skip


class _Model:
    """A loaded model."""

    def __init__(self, name: str) -> None:
        self.task = task_of(name)
        self.model = self.task.load(name)
        self.preprocessing = data_config(self.model)
        require_rgb(self.preprocessing)
        self.is_classifier = self.task.is_classifier
        self.options = self.task.predict_options()
        if self.is_classifier:
            self.options = replace(self.options, top_k=min(TOP, len(label_titles(self.model))))
        self.task.check_predict(self.model, self.options)
        self.transform = self.task.transform(None, self.model, train=False)
        self.predictor = self.task.predictor(self.model, self.options).eval()
        self.layers: dict[str, Any] = {
            **find_layers(self.model, AdaptiveFrequencyFilter),
            **find_layers(self.model, ScatteringMixer),
        }

    def prepare(self, image: Image.Image, lowest: float, highest: float) -> tuple[Any, Tensor]:
        """Return a batch of one image without the removed frequencies, and its pixels (3, H, W)."""
        sample, _ = self.transform(image, None)
        if isinstance(sample, Tensor):
            sample = pixels = keep_frequencies(sample, lowest, highest)
        else:
            pixels = keep_frequencies(sample.pixels, lowest, highest)
            sample = sample._replace(pixels=pixels)
        batch, _ = self.task.collate([(sample, 0)])
        return batch, pixels

    def predict(self, batch: Any) -> Any:
        """Return the row of the image."""
        with torch.inference_mode():
            outputs = self.predictor(batch)
        (row,) = self.task.rows(self.model, outputs, self.options)
        return row

    def draw_activation(self, batch: Tensor) -> Image.Image | None:
        """Return the class activation of a classifier."""
        with torch.no_grad():
            best = self.model(batch).argmax(dim=1).numpy()
        maps, _ = draw_activation_maps(self.model, {0: batch[0]}, best)
        return enlarge(maps[0]) if maps else None

    def draw_layer(self, batch: Any, layer: str | None, orientation: int) -> Image.Image | None:
        """Return the masks or the bands of a layer."""
        if not self.layers:
            return None
        name = layer if layer in self.layers else next(iter(self.layers))
        mixer = self.layers[name]
        x = record_inputs(lambda: self.predictor(batch), {"": mixer}).get("")
        if x is None:  # a layer that does not run
            return None
        if isinstance(mixer, AdaptiveFrequencyFilter):
            return _render(plot_masks(filter_masks(mixer, x), title=name))
        return _render(plot_orientation(wavelet_bands(mixer, x), orientation, title=name))


def open_upload(path: str | Path) -> Image.Image:
    """Return an image of at most 640 pixels a side; the size is checked before it is decoded.

    Raises:
        UserError: The file is no image, or has more than 50 million pixels.
    """
    try:
        with Image.open(path, formats=readable_formats()) as header:
            pixels = header.width * header.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise UserError(
            "this file cannot be read as an image: use a JPEG, PNG, WebP, GIF, BMP or TIFF file."
        ) from None
    if pixels > MAX_PIXELS:
        raise UserError(
            f"this image has {pixels / 1e6:.0f} million pixels, more than {MAX_PIXELS / 1e6:.0f} "
            "million: use a smaller one."
        )
    image = open_image(path, "this file")
    image.thumbnail((SIDE, SIDE))
    return image


def keep_frequencies(pixels: Tensor, lowest: float, highest: float) -> Tensor:
    """Keep the frequencies of pixels (3, H, W) between two fractions of the Nyquist frequency.

    The mean of each channel is kept. If no frequency is removed, the pixels are returned unchanged.
    """
    if lowest > 0:
        pixels = filter_images(pixels[None], lowest, "high")[0]
    return pixels if highest >= CORNER else filter_images(pixels[None], highest, "low")[0]


def enlarge(image: Image.Image) -> Image.Image:
    """Return an image whose longer side has at least 480 pixels."""
    scale = SHOWN_SIDE / max(image.size)
    if scale <= 1:
        return image
    return image.resize((round(image.width * scale), round(image.height * scale)))


def _render(figure: Any) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
