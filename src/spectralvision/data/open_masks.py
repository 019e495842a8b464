"""Open a data set of images with a class for each pixel."""

import numpy as np

from spectralvision.data.images import FileImages, Images, Stream
from spectralvision.data.mask_classes import find_classes
from spectralvision.data.mask_layout import descend, find_layout
from spectralvision.data.mask_pairs import Layout
from spectralvision.data.mask_shards import open_mask_shards
from spectralvision.data.masks import MaskFiles, MaskImages
from spectralvision.data.object_maps import as_maps
from spectralvision.data.open_objects import describe_labelme, has_objects, open_objects
from spectralvision.data.shard_columns import Columns
from spectralvision.data.shard_files import find_shards
from spectralvision.data.splits import Data
from spectralvision.runs import UserError, expand_user

WHAT_IS_READ = (
    "a folder with images and masks (train/images, train/masks ..., or images and masks), Pascal "
    "VOC, ADE20K, Cityscapes, COCO annotations, or parquet shards with images and masks"
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
    layout = find_layout(root) if path.is_dir() else Layout({}, {})
    if not layout.pairs and has_objects(path):
        return as_maps(open_objects(spec))
    if not layout.pairs and path.is_dir() and (labelme := describe_labelme(path)):
        raise UserError(labelme)
    if not layout.pairs:
        raise UserError(f"{spec} has no folders of images and masks: --data takes {WHAT_IS_READ}.")
    masks = {split: MaskFiles(one.mask_root, one.masks) for split, one in layout.pairs.items()}
    folders = [root, path, *(one.mask_root for one in layout.pairs.values())]
    classes = find_classes(folders, list(masks.values()), str(root), layout.classes)
    splits: dict[str, Images | Stream] = {}
    for split, one in layout.pairs.items():
        images = FileImages(one.image_root, one.images, np.zeros(len(one.images), np.int64))
        splits[split] = MaskImages(images, masks[split], classes.values)
    return Data(path.resolve().name, classes.names, splits, facts=layout.facts())
