"""Collect what the report of a classifier shows: predictions, thumbnails and augmented samples."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from spectralvision.data.augmentation import AugmentationConfig
from spectralvision.data.images import Images, Stream
from spectralvision.data.loaders import build_inference_loader
from spectralvision.data.samples import Samples
from spectralvision.data.splits import Data
from spectralvision.data.transforms import (
    ImageTransform,
    build_eval_transform,
    build_train_transform,
)
from spectralvision.engine.infer import InferenceConfig, infer
from spectralvision.engine.model_io import architecture, data_config, load_model
from spectralvision.report.svg import data_uri
from spectralvision.runs import UserError, read_json
from spectralvision.tasks.classification.model import match_classes
from spectralvision.tasks.classification.predict import ClassPredictor
from spectralvision.tasks.classification.statistics import ClassificationResults

MAX_MISTAKES = 24  # pictures
MAX_SAMPLES = 6  # training images
SAMPLE_EPOCHS = 2  # augmented variants of each


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
    probabilities = predict_probabilities(model, images, record)
    if not len(probabilities):
        raise UserError(f"{data.name} has no validation image: the report needs at least one.")
    seconds = time.monotonic() - start

    # 2. Collect labels, names and pictures
    labels, names = _labels_and_names(images)
    results = ClassificationResults(probabilities, labels)
    return ReportData(
        title=f"{data.name} · {architecture(model)}",
        classes=data.classes,
        results=results,
        names=names,
        images=record.get("data", {}).get("images", {"val": results.total}),
        train_counts=_train_counts(data),
        mistakes=_thumbnails(images, results.worst_mistakes(MAX_MISTAKES)),
        samples=_augmented_samples(data, model, record),
        mixed=_uses_mixup(record),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        images_per_second=results.total / seconds,
    )


def predict_probabilities(
    model: nn.Module, images: Images | Stream, record: Mapping[str, Any]
) -> np.ndarray:
    """Return (N, K) probabilities, computed with batch size, workers and device of the run."""
    settings = record.get("config", {})
    config = InferenceConfig(
        batch_size=settings.get("batch_size", 64),
        workers=settings.get("workers", "auto"),
        device=record.get("device", {}).get("accelerator", "auto"),
        precision=record.get("device", {}).get("precision", "auto"),
    )
    # A stream is read a second time for the labels, so its order must not depend on workers.
    workers = 0 if isinstance(images, Stream) else config.choose_workers(images)
    transform = ImageTransform(build_eval_transform(data_config(model)))
    loader = build_inference_loader(images, transform, config.batch_size, workers)
    found = []
    for batch, outputs in infer(ClassPredictor(model), loader, config, "Report", len(images)):
        if batch.failures:
            raise UserError(batch.failures[0][1])
        found.append(outputs.numpy())
    return np.concatenate(found) if found else np.empty((0, 0))


def _labels_and_names(images: Images | Stream) -> tuple[np.ndarray, Sequence[str]]:
    if isinstance(images, Images):
        return images.labels, [images.name(index) for index in range(len(images))]
    labels = np.array([label for _, label in images], dtype=np.int64)
    return labels, [f"image {number + 1}" for number in range(len(labels))]


def _train_counts(data: Data) -> np.ndarray | None:
    images = data.splits.get("train")
    if not isinstance(images, Images):
        return None
    return np.bincount(images.labels, minlength=len(data.classes))


def _uses_mixup(record: Mapping[str, Any]) -> bool:
    """Return whether any group of settings has mixup or CutMix on."""
    groups = [group for group in record.get("config", {}).values() if isinstance(group, Mapping)]
    return any(group.get(name) for group in groups for name in ("mixup", "cutmix"))


def _thumbnails(images: Images | Stream, indices: Sequence[int]) -> dict[int, str]:
    """Return thumbnails in the order of `indices`."""
    if isinstance(images, Images):
        return {index: data_uri(images.image(index)) for index in indices}
    wanted = set(indices)
    found = {index: data_uri(image) for index, (image, _) in enumerate(images) if index in wanted}
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
    places = np.linspace(0, len(by_class) - 1, num=min(MAX_SAMPLES, len(by_class)))
    found = []
    for index in by_class[places.astype(int)].tolist():
        uris = [data_uri(images.image(index))]
        for epoch in range(SAMPLE_EPOCHS):
            uris.append(data_uri(_denormalize(samples[epoch, index][0], config)))
        found.append((f"{data.classes[images.labels[index]]}: {images.name(index)}", uris))
    return found


def _denormalize(tensor: torch.Tensor, config: Mapping[str, Any]) -> Image.Image:
    """Return a normalized (3, H, W) tensor as an image."""
    mean = torch.tensor(config["mean"]).view(-1, 1, 1)
    std = torch.tensor(config["std"]).view(-1, 1, 1)
    pixels = ((tensor * std + mean).clamp(0, 1) * 255).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())
