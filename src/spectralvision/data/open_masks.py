"""Open a data set of images with a class for each pixel."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spectralvision.data.class_lists import (
    ClassList,
    find_class_list,
    infer_classes,
    read_class_list,
)
from spectralvision.data.images import FileImages, Images, Stream
from spectralvision.data.mask_layout import VOC_SETS, Pairs, descend, find_pairs
from spectralvision.data.mask_shards import open_mask_shards
from spectralvision.data.masks import MaskFiles, MaskImages, MaskSource, Values
from spectralvision.data.object_maps import as_maps
from spectralvision.data.open_objects import has_objects, open_objects
from spectralvision.data.scan_masks import find_values
from spectralvision.data.shard_columns import Columns
from spectralvision.data.shard_files import find_shards
from spectralvision.data.splits import Data
from spectralvision.runs import UserError, expand_user

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
WHAT_IS_READ = (
    "a folder with images and masks (train/images, train/masks ..., or images and masks), Pascal "
    "VOC, ADE20K, COCO annotations, or parquet shards with images and masks"
)


def open_masks(spec: str, columns: Columns | None = None) -> Data:
    """Open a data set without decoding its images; masks are decoded if no file lists classes.

    Args:
        spec: A folder (see `mask_layout`), parquet shards with images and masks, or annotations of
            objects with masks (see `open_objects`).
        columns: Columns of the images and masks of shards.

    Raises:
        UserError: The data set does not exist, is empty, or has another layout.
    """
    # 1. Shards
    if not spec.strip():
        raise UserError(f"--data is empty: give {WHAT_IS_READ}.")
    path, columns = expand_user(spec), columns or Columns()
    shards = find_shards(path)
    if shards:
        return open_mask_shards(path, shards, columns)
    if columns.is_given():
        raise UserError(f"{spec} has no parquet shards: remove {columns.options()[0]}.")
    if not path.exists():
        raise UserError(f"{spec} does not exist: --data takes {WHAT_IS_READ}.")

    # 2. Folders of images and masks, or annotations of objects
    root = descend(path) if path.is_dir() else path
    pairs = find_pairs(root) if path.is_dir() else {}
    if not pairs and has_objects(path):
        return as_maps(open_objects(spec))
    if not pairs:
        raise UserError(f"{spec} has no folders of images and masks: --data takes {WHAT_IS_READ}.")
    masks = {split: MaskFiles(one.mask_root, one.masks) for split, one in pairs.items()}
    classes = _find_classes(root, list(masks.values()))
    splits: dict[str, Images | Stream] = {
        split: MaskImages(_images(one), masks[split], classes.values)
        for split, one in pairs.items()
    }
    return Data(path.resolve().name, classes.names, splits, facts=_facts(pairs))


def _images(pairs: Pairs) -> FileImages:
    return FileImages(pairs.image_root, pairs.images, np.zeros(len(pairs.images), np.int64))


def _find_classes(root: Path, masks: Sequence[MaskSource]) -> ClassList:
    """Return the classes: listed in a file, those of VOC, or numbered as the masks have them."""
    path = find_class_list(root)
    if path is not None:
        return read_class_list(path)
    if (root / VOC_SETS).is_dir():
        values = {number: number for number in range(len(VOC_CLASSES))}
        return ClassList(VOC_CLASSES, Values(values, {}))
    return infer_classes(find_values(masks), str(root))


def _facts(pairs: dict[str, Pairs]) -> dict[str, Any]:
    """Return what `run.json` records: images without masks, and masks without images."""
    facts = {}
    for what in ("without_mask", "without_image"):
        files = [f"{split}: {file}" for split, one in pairs.items() for file in getattr(one, what)]
        if files:
            facts[what] = {"number": len(files), "first": files[:5]}
    return facts
