"""Collect what the report of a segmentation run shows: counts of pixels, and pictures."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

from spectralvision.data.images import Images, Subset, spread_indices
from spectralvision.data.loaders import build_inference_loader, collate_lists
from spectralvision.data.samples import Samples
from spectralvision.data.splits import Data
from spectralvision.data.transforms import denormalize
from spectralvision.engine.infer import InferenceConfig, infer
from spectralvision.engine.model_io import architecture, data_config, label_titles
from spectralvision.report.svg import data_uri
from spectralvision.runs import UserError, read_json
from spectralvision.tasks.augmented_samples import draw_augmented
from spectralvision.tasks.segmentation.config import AugmentationConfig
from spectralvision.tasks.segmentation.data import match_classes
from spectralvision.tasks.segmentation.drawing import overlay
from spectralvision.tasks.segmentation.metrics import ConfusionMetrics, class_metrics
from spectralvision.tasks.segmentation.model import load_model
from spectralvision.tasks.segmentation.options import ViewOptions
from spectralvision.tasks.segmentation.predict import MapPredictor
from spectralvision.tasks.segmentation.transforms import EvalTransform, TrainTransform

MAX_WORST = 8
MAX_SAMPLES = 4
MAX_AUGMENTED = 4
SIDE_PIXELS = 240
"""Longer side of the pictures."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A validation image with its class maps drawn over it, as `data:` URIs."""

    name: str
    image: str
    truth: str
    predicted: str
    miou: float


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What the report is made of. N validation images, K classes.

    Attributes:
        title: Heading of the page.
        classes: K names.
        confusion: (K, K) pixels of the validation images; rows are true classes.
        image_mious: (N,) mean IoU of each image, over the classes that occur in it; NaN where all
            pixels are ignored.
        image_pixels: (N, K) annotated pixels of each class in each image.
        train_pixels: (K,) pixels of each class in train; None if unknown.
        images: Number of images by split.
        worst: The images of lowest mean IoU.
        samples: Images evenly spread over the split.
        augmented: Training images: name, and `data:` URIs of the original and of random crops.
        parameters: Of the model.
        images_per_second: Of the predictions, including start-up and reading.
    """

    title: str
    classes: Sequence[str]
    confusion: np.ndarray
    image_mious: np.ndarray
    image_pixels: np.ndarray
    train_pixels: np.ndarray | None
    images: Mapping[str, int]
    worst: Sequence[Picture]
    samples: Sequence[Picture]
    augmented: Sequence[tuple[str, Sequence[str]]]
    parameters: int
    images_per_second: float


def collect_report_data(run: Path, data: Data) -> ReportData:
    """Run the model of a run folder on the val split of `data` and collect what the report shows.

    Raises:
        UserError: There is no val split, or an image cannot be read.
    """
    start = time.monotonic()
    record = read_json(run / "run.json")

    # 1. Count the pixels of all validation images
    model = load_model(str(run))
    data = match_classes(data, label_titles(model), str(run))
    images = data.split("val")
    assert isinstance(images, Images), "masks are read by index"
    total = ConfusionMetrics(model.num_classes)
    mious, image_pixels = [], []
    for _, classes, truth in _predict(model, images, record):
        one = ConfusionMetrics(model.num_classes)
        one.update(classes, truth)
        total.confusion += one.confusion
        mious.append(float(class_metrics(one.confusion)[0].nanmean()))
        image_pixels.append(one.confusion.sum(dim=1).numpy())
    seconds = time.monotonic() - start

    # 2. Draw some of them
    order = np.argsort(np.nan_to_num(mious, nan=2.0), kind="stable")
    worst = order[:MAX_WORST].tolist()
    spread = spread_indices(len(images), MAX_SAMPLES).tolist()
    drawn = _draw(model, images, sorted({*worst, *spread}), mious, record)
    return ReportData(
        title=f"{data.name} · {architecture(model)} + {model.settings['decoder']}",
        classes=data.classes,
        confusion=total.confusion.numpy(),
        image_mious=np.array(mious),
        image_pixels=np.stack(image_pixels),
        train_pixels=_train_pixels(record, len(data.classes)),
        images=record.get("data", {}).get("images", {"val": len(images)}),
        worst=[drawn[index] for index in worst],
        samples=[drawn[index] for index in spread],
        augmented=_augmented(data, model, record),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        images_per_second=len(images) / seconds,
    )


def _predict(
    model: Any, images: Images, record: Mapping[str, Any]
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield index, predicted and true classes of each image."""
    config = InferenceConfig.from_record(record)
    transform = EvalTransform(model.settings["short_side"], data_config(model))
    loader = build_inference_loader(
        images, transform, config.batch_size, config.choose_workers(images), collate=collate_lists
    )
    module: nn.Module = MapPredictor(model, ViewOptions())
    for batch, outputs in infer(module, loader, config, "Report", len(images)):
        if batch.failures:
            raise UserError(batch.failures[0][1])
        for row, classes, truth in zip(batch.rows, outputs, batch.targets, strict=True):
            yield row, classes.long(), truth.cpu()


def _draw(
    model: Any,
    images: Images,
    indices: Sequence[int],
    mious: Sequence[float],
    record: Mapping[str, Any],
) -> dict[int, Picture]:
    """Return the pictures of some images by their index."""
    found = {}
    names = label_titles(model)
    for row, classes, truth in _predict(model, Subset(images, indices), record):
        index = indices[row]
        image = images.image(index)
        found[index] = Picture(
            name=images.name(index),
            image=data_uri(image, SIDE_PIXELS),
            truth=data_uri(overlay(image, truth.numpy(), names), SIDE_PIXELS),
            predicted=data_uri(overlay(image, classes.numpy(), names), SIDE_PIXELS),
            miou=mious[index],
        )
    return found


def _train_pixels(record: Mapping[str, Any], number: int) -> np.ndarray | None:
    pixels = record.get("data", {}).get("train_pixels")
    return np.array(pixels[:number]) if pixels else None


def _augmented(data: Data, model: Any, record: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return training images: originals, and as the first epochs saw them."""
    images, settings = data.splits.get("train"), record.get("config", {})
    if not isinstance(images, Images) or "augmentation" not in settings:
        return []
    config = data_config(model)
    transform = TrainTransform(
        AugmentationConfig(**settings["augmentation"]),
        int(settings["input_size"]),
        model.settings["short_side"],
        config,
    )

    def draw(pixels: Tensor, classes: Tensor) -> Image.Image:
        return overlay(denormalize(pixels, config), classes.numpy(), label_titles(model))

    samples = Samples(images, transform, int(settings.get("seed", 0)))
    indices = spread_indices(len(images), MAX_AUGMENTED).tolist()
    pictures = draw_augmented(samples, indices, draw, SIDE_PIXELS)
    return list(zip(map(images.name, indices), pictures, strict=True))
