"""Collect what the report of a detection run shows: precision, errors by image, and pictures."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_area, box_iou

from spectralvision.data.images import Images, spread_indices
from spectralvision.data.loaders import build_inference_loader, collate_lists
from spectralvision.data.objects import Objects
from spectralvision.data.samples import Samples
from spectralvision.data.splits import Data
from spectralvision.data.transforms import denormalize
from spectralvision.engine.infer import InferenceConfig, infer
from spectralvision.engine.model_io import architecture, data_config, label_titles
from spectralvision.report.svg import data_uri
from spectralvision.runs import UserError, read_json
from spectralvision.tasks.augmented_samples import draw_augmented
from spectralvision.tasks.detection.average_precision import AveragePrecision, Precision, to_boxes
from spectralvision.tasks.detection.config import DetectionAugmentation
from spectralvision.tasks.detection.data import ObjectCounts, count_objects, match_classes
from spectralvision.tasks.detection.detector import Detections, SizedImage
from spectralvision.tasks.detection.draw import draw_annotation, draw_objects, draw_sample
from spectralvision.tasks.detection.model import load_model
from spectralvision.tasks.detection.options import PredictOptions
from spectralvision.tasks.detection.transforms import EvalTransform, TrainTransform

MIN_SCORE = PredictOptions().min_score
"""Of objects in pictures and in the counts of errors, as in `predict`."""
MIN_IOU = 0.5
MAX_WORST, MAX_SAMPLES, MAX_AUGMENTED = 8, 6, 4
SIDE_PIXELS = 280
"""Longer side of the pictures."""


class ImageErrors(NamedTuple):
    """What is wrong in an image."""

    found: int
    missed: int
    false: int


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
    shown = [found.above(MIN_SCORE) for found, _ in metric.images]
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
        counts={split: count_objects(data, split) for split in ("train", "val")},
        images=record.get("data", {}).get("images", {"val": len(images)}),
        errors=errors,
        worst=[draw(int(index)) for index in worst[:MAX_WORST]],
        samples=[draw(index) for index in spread_indices(len(images), MAX_SAMPLES).tolist()],
        augmented=_augmented(data, model, record),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        images_per_second=len(images) / seconds,
    )


def count_errors(found: Detections, objects: Objects) -> ImageErrors:
    """Return how many objects are found, missed, and found where there are none.

    Detections are taken by score; each finds the object of its class that it overlaps most, with an
    IoU of at least 0.5. What lies on a crowd by half of its area is neither found nor false.
    """
    boxes = to_boxes(objects)
    overlaps = box_iou(found.boxes, boxes).numpy()
    same = found.labels.numpy()[:, None] == objects.labels[None]
    overlaps = np.where(same & (overlaps >= MIN_IOU), overlaps, 0.0)
    on_crowd = (same & objects.is_crowd & (_covered(found.boxes, boxes) >= MIN_IOU)).any(axis=1)
    is_free = ~objects.is_crowd
    hits = false = 0
    for row, is_ignored in zip(overlaps, on_crowd, strict=True):
        best = int((row * is_free).argmax()) if len(row) else 0
        if len(row) and row[best] * is_free[best] > 0:
            is_free[best] = False
            hits += 1
        elif not is_ignored:
            false += 1
    total = int((~objects.is_crowd).sum())
    return ImageErrors(hits, total - hits, false)


def _covered(boxes: Tensor, others: Tensor) -> np.ndarray:
    """Return (N, M), the fraction of the area of each box that each of others (M, 4) covers."""
    corners = torch.minimum(boxes[:, None, 2:], others[:, 2:])
    sides = (corners - torch.maximum(boxes[:, None, :2], others[:, :2])).clamp_min(0)
    covered: np.ndarray = (sides.prod(dim=-1) / box_area(boxes)[:, None].clamp_min(1e-9)).numpy()
    return covered


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
