"""Predictions of a detector: objects with class, score, box and mask; COCO's JSON; pictures."""

import json
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import numpy as np
from PIL import Image
from torch import nn

from spectralvision.data.images import Images
from spectralvision.engine.indexed_images import indexed, palette
from spectralvision.engine.model_io import label_titles
from spectralvision.engine.picture_files import PictureFolder
from spectralvision.runs import Auto, UserError, require_extra
from spectralvision.tasks.base import FileWriter, Row
from spectralvision.tasks.detection.data import describe_counts
from spectralvision.tasks.detection.detector import Detections, Detector, decode_mask
from spectralvision.tasks.detection.draw import draw_objects
from spectralvision.tasks.detection.options import PredictOptions

COLUMNS = ["objects", "score"]
Records = Callable[[], Iterable[dict[str, Any]]]


class ObjectPredictor(nn.Module):
    """Sized images -> for each the detections of at least some score."""

    def __init__(self, model: Detector, min_score: float | Auto) -> None:
        super().__init__()
        min_score = float(model.min_score) if min_score == "auto" else min_score
        model.lower_min_score(min_score)
        self.model, self.min_score = model, min_score

    def forward(self, images: Any) -> list[Detections]:
        return [found.above(self.min_score) for found in self.model(images)]


def check_options(model: Detector, options: PredictOptions) -> None:
    """Raise `UserError` for options that cannot work."""
    options.check()
    if options.masks is not None and not model.has_masks:
        raise UserError(
            f"--masks needs a model with instance masks (mask_rcnn), but this one is "
            f"{model.head_name}: leave --masks out."
        )
    if options.pictures is not None:
        require_extra("dense", "supervision")


def build_rows(model: Detector, outputs: list[Detections]) -> list[Row]:
    """Return a row for each image: its objects as text, the highest score, and the boxes."""
    titles = label_titles(model)
    rows = []
    for found in outputs:
        labels = found.labels.tolist()
        scores = [round(score, 6) for score in found.scores.tolist()]
        counts = np.bincount(labels, minlength=len(titles)).tolist()
        objects = _to_records(found, titles, scores)
        boxes = [{key: one[key] for key in ("class", "score", "box")} for one in objects]
        cells = [describe_counts(counts, titles), scores[0] if scores else None, json.dumps(boxes)]
        rows.append(Row({"size": list(found.size), "objects": objects}, cells, found))
    return rows


def write_coco(records: Records, model: Detector, file: TextIO) -> None:
    """Write COCO's format: images, annotations with scores, and categories, a line each.

    `evaluate --data` and COCO's own tools read it. Images have the ids of the annotation file that
    they come from, else they are numbered from 1.
    """
    titles = label_titles(model)
    categories = [
        {"id": number, "name": title}
        for number, title in zip(model.categories, titles, strict=True)
    ]
    category_of = dict(zip(titles, model.categories, strict=True))
    file.write('{"images": ')
    _write_lines(_coco_images(records()), file)
    file.write(',\n"annotations": ')
    _write_lines(_coco_annotations(records(), category_of), file)
    file.write(f',\n"categories": {json.dumps(categories)}}}\n')


def file_writer(model: Detector, options: PredictOptions) -> FileWriter | None:
    """Return what writes the picture and the masks of an image; None if neither is wanted."""
    if options.masks is None and options.pictures is None:
        return None
    masks = None if options.masks is None else PictureFolder(options.masks, "masks")
    pictures = (
        None if options.pictures is None else PictureFolder(options.pictures, "pictures", ".jpg")
    )
    titles = label_titles(model)

    def write(images: Images, index: int, prediction: Detections) -> None:
        if masks is not None:
            masks.save(number_objects(prediction), images, index)
        if pictures is not None:
            pictures.save(draw_objects(images.image(index), prediction, titles), images, index)

    return write


def number_objects(found: Detections) -> Image.Image:
    """Return an image with the number of the object in each pixel.

    The object with the highest score has the number 1 and lies on top; 0 is none.
    """
    runs = found.masks or []
    numbers = np.zeros(found.size, np.int64)
    for place in reversed(range(len(runs))):
        numbers[decode_mask(runs[place])] = place + 1
    return indexed(numbers, np.concatenate([np.zeros((1, 3)), palette(len(runs))]))


def _to_records(found: Detections, titles: list[str], scores: list[float]) -> list[dict[str, Any]]:
    boxes = np.round(found.boxes.double().numpy(), 2).tolist()
    objects: list[dict[str, Any]] = [
        {"class": titles[label], "score": score, "box": box}
        for label, score, box in zip(found.labels.tolist(), scores, boxes, strict=True)
    ]
    for one, mask in zip(objects, found.masks or [], strict=False):
        one["mask"] = mask
    return objects


def _coco_images(records: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for number, record in enumerate(records, 1):
        height, width = record["size"]
        yield {
            "id": record.get("image_id", number),
            "file_name": record["image"],
            "height": height,
            "width": width,
        }


def _coco_annotations(
    records: Iterable[dict[str, Any]], category_of: dict[str, int]
) -> Iterable[dict[str, Any]]:
    number = 0
    for place, record in enumerate(records, 1):
        image_id = record.get("image_id", place)
        for one in record["objects"]:
            number += 1
            yield _coco_annotation(one, number, image_id, category_of[one["class"]])


def _coco_annotation(
    one: dict[str, Any], number: int, image_id: int, category: int
) -> dict[str, Any]:
    x1, y1, x2, y2 = one["box"]
    box = [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)]
    found = {
        "id": number,
        "image_id": image_id,
        "category_id": category,
        "bbox": box,
        "area": round(box[2] * box[3], 2),
        "iscrowd": 0,
        "score": one["score"],
    }
    if "mask" in one:
        from faster_coco_eval import mask as coco

        found |= {"segmentation": one["mask"], "area": int(coco.area(one["mask"]))}
    return found


def _write_lines(values: Iterable[dict[str, Any]], file: TextIO) -> None:
    """Write a JSON list, a value per line."""
    separator = "["
    for value in values:
        file.write(f"{separator}\n{json.dumps(value)}")
        separator = ","
    file.write("\n]" if separator == "," else "[]")
