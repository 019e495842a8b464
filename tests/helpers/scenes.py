"""Small pictures with known objects, and data sets of them on disk."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("square", "disc")
COLORS = ((210, 40, 40), (40, 190, 60))
BACKGROUND = (30, 40, 90)


def scene(number: int, size: tuple[int, int] = (48, 64)) -> tuple[Image.Image, list[Any]]:
    """Return an image of (H, W) pixels and its one to three objects: (label, (H, W) bool mask).

    Objects do not overlap. The picture is a function of the number.
    """
    rng = np.random.default_rng(number)
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    pixels = np.array(BACKGROUND) + rng.integers(-15, 15, (height, width, 3))
    objects = []
    for place in range(1 + number % 3):
        label = int(rng.integers(2))
        side = int(rng.integers(10, min(height, width // 3) - 2))
        top = int(rng.integers(0, height - side))
        left = place * width // 3 + int(rng.integers(0, width // 3 - side + 1))
        inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
        if label:
            middle = (side - 1) / 2
            inside &= np.hypot(rows - top - middle, columns - left - middle) <= side / 2
        pixels[inside] = np.array(COLORS[label]) + rng.integers(-15, 15, (int(inside.sum()), 3))
        objects.append((label, inside))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), objects


def box_of(mask: np.ndarray) -> list[int]:
    """Return x1, y1, x2, y2 of a mask; the last ones are outside of it."""
    rows, columns = np.nonzero(mask)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """Return COCO's uncompressed run lengths of a mask: down the columns, zeros first."""
    flat = mask.flatten(order="F").astype(np.int8)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges.tolist(), len(flat)]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def coco_annotations(
    numbers: range, size: tuple[int, int] = (48, 64), masks: bool = True
) -> dict[str, Any]:
    """Return the COCO annotations of some scenes; categories are 3 and 7."""
    images, annotations = [], []
    for number in numbers:
        file = f"{number:03d}.png"
        entry = {"id": number + 100, "file_name": file, "height": size[0], "width": size[1]}
        images.append(entry)
        for label, mask in scene(number, size)[1]:
            x1, y1, x2, y2 = box_of(mask)
            one = {
                "id": len(annotations) + 1,
                "image_id": number + 100,
                "category_id": (3, 7)[label],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": int(mask.sum()),
                "iscrowd": 0,
            }
            annotations.append(one | ({"segmentation": run_lengths(mask)} if masks else {}))
    categories = [{"id": 3, "name": CLASSES[0]}, {"id": 7, "name": CLASSES[1]}]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco_folder(
    root: Path,
    train: int = 8,
    val: int = 4,
    size: tuple[int, int] = (48, 64),
    masks: bool = True,
) -> Path:
    """Write images/ and annotations/instances_{train,val}.json, and return the root."""
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    for split, numbers in (("train", range(train)), ("val", range(train, train + val))):
        for number in numbers:
            scene(number, size)[0].save(root / "images" / f"{number:03d}.png")
        content = coco_annotations(numbers, size, masks)
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def class_map(number: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Return the (H, W) uint8 classes of a scene: 0 is background, then squares and discs."""
    classes = np.zeros(size, np.uint8)
    for label, mask in scene(number, size)[1]:
        classes[mask] = 1 + label
    return classes


def mask_folder(root: Path, train: int = 8, val: int = 4, size: tuple[int, int] = (48, 64)) -> Path:
    """Write {train,val}/images and {train,val}/masks with classes.json, and return the root."""
    for split, numbers in (("train", range(train)), ("val", range(train, train + val))):
        (root / split / "images").mkdir(parents=True)
        (root / split / "masks").mkdir()
        for number in numbers:
            scene(number, size)[0].save(root / split / "images" / f"{number:03d}.png")
            mask = Image.fromarray(class_map(number, size))
            mask.save(root / split / "masks" / f"{number:03d}.png")
    names = {"names": ["background", *CLASSES], "ignore_index": 255}
    (root / "classes.json").write_text(json.dumps(names))
    return root
