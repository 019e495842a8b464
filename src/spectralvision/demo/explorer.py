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

from spectralvision.analysis.class_activation import draw_activation_maps
from spectralvision.analysis.filter_plots import plot_masks
from spectralvision.analysis.filter_spectra import filter_masks
from spectralvision.analysis.frequencies import filter_images
from spectralvision.analysis.layers import find_layers, record_inputs
from spectralvision.analysis.scattering_bands import wavelet_bands
from spectralvision.analysis.wavelet_plots import plot_orientation
from spectralvision.data.image_files import open_image
from spectralvision.data.image_formats import readable_formats
from spectralvision.data.images import Images
from spectralvision.data.loaders import build_inference_loader
from spectralvision.engine.model_io import label_titles
from spectralvision.export.deployment import Deployable
from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer
from spectralvision.runs import UserError
from spectralvision.tasks.analysis_subject import load_deployable
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
        seen: The image without the removed frequencies, as the model gets it.
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
        UserError: One of the models does not exist or has no weights.
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
        return self.load(name).deployable.script == "classify"

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
            lowest, highest: Frequencies that are kept, as fractions of the Nyquist frequency.
            layer: One of `layers`; None: the first.
            orientation: Of the bands, from 0 to 5.

        Raises:
            UserError: The file is no image, or too large.
        """
        model = self.load(name)
        seen = keep_frequencies(open_upload(path), lowest, highest)
        start = time.perf_counter()
        row = model.predict(seen)
        seconds = time.perf_counter() - start
        scores = {}
        if self.is_classifier(name):
            scores = {one["class"]: one["probability"] for one in row.record["classes"]}
        return Exploration(
            enlarge(seen),
            scores,
            model.draw_answer(seen, row),
            model.draw_layer(seen, layer, orientation),
            seconds,
            model.describe(row),
        )


class _Model:
    """A loaded model."""

    def __init__(self, name: str) -> None:
        self.task = task_of(name)
        self.model = self.task.load(name)
        self.options = self.task.predict_options()
        if hasattr(self.options, "top_k"):
            self.options = replace(self.options, top_k=min(TOP, len(label_titles(self.model))))
        self.task.check_predict(self.model, self.options)
        self.deployable: Deployable = load_deployable(self.task, self.model, None)
        self.network = self.deployable.module.eval()
        self.predictor = self.task.predictor(self.model, self.options).eval()
        self.layers: dict[str, Any] = {
            **find_layers(self.network, AdaptiveFrequencyFilter),
            **find_layers(self.network, ScatteringMixer),
        }

    def predict(self, image: Image.Image) -> Any:
        """Return the row of an image."""
        transform = self.task.transform(None, self.model, train=False)
        loader = build_inference_loader(
            _OneImage(image), transform, 1, 0, collate=self.task.collate
        )
        (batch,) = loader
        with torch.inference_mode():
            outputs = self.predictor(batch.images)
        (row,) = self.task.rows(self.model, outputs, self.options)
        return row

    def draw_answer(self, image: Image.Image, row: Any) -> Image.Image | None:
        """Return the class activation, or the objects or classes drawn into the image."""
        if self.deployable.script != "classify":
            return self.task.draw(self.model, image, row.prediction)
        pixels = self.deployable.prepare([image])
        with torch.no_grad():
            best = self.network(pixels).argmax(dim=1).numpy()
        maps, _ = draw_activation_maps(self.network, {0: pixels[0]}, best)
        return enlarge(maps[0]) if maps else None

    def draw_layer(
        self, image: Image.Image, layer: str | None, orientation: int
    ) -> Image.Image | None:
        """Return the masks or the bands of a layer."""
        if not self.layers:
            return None
        name = layer if layer in self.layers else next(iter(self.layers))
        mixer, pixels = self.layers[name], self.deployable.prepare([image])
        inputs = record_inputs(lambda: self.network(pixels), {name: mixer})
        if isinstance(mixer, AdaptiveFrequencyFilter):
            return _render(plot_masks(filter_masks(mixer, inputs[name]), title=name))
        bands = wavelet_bands(mixer, inputs[name])
        return _render(plot_orientation(bands, orientation, title=name))

    def describe(self, row: Any) -> str:
        """Return what was found in a line."""
        if self.deployable.script == "classify":
            return ""
        return ", ".join(str(cell) for cell in row.cells if cell)


class _OneImage(Images):
    """An image in memory."""

    has_labels = False

    def __init__(self, image: Image.Image) -> None:
        super().__init__([0])
        self._image = image

    def image(self, index: int) -> Image.Image:
        return self._image

    def name(self, index: int) -> str:
        return "the image"


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


def keep_frequencies(image: Image.Image, lowest: float, highest: float) -> Image.Image:
    """Return an image with the frequencies between two fractions of the Nyquist frequency."""
    pixels = torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1)[None]
    if lowest > 0:
        pixels = filter_images(pixels, lowest, "high")
    pixels = filter_images(pixels, highest, "low")
    values = pixels[0].permute(1, 2, 0).clamp(0, 255).round().byte().numpy()
    return Image.fromarray(values)


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
