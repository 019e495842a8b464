"""Collect what the report of a detection run shows: precision, errors by image, and pictures."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from spectralvision.data.images import Images, spread_indices
from spectralvision.data.loaders import build_inference_loader, collate_lists
from spectralvision.data.samples import Samples
from spectralvision.data.splits import Data
from spectralvision.data.transforms import denormalize
from spectralvision.engine.infer import InferenceConfig, infer
from spectralvision.engine.model_io import architecture, data_config, label_titles
from spectralvision.report.svg import data_uri
from spectralvision.runs import UserError, read_json
from spectralvision.tasks.augmented_samples import draw_augmented
from spectralvision.tasks.detection.average_precision import AveragePrecision, Precision
from spectralvision.tasks.detection.config import DetectionAugmentation
from spectralvision.tasks.detection.data import ObjectCounts, count_objects, match_classes
from spectralvision.tasks.detection.detector import SizedImage
from spectralvision.tasks.detection.draw import draw_annotation, draw_objects, draw_sample
from spectralvision.tasks.detection.image_errors import ImageErrors, count_errors
from spectralvision.tasks.detection.model import load_model
from spectralvision.tasks.detection.transforms import EvalTransform, TrainTransform

MAX_WORST, MAX_SAMPLES, MAX_AUGMENTED = 8, 6, 4
SIDE_PIXELS = 280
"""Longer side of the pictures."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A validation image with its objects, as `data:` URIs."""

    name: str
    truth: str
    predicted: str
    errors: ImageErrors


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What the report is made of. K classes.

    Attributes:
        title: Heading of the page.
        classes: K names.
        precision: Of boxes (key "") and of masks ("mask_").
        min_score: Of objects in pictures and in the counts of errors, as in `predict`.
        counts: What is annotated, by split.
        images: Number of images by split.
        errors: Of all validation images.
        worst: Images with the most errors.
        samples: Images evenly spread over the split.
        augmented: Training images: name, and `data:` URIs of the original and of random crops.
        parameters: Of the model.
        images_per_second: Of the predictions, including start-up and reading.
    """

    title: str
    classes: Sequence[str]
    precision: Mapping[str, Precision]
    min_score: float
    counts: Mapping[str, ObjectCounts]
    images: Mapping[str, int] = field(default_factory=dict)
    errors: Sequence[ImageErrors] = ()
    worst: Sequence[Picture] = ()
    samples: Sequence[Picture] = ()
    augmented: Sequence[tuple[str, Sequence[str]]] = ()
    parameters: int | None = None
    images_per_second: float | None = None


def collect_report_data(run: Path, data: Data) -> ReportData:
    """Run the model of a run folder on the val split of `data` and collect what the report shows.

    Raises:
        UserError: There is no val split, or an image cannot be read.
    """
    start = time.monotonic()
    record = read_json(run / "run.json")

    # 1. Predict the validation images
    model = load_model(str(run))
    data = match_classes(data, model, str(run))
    images = data.split("val")
    assert isinstance(images, Images)  # no reader of objects is a stream
    metric = _predict(model, images, record)
    seconds = time.monotonic() - start
    min_score = float(model.min_score)
    shown = [found.above(min_score) for found, _ in metric.images]
    targets = [objects for _, objects in metric.images]
    errors = [count_errors(*pair) for pair in zip(shown, targets, strict=True)]

    # 2. Draw some of them
    wrong = [one.missed + one.false for one in errors]
    worst = [index for index in np.argsort(-np.array(wrong), kind="stable") if wrong[index]]
    titles = label_titles(model)

    def draw(index: int) -> Picture:
        image = images.image(index)
        truth = draw_annotation(image, targets[index], titles, SIDE_PIXELS, with_names=False)
        predicted = draw_objects(image, shown[index], titles, SIDE_PIXELS, with_names=False)
        uris = (data_uri(truth, SIDE_PIXELS), data_uri(predicted, SIDE_PIXELS))
        return Picture(
            name=images.name(index), truth=uris[0], predicted=uris[1], errors=errors[index]
        )

    return ReportData(
        title=f"{data.name} · {architecture(model)} + {model.settings.detector}",
        classes=data.classes,
        precision=metric.details(),
        min_score=min_score,
        counts={split: count_objects(data, split) for split in ("train", "val")},
        images=record.get("data", {}).get("images", {"val": len(images)}),
        errors=errors,
        worst=[draw(int(index)) for index in worst[:MAX_WORST]],
        samples=[draw(index) for index in spread_indices(len(images), MAX_SAMPLES).tolist()],
        augmented=_augmented(data, model, record),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        images_per_second=len(images) / seconds,
    )


def _augmented(data: Data, model: Any, record: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return training images: originals, and as the first epochs saw them."""
    images, settings = data.splits.get("train"), record.get("config", {})
    if not isinstance(images, Images) or "augmentation" not in settings:
        return []
    config = data_config(model)
    augmentation = DetectionAugmentation(**settings["augmentation"])
    transform = TrainTransform(model.settings, config, augmentation, model.has_masks)

    def draw(sized: SizedImage, target: Mapping[str, Tensor]) -> Image.Image:
        return draw_sample(denormalize(sized.pixels, config), target, SIDE_PIXELS)

    samples = Samples(images, transform, int(settings.get("seed", 0)))
    indices = spread_indices(len(images), MAX_AUGMENTED).tolist()
    pictures = draw_augmented(samples, indices, draw, SIDE_PIXELS)
    return list(zip(map(images.name, indices), pictures, strict=True))


def _predict(model: Any, images: Images, record: Mapping[str, Any]) -> AveragePrecision:
    """Return the metric with the detections in all images."""
    config = InferenceConfig.from_record(record)
    loader = build_inference_loader(
        images,
        EvalTransform(model.settings, data_config(model)),
        config.batch_size,
        config.choose_workers(images),
        collate=collate_lists,
    )
    metric = AveragePrecision(model.has_masks)
    for batch, outputs in infer(model, loader, config, "Report", len(images)):
        if batch.failures:
            raise UserError(batch.failures[0][1])
        metric.update(outputs, batch.targets)
    return metric
