"""Open a data set in shards: parquet files, or what `save_to_disk` of `datasets` writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spectralvision.data.images import Images, Stream
from spectralvision.data.shard_columns import (
    Columns,
    find_image_column,
    find_label_column,
    stored_class_names,
)
from spectralvision.data.shard_files import read_schema
from spectralvision.data.shard_images import ShardImages
from spectralvision.data.shard_labels import class_names, number_labels, read_labels
from spectralvision.data.split_names import group_by_split
from spectralvision.data.splits import Data
from spectralvision.runs import UserError


def open_shards(path: Path, shards: Sequence[Path], columns: Columns) -> Data:
    """Open the shards of a folder, or a single one.

    A split without labels (all are null or -1, as in Hugging Face's ImageNet) is left out and
    recorded in `Data.facts`.

    Raises:
        UserError: Names that leave a split open, columns or labels that cannot be used, or a file
            that cannot be read.
    """
    root = path if path.is_dir() else path.parent
    name = path.resolve().name if path.is_dir() else path.stem
    groups = group_by_split(root, shards)

    # 1. Find the columns and the classes
    schemas = {shard: read_schema(shard) for files in groups.values() for shard in files}
    image, label = _find_columns(schemas, columns)
    stored = {shard: read_labels(shard, label) for shard in shards}
    classes = _stored_names(schemas, label) or class_names(list(stored.values()), name)

    # 2. Number the labels, and leave out splits without any
    labels = {
        split: np.concatenate([number_labels(stored[file], classes, str(file)) for file in files])
        for split, files in groups.items()
    }
    unlabeled = _find_unlabeled(name, labels)

    # 3. Read the images
    splits: dict[str, Images | Stream] = {
        split: ShardImages(files, image, labels[split])
        for split, files in groups.items()
        if split not in unlabeled
    }
    facts: dict[str, Any] = {"columns": {"image": image, "label": label}}
    if unlabeled:
        facts["unlabeled"] = unlabeled
    return Data(name, classes, splits, facts=facts)


def _find_columns(schemas: Mapping[Path, Any], columns: Columns) -> tuple[str, str]:
    """Return the columns of images and of labels in the first shard; check those of the others."""
    first, schema = next(iter(schemas.items()))
    image = find_image_column(schema, columns, first)
    for shard in schemas:
        find_image_column(schemas[shard], Columns(image), shard)
    return image, find_label_column(schema, columns, first)


def _stored_names(schemas: Mapping[Path, Any], label: str) -> tuple[str, ...] | None:
    """Return the class names that shards store, which are the same in all that store some."""
    first: tuple[Path, tuple[str, ...]] | None = None
    for shard, schema in schemas.items():
        names = stored_class_names(schema, label, shard)
        if names is None:
            continue
        if first is not None and first[1] != names:
            raise UserError(
                f"{first[0]} and {shard} store different class names: open them one by one."
            )
        first = first or (shard, names)
    return first[1] if first else None


def _find_unlabeled(name: str, labels: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Return the number of images of each split that has no labels at all.

    Raises:
        UserError: A split is empty, has some labels, or is needed for training.
    """
    unlabeled: dict[str, int] = {}
    for split, values in labels.items():
        missing = int((values < 0).sum())
        if not len(values):
            raise UserError(f"{name} has no image in its {split} shards: add some.")
        if not missing:
            continue
        if missing < len(values):
            raise UserError(
                f"{name} has {missing} of {len(values)} images without a label in {split} (null, "
                "NaN or -1): label them, or remove these rows."
            )
        unlabeled[split] = missing
    if set(unlabeled) & {"train", "all"} or len(unlabeled) == len(labels):
        raise UserError(
            f"{name} has no labels in {next(iter(unlabeled))} (all are null, NaN or -1): add "
            "them, or name their column with --label-column."
        )
    return unlabeled
