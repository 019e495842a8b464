"""Open a data set: digits, images in a folder, archive or CSV, parquet shards, a timm reader."""

from pathlib import Path
from typing import Any

import numpy as np

from spectralvision.data.archive_formats import is_archive, name_of_archive
from spectralvision.data.archives import Archive, ArchiveImages
from spectralvision.data.images import ArrayImages, FileImages, Images, Stream, Subset
from spectralvision.data.label_files import find_label_file, open_label_file
from spectralvision.data.layout import FolderTree, Layout, find_layout
from spectralvision.data.open_objects import has_objects
from spectralvision.data.open_shards import open_shards
from spectralvision.data.shard_columns import Columns
from spectralvision.data.shard_files import find_shards
from spectralvision.data.splits import Data, hold_out
from spectralvision.data.synthetic import open_synthetic
from spectralvision.data.timm_readers import open_reader
from spectralvision.runs import UserError, expand_user, require_extra

READER_PREFIXES = ("torch/", "hfds/", "hfids/", "wds/", "tfds/")
WHAT_IS_READ = (
    "a folder of images (one subfolder per class), a .zip or .tar archive of one, a .csv of files "
    "and labels, parquet shards, `digits`, or a timm reader "
    f"({', '.join(prefix + 'NAME' for prefix in READER_PREFIXES)})"
)


def open_data(
    spec: str,
    data_dir: str | None = None,
    num_classes: int | None = None,
    columns: Columns | None = None,
) -> Data:
    """Open a data set without decoding its images.

    Args:
        spec: `digits`, `synthetic/COUNT`, a folder (ImageFolder layout, parquet shards, or what
            `save_to_disk` of Hugging Face's `datasets` writes), a zip or tar archive of such a
            folder of images, a CSV file with files and labels, a parquet file, or the name of a
            timm reader such as `torch/cifar10`.
        data_dir: Root folder of a timm reader: where its files are.
        num_classes: Number of classes, for streams and synthetic images, which do not state it.
        columns: Columns of the images and labels of shards.

    Raises:
        UserError: The data set does not exist, is empty, or has another layout.
    """
    # 1. Names of data sets
    if not spec.strip():
        raise UserError("--data is empty: give a folder of images with one subfolder per class.")
    path, columns = expand_user(spec), columns or Columns()
    shards = find_shards(path)
    if columns.is_given() and not shards:
        raise UserError(f"{spec} has no parquet shards: remove {columns.options()[0]}.")
    if spec.startswith(READER_PREFIXES):
        kind, _, name = spec.partition("/")
        if spec in ("torch/image_folder", "torch/folder"):
            return open_data(data_dir or ".")
        return open_reader(kind, name, data_dir, num_classes)
    if spec == "digits" and not path.exists():
        return open_digits()
    if spec.partition("/")[0] == "synthetic" and not path.exists():
        return open_synthetic(spec, num_classes)

    # 2. Files and folders
    if shards:
        return open_shards(path, shards, columns)
    if path.is_file() and is_archive(path):
        return _open_archive(path)
    if path.is_file() and path.suffix.lower() == ".csv":
        return _open_label_file(path.stem, path)
    if path.is_file():
        raise UserError(f"{spec} is a file of another kind: --data takes {WHAT_IS_READ}.")
    if not path.is_dir():
        raise UserError(f"{spec} does not exist: --data takes {WHAT_IS_READ}.")
    label_file = find_label_file(path)
    if label_file is not None:
        return _open_label_file(path.resolve().name, label_file)
    return _open_folder(path)


def open_digits() -> Data:
    """Return scikit-learn's digits, 8x8 gray, in fixed train, val and test splits (70/10/20 %)."""
    require_extra("train", "sklearn")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    images = ArrayImages(pixels, bunch.target, "digits")
    in_test = hold_out(images, 0.2, seed=0)
    rest = Subset(images, np.flatnonzero(~in_test))
    in_val = hold_out(rest, 0.125, seed=1)
    splits: dict[str, Images | Stream] = {
        "train": Subset(rest, np.flatnonzero(~in_val)),
        "val": Subset(rest, np.flatnonzero(in_val)),
        "test": Subset(images, np.flatnonzero(in_test)),
    }
    classes = tuple(str(digit) for digit in range(10))
    return Data("digits", classes, splits, hflip=0.0, photographs=False)


def _open_folder(path: Path) -> Data:
    try:
        layout = find_layout(FolderTree(path))
    except UserError:
        if not has_objects(path):
            raise
        raise UserError(
            f"{path} has annotations of objects: `spectralvision train detection` reads them."
        ) from None
    splits: dict[str, Images | Stream] = {
        split: FileImages(path / found.folder, found.files, found.labels)
        for split, found in layout.splits.items()
    }
    return Data(path.resolve().name, layout.classes, splits, facts=_facts(layout))


def _open_archive(path: Path) -> Data:
    archive = Archive(path)
    layout = find_layout(archive, archive.find_top())
    splits: dict[str, Images | Stream] = {
        split: ArchiveImages(archive, *found) for split, found in layout.splits.items()
    }
    return Data(name_of_archive(path), layout.classes, splits, facts=_facts(layout))


def _open_label_file(name: str, path: Path) -> Data:
    classes, images = open_label_file(path)
    splits: dict[str, Images | Stream] = {**images}
    return Data(name, classes, splits)


def _facts(layout: Layout) -> dict[str, Any]:
    return {"left_out": dict(layout.left_out)} if layout.left_out else {}
