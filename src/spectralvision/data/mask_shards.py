"""Open shards with a column of images and a column of masks, as on the Hugging Face Hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spectralvision.data.image_files import open_mask
from spectralvision.data.images import Images, Stream
from spectralvision.data.mask_classes import find_classes
from spectralvision.data.masks import MaskImages
from spectralvision.data.shard_columns import Columns, find_image_column, holds_images
from spectralvision.data.shard_files import count_rows, read_schema
from spectralvision.data.shard_images import ShardImages
from spectralvision.data.split_names import group_by_split
from spectralvision.data.splits import Data
from spectralvision.runs import UserError

MASK_NAMES = (
    "annotation", "mask", "label", "segmentation", "semantic_segmentation", "segmentation_mask",
    "annotations", "masks", "labels",
)  # fmt: skip


class ShardMasks:
    """The masks in a column of shards."""

    def __init__(self, images: ShardImages) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def mask(self, index: int) -> Image.Image:
        content = self.images.encoded(index)
        assert content is not None
        return open_mask(content, f"the mask of {self.name(index)}")

    def version(self, index: int) -> str:
        return self.name(index)

    def name(self, index: int) -> str:
        return self.images.name(index)


def open_mask_shards(path: Path, shards: Sequence[Path], columns: Columns) -> Data:
    """Open the shards of a folder, or a single one.

    Classes are listed in a file beside the shards (see `class_lists`), or numbered as the masks
    have them.

    Raises:
        UserError: Names that leave a split open, columns that cannot be used, or a file that cannot
            be read.
    """
    root = path if path.is_dir() else path.parent
    name = path.resolve().name if path.is_dir() else path.stem
    groups = group_by_split(root, shards)

    # 1. The columns, which all shards have
    first = next(iter(groups.values()))[0]
    image = find_image_column(read_schema(first), columns, first)
    mask = _find_mask_column(read_schema(first), columns, image, first)
    for shard in shards:
        for column in (image, mask):
            find_image_column(read_schema(shard), Columns(column), shard)

    # 2. The images and masks
    images = {split: _read(files, image) for split, files in groups.items()}
    masks = {split: ShardMasks(_read(files, mask)) for split, files in groups.items()}
    classes = find_classes([root], list(masks.values()), str(path))
    splits: dict[str, Images | Stream] = {
        split: MaskImages(images[split], masks[split], classes.values) for split in groups
    }
    facts: dict[str, Any] = {"columns": {"image": image, "label": mask}}
    return Data(name, classes.names, splits, facts=facts)


def _read(files: Sequence[Path], column: str) -> ShardImages:
    rows = sum(map(count_rows, files))
    return ShardImages(files, column, np.zeros(rows, np.int64))


def _find_mask_column(schema: Any, columns: Columns, image: str, file: Path) -> str:
    """Return the column of masks: named, that of the run, with a usual name, or the only other.

    Raises:
        UserError: There is none, or several.
    """
    others = [field.name for field in schema if field.name != image and holds_images(field.type)]
    wanted = columns.label
    if wanted is not None:
        if wanted not in others:
            raise UserError(
                f"{file} has no column {wanted!r} of masks for --label-column: its columns are "
                f"{', '.join(schema.names)}."
            )
        return wanted
    preferred = [name for name in (columns.run.get("label"), *MASK_NAMES) if name in others]
    found = [str(name) for name in preferred[:1] or others]
    if len(found) != 1:
        what = f"several ({', '.join(found)})" if found else "none"
        raise UserError(
            f"{file} should have one column of masks beside {image!r}, but has {what}: name it "
            "with --label-column."
        )
    return found[0]
