"""Small detectors, and scenes with objects in memory."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from spectralvision.data.images import Images
from spectralvision.data.objects import ObjectImages, Objects
from spectralvision.data.splits import Data
from spectralvision.engine import model_io
from spectralvision.tasks.detection.detector import Detections, Detector, DetectorSettings
from tests.helpers.scenes import CLASSES, box_of, run_lengths, scene

KINDS = ("ssdlite", "retinanet", "fcos", "faster_rcnn", "mask_rcnn")
CATEGORIES = (3, 7)


class Scenes(Images):
    """Scenes by number."""

    def __init__(self, numbers: range, size: tuple[int, int] = (48, 64)) -> None:
        super().__init__(np.zeros(len(numbers), np.int64))
        self.numbers, self.size = numbers, size

    def image(self, index: int) -> Any:
        return scene(self.numbers[index], self.size)[0]

    def name(self, index: int) -> str:
        return f"{self.numbers[index]:03d}.png"


def objects_of(number: int, size: tuple[int, int] = (48, 64), masks: bool = True) -> Objects:
    """Return the objects of a scene."""
    found = scene(number, size)[1]
    return Objects(
        size,
        np.array([box_of(mask) for _, mask in found], np.float32).reshape(-1, 4),
        np.array([label for label, _ in found], np.int64),
        np.zeros(len(found), bool),
        np.array([mask.sum() for _, mask in found], np.float32),
        [run_lengths(mask) if masks else None for _, mask in found],
        number,
    )


def no_objects(size: tuple[int, int] = (48, 64)) -> Objects:
    """Return the objects of an image without any."""
    return objects_of(0, size)._replace(
        boxes=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int64),
        is_crowd=np.zeros(0, bool),
        areas=np.zeros(0, np.float32),
        segments=[],
    )


def annotated(boxes, labels, crowd=None) -> Objects:
    """Return objects with a box only, from lists."""
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return no_objects((400, 400))._replace(
        boxes=boxes,
        labels=np.array(labels, np.int64),
        is_crowd=np.array(crowd or [False] * len(boxes), bool),
        areas=areas,
        segments=[None] * len(boxes),
    )


def scene_images(numbers: range, masks: bool = True) -> ObjectImages:
    """Return scenes with their objects."""
    objects = [objects_of(number, masks=masks) for number in numbers]
    return ObjectImages(Scenes(numbers), objects, CATEGORIES)


def scene_data(train: int = 8, val: int = 4, masks: bool = True) -> Data:
    """Return scenes as a data set."""
    splits: dict[str, Any] = {
        "train": scene_images(range(train), masks),
        "val": scene_images(range(train, train + val), masks),
    }
    return Data("scenes", CLASSES, splits)


def tiny_detector(kind: str = "fcos", size: int = 64, network: str = "affnet_et", **values: Any):
    """Return an untrained detector of the classes of scenes."""
    torch.manual_seed(0)
    settings = DetectorSettings(
        detector=kind, num_classes=2, fpn_channels=64, input_size=size, max_size=2 * size
    )
    backbone = model_io.load_model(
        network, pretrained=False, features_only=True, num_classes=0, img_size=size
    )
    model = Detector(backbone, replace(settings, **values), CATEGORIES)
    model_io.describe(model, CLASSES, size)
    return model


def detections(boxes, labels, scores, size=(48, 64), masks=None) -> Detections:
    """Return detections from lists; masks are bool arrays."""
    runs = None
    if masks is not None:
        from faster_coco_eval import mask as coco

        runs = []
        for mask in masks:
            one = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
            runs.append({"size": list(one["size"]), "counts": one["counts"].decode()})
    return Detections(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(scores, dtype=torch.float32),
        runs,
        size,
    )
