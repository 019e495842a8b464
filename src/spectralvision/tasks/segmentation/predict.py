"""Predictions of segmentation: the classes of each image, masks and pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spectralvision.data.images import Images
from spectralvision.data.masks import IGNORED
from spectralvision.engine.indexed_images import indexed, palette
from spectralvision.engine.model_io import label_titles
from spectralvision.engine.picture_files import PictureFolder
from spectralvision.tasks.base import FileWriter, Row
from spectralvision.tasks.segmentation.drawing import draw_prediction
from spectralvision.tasks.segmentation.options import PredictOptions, ViewOptions
from spectralvision.tasks.segmentation.segmenter import Segmenter
from spectralvision.tasks.segmentation.transforms import SizedImage
from spectralvision.tasks.segmentation.views import Viewer, classes_at

COLUMNS = ["classes", "pixels"]
MAX_LISTED = 5
"""Classes of an image in a table."""


class MapPredictor(nn.Module):
    """Images -> (H, W) classes of each at its own size, on the CPU."""

    def __init__(self, model: nn.Module, options: ViewOptions) -> None:
        super().__init__()
        self.viewer = Viewer(model, options)

    def forward(self, images: Sequence[SizedImage]) -> list[Tensor]:
        scores = self.viewer(images)
        return [
            classes_at(one, image.size.tolist()).to(torch.int16).cpu()
            for one, image in zip(scores, images, strict=True)
        ]


def build_rows(model: nn.Module, outputs: Sequence[Tensor]) -> list[Row]:
    """Return the classes of each image with their fractions of the pixels, largest first."""
    titles = label_titles(model)
    rows = []
    for output in outputs:
        classes = output.numpy()
        fractions = find_fractions(classes, titles)
        size = f"{classes.shape[1]} x {classes.shape[0]}"
        record = {
            "height": classes.shape[0],
            "width": classes.shape[1],
            "classes": [{"class": name, "fraction": one} for name, one in fractions.items()],
        }
        rows.append(Row(record, [describe_fractions(fractions), size], classes))
    return rows


def find_fractions(classes: np.ndarray, titles: Sequence[str]) -> dict[str, float]:
    """Return the fraction of the pixels of each class that occurs in a class map, largest first."""
    counts = np.bincount(classes[classes != IGNORED], minlength=len(titles))
    order = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
    return {titles[index]: round(counts[index] / classes.size, 6) for index in order}


def describe_fractions(fractions: Mapping[str, float]) -> str:
    """Return the classes of an image as text, those with most pixels first."""
    listed = [f"{name} {fraction:.1%}" for name, fraction in fractions.items()]
    rest = f" and {len(listed) - MAX_LISTED} more" if len(listed) > MAX_LISTED else ""
    return ", ".join(listed[:MAX_LISTED]) + rest


def file_writer(model: Segmenter, options: PredictOptions) -> FileWriter | None:
    """Return what writes the mask and the picture of an image; None if neither is wanted."""
    if options.masks is None and options.pictures is None:
        return None
    masks = None if options.masks is None else PictureFolder(options.masks, "masks")
    pictures = (
        None if options.pictures is None else PictureFolder(options.pictures, "pictures", ".jpg")
    )
    names = label_titles(model)
    values = np.array(model.settings["values"])
    colors = np.zeros((values.max() + 1, 3), np.uint8)
    colors[values] = palette(len(names))

    def write(images: Images, index: int, classes: Any) -> None:
        if masks is not None:
            masks.save(indexed(values[classes], colors), images, index)
        if pictures is not None:
            pictures.save(draw_prediction(images.image(index), classes, names), images, index)

    return write
