"""Collect what the report of a classifier shows: predictions, thumbnails and augmented samples."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

from spectralvision.analysis.class_activation import draw_activation_maps
from spectralvision.data.augmentation import AugmentationConfig
from spectralvision.data.images import Images, Stream, spread_indices
from spectralvision.data.loaders import build_inference_loader
from spectralvision.data.samples import Samples
from spectralvision.data.splits import Data
from spectralvision.data.transforms import (
    ImageTransform,
    build_eval_transform,
    build_train_transform,
    denormalize,
)
from spectralvision.engine.infer import InferenceConfig, infer
from spectralvision.engine.model_io import architecture, data_config, load_model
from spectralvision.report.svg import data_uri
from spectralvision.runs import UserError, read_json
from spectralvision.tasks.augmented_samples import draw_augmented
from spectralvision.tasks.classification.model import match_classes
from spectralvision.tasks.classification.predict import ClassPredictor
from spectralvision.tasks.classification.statistics import ClassificationResults

MAX_MISTAKES = 24  # pictures
MAX_SAMPLES = 6  # training images


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What the report of a classifier is made of. N validation images, K classes.

    Attributes:
        title: Heading of the page.
        classes: K names.
        results: Predictions on the validation images.
        names: N names of these images.
        images: Number of images by split.
        train_counts: (K,) training images of each class; None if unknown.
        mistakes: Thumbnails of the worst mistakes: index of the image -> `data:` URI.
        activation_maps: Of the predicted class of the first of them, likewise.
        activation_note: Why there are none, in a sentence.
        samples: Training images: (caption, `data:` URIs of the original and of augmented variants).
        mixed: Whether mixup or CutMix was used.
        parameters: Parameters of the model.
        images_per_second: Of the predictions, including start-up and reading.
    """

    title: str
    classes: Sequence[str]
    results: ClassificationResults
    names: Sequence[str]
    images: Mapping[str, int] = field(default_factory=dict)
    train_counts: np.ndarray | None = None
    mistakes: Mapping[int, str] = field(default_factory=dict)
    activation_maps: Mapping[int, str] = field(default_factory=dict)
    activation_note: str = ""
    samples: Sequence[tuple[str, Sequence[str]]] = ()
    mixed: bool = False
    parameters: int | None = None
    images_per_second: float | None = None


def collect_report_data(run: Path, data: Data) -> ReportData:
    """Run the model of a run folder on the val split of `data` and collect what the report shows.

    Raises:
        UserError: There is no val split, or it is empty.
    """
    start = time.monotonic()
    record = read_json(run / "run.json")

    # 1. Predict the validation images
    model = load_model(str(run))
    data = match_classes(data, model, str(run))
    images = data.split("val")
    results = predict_classes(model, images, record)
    seconds = time.monotonic() - start

    # 2. Collect names and pictures
    pictures = _pictures(images, results.worst_mistakes(MAX_MISTAKES), model)
    inputs = {index: pixels for index, (_, pixels) in pictures.items()}
    maps, note = draw_activation_maps(model, inputs, results.predicted)
    return ReportData(
        title=f"{data.name} · {architecture(model)}",
        classes=data.classes,
        results=results,
        names=_names(images, results.total),
        images=record.get("data", {}).get("images", {"val": results.total}),
        train_counts=_train_counts(data),
        mistakes={index: uri for index, (uri, _) in pictures.items()},
        activation_maps={index: data_uri(image) for index, image in maps.items()},
        activation_note=note,
        samples=_augmented_samples(data, model, record),
        mixed=_uses_mixup(record),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        images_per_second=results.total / seconds,
    )


def predict_classes(
    model: nn.Module, images: Images | Stream, record: Mapping[str, Any]
) -> ClassificationResults:
    """Return the predictions, computed with batch size, workers and device of the run.

    Raises:
        UserError: There is no image, or one cannot be read.
    """
    config = InferenceConfig.from_record(record)
    # A stream is read a second time for thumbnails, so its order must not depend on workers.
    workers = 0 if isinstance(images, Stream) else config.choose_workers(images)
    transform = ImageTransform(build_eval_transform(data_config(model)))
    loader = build_inference_loader(images, transform, config.batch_size, workers)
    found = []
    for batch, outputs in infer(ClassPredictor(model), loader, config, "Report", len(images)):
        if batch.failures:
            raise UserError(batch.failures[0][1])
        labels = batch.targets.cpu().numpy()
        found.append(ClassificationResults.from_probabilities(outputs.numpy(), labels))
    if not found:
        raise UserError("there is no validation image: the report needs at least one.")
    return ClassificationResults.concatenate(found)


def _names(images: Images | Stream, number: int) -> Sequence[str]:
    if isinstance(images, Images):
        return [images.name(index) for index in range(number)]
    return [f"image {index + 1}" for index in range(number)]


def _train_counts(data: Data) -> np.ndarray | None:
    images = data.splits.get("train")
    if not isinstance(images, Images):
        return None
    return np.bincount(images.labels, minlength=len(data.classes))


def _uses_mixup(record: Mapping[str, Any]) -> bool:
    """Return whether any group of settings has mixup or CutMix on."""
    groups = [group for group in record.get("config", {}).values() if isinstance(group, Mapping)]
    return any(group.get(name) for group in groups for name in ("mixup", "cutmix"))


def _pictures(
    images: Images | Stream, indices: Sequence[int], model: nn.Module
) -> dict[int, tuple[str, Tensor]]:
    """Return thumbnails, and the inputs of the model, in the order of `indices`."""
    transform = build_eval_transform(data_config(model))

    def convert(image: Image.Image) -> tuple[str, Tensor]:
        return data_uri(image), transform(image)

    if isinstance(images, Images):
        return {index: convert(images.image(index)) for index in indices}
    wanted = set(indices)
    found = {index: convert(image) for index, (image, _) in enumerate(images) if index in wanted}
    return {index: found[index] for index in indices}


def _augmented_samples(
    data: Data, model: nn.Module, record: Mapping[str, Any]
) -> list[tuple[str, list[str]]]:
    """Return training images of different classes: originals, and as the first epochs saw them."""
    images = data.splits.get("train")
    settings = record.get("config", {})
    if not isinstance(images, Images) or not len(images) or "augmentation" not in settings:
        return []

    # 1. The augmentation of the run
    known = {field.name for field in fields(AugmentationConfig)}
    values = {key: value for key, value in settings["augmentation"].items() if key in known}
    config = data_config(model)
    augmentation = AugmentationConfig(**values).resolve(data)
    transform = ImageTransform(build_train_transform(augmentation, config))
    samples = Samples(images, transform, int(settings.get("seed", 0)))

    # 2. Images evenly spaced over the classes
    by_class = np.argsort(images.labels, kind="stable")
    indices = by_class[spread_indices(len(by_class), MAX_SAMPLES)].tolist()
    names = [f"{data.classes[images.labels[index]]}: {images.name(index)}" for index in indices]

    def draw(pixels: Tensor, _: Any) -> Image.Image:
        return denormalize(pixels, config)

    return list(zip(names, draw_augmented(samples, indices, draw), strict=True))
