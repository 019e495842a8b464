"""Find objects in images."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from spectralvision.export.standalone.prepare_image import (
    name_outputs,
    open_image,
    prepare,
    read_config,
)


class Objects(NamedTuple):
    """N objects of an image, the highest score first."""

    boxes: np.ndarray
    """(N, 4): x1, y1, x2, y2 in pixels of the image."""
    labels: np.ndarray
    scores: np.ndarray


def detect(
    run: Callable[[np.ndarray], list[np.ndarray]], config: dict[str, Any], image: Image.Image
) -> Objects:
    """Return the objects of an image that have at least `min_score`."""
    pixels, (height, width) = prepare(image, config)
    boxes, scores = (one[0] for one in run(pixels[None]))  # (4, N), (K, N)
    limits = np.array([width, height] * 2, np.float32)
    boxes = np.clip(boxes.T, 0, limits)
    labels, places = np.nonzero(scores >= config["min_score"])
    order = np.argsort(-scores[labels, places], kind="stable")
    labels, places = labels[order], places[order]
    boxes, found = boxes[places], scores[labels, places]
    kept = suppress_overlaps(boxes, labels, config["max_overlap"])[: config["max_objects"]]
    size = np.array([image.width, image.height] * 2, np.float32)
    return Objects(boxes[kept] * size / limits, labels[kept], found[kept])


def suppress_overlaps(boxes: np.ndarray, labels: np.ndarray, max_overlap: float) -> list[int]:
    """Return the boxes that overlap no better one of their class by more than some IoU."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    for index, box in enumerate(boxes):
        rivals = [one for one in kept if labels[one] == labels[index]]
        top_left = np.maximum(box[:2], boxes[rivals, :2])
        bottom_right = np.minimum(box[2:], boxes[rivals, 2:])
        common = np.prod(np.clip(bottom_right - top_left, 0, None), axis=1)
        union = areas[index] + areas[rivals] - common
        if not (common > max_overlap * union).any():
            kept.append(index)
    return kept


def draw(image: Image.Image, objects: Objects, names: list[str]) -> Image.Image:
    """Return the image with boxes and names."""
    canvas = ImageDraw.Draw(image)
    for box, label, score in zip(*objects, strict=True):
        canvas.rectangle(box.tolist(), outline="red", width=2)
        canvas.text((box[0] + 4, box[1] + 2), f"{names[label]} {score:.2f}", fill="red")
    return image


def main(load: Callable[..., Callable[[np.ndarray], list[np.ndarray]]]) -> None:
    parser = argparse.ArgumentParser(description="Print the objects in images.")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--out", metavar="DIR", help="folder for pictures with boxes, IMAGE.png")
    parser.add_argument("--threads", type=int, help="number of CPU threads")
    options = parser.parse_args()
    folder = Path(__file__).resolve().parent
    config = read_config(folder)
    outputs: Sequence[Path | None] = [None] * len(options.images)
    if options.out:
        try:
            outputs = name_outputs(options.images, Path(options.out), ".png")
        except ValueError as error:
            parser.error(str(error))
    run = load(folder, options.threads)
    for path, output in zip(options.images, outputs, strict=True):
        image = open_image(path)
        objects = detect(run, config, image)
        for box, label, score in zip(*objects, strict=True):
            sides = " ".join(f"{side:.1f}" for side in box)
            print(f"{path}\t{config['labels'][label]}\t{score:.4f}\t{sides}")
        if output is not None:
            draw(image, objects, config["labels"]).save(output)
