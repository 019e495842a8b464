"""Open a data set: digits, a folder of images, parquet shards, or a timm reader."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spectralvision.data import parquet
from spectralvision.data.find_images import is_image_file, scan_folder, subfolders
from spectralvision.data.image_formats import describe_left_out, unreadable_suffixes
from spectralvision.data.images import ArrayImages, FileImages, Images, Stream, Subset
from spectralvision.data.splits import Data, hold_out
from spectralvision.data.synthetic import open_synthetic
from spectralvision.data.timm_readers import open_reader
from spectralvision.runs import UserError, require_extra

SPLITS = ("train", "val", "test", "all")
SPLIT_OF_FOLDER = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
READER_PREFIXES = ("torch/", "hfds/", "hfids/", "wds/", "tfds/")


def open_data(spec: str, data_dir: str | None = None, num_classes: int | None = None) -> Data:
    """Open a data set without decoding its images.

    Args:
        spec: `digits`, `synthetic/COUNT`, a folder (ImageFolder layout or parquet shards), a
            parquet file, or the name of a timm reader such as `torch/cifar10`.
        data_dir: Root folder of a timm reader: where its files are.
        num_classes: Number of classes, for streams and synthetic images, which do not state it.

    Raises:
        UserError: The data set does not exist, is empty, or has another layout.
    """
    # 1. Names of data sets
    if spec.startswith(READER_PREFIXES):
        kind, _, name = spec.partition("/")
        if spec in ("torch/image_folder", "torch/folder"):
            return open_data(data_dir or ".")
        return open_reader(kind, name, data_dir, num_classes)
    if not spec.strip():
        raise UserError("--data is empty: give a folder of images with one subfolder per class.")
    path = Path(spec).expanduser()
    if spec == "digits" and not path.exists():
        return open_digits()
    if spec.partition("/")[0] == "synthetic" and not path.exists():
        return open_synthetic(spec, num_classes)

    # 2. Files and folders
    if path.is_file() and path.suffix == ".parquet":
        return _open_parquet(path.stem, [path], {path: _split_of_name(path.stem) or "all"})
    if path.is_file():
        raise UserError(
            f"{spec} is a file: --data takes a folder of images, parquet shards, digits or a timm "
            "reader."
        )
    if not path.is_dir():
        readers = ", ".join(prefix + "NAME" for prefix in READER_PREFIXES)
        raise UserError(
            f"{spec} does not exist: --data takes a folder of images (one subfolder per class), "
            f"parquet shards, `digits`, or a timm reader ({readers})."
        )
    shards = sorted(path.rglob("*.parquet"))
    return _open_shards(path, shards) if shards else _open_folder(path)


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
    # 1. Find the class folders of each split
    roots = _split_folders(path)
    left_out: Counter[str] = Counter()
    files = {split: _files_by_class(root, left_out) for split, root in roots.items()}
    first = next(split for split in SPLITS if split in files)
    classes = tuple(sorted(files[first]))
    label_of = {name: label for label, name in enumerate(classes)}

    # 2. Label the files, with the classes of the first split
    splits: dict[str, Images | Stream] = {}
    for split in SPLITS:
        if split not in files:
            continue
        if unknown := sorted(set(files[split]) - set(classes)):
            raise UserError(
                f"{path} has the class {unknown[0]!r} in {split}, but not in {first}: "
                "add it there, or remove it."
            )
        names: list[str] = []
        labels: list[int] = []
        for class_name in sorted(files[split]):
            names += files[split][class_name]
            labels += [label_of[class_name]] * len(files[split][class_name])
        splits[split] = FileImages(roots[split], names, labels)
    facts = {"left_out": dict(left_out)} if left_out else {}
    return Data(path.resolve().name, classes, splits, facts=facts)


def _split_folders(path: Path) -> dict[str, Path]:
    """Return the folder of each split, or `path` itself as `all`."""
    all_folders = subfolders(path)
    folders = [folder for folder in all_folders if folder.name.lower() in SPLIT_OF_FOLDER]
    if not folders:
        return {"all": path}
    roots = {SPLIT_OF_FOLDER[folder.name.lower()]: folder for folder in folders}
    if len(roots) < len(folders):
        names = ", ".join(folder.name for folder in folders)
        raise UserError(f"{path} has the same split twice ({names}): keep one of them.")
    others = [folder.name for folder in all_folders if folder not in folders]
    if others:
        raise UserError(
            f"{path} has other folders beside its splits ({', '.join(others[:5])}): "
            "move them elsewhere."
        )
    return roots


def _files_by_class(root: Path, left_out: Counter[str]) -> dict[str, list[str]]:
    """Return the image files of each class, as paths relative to `root`; count what is left out.

    Class names are in Unicode's composed form (NFC), in which they may differ from their folders.
    """
    class_folders = subfolders(root)
    if not class_folders:
        raise UserError(
            f"{root} contains {_describe_loose_files(root)}: put the images of each class into a "
            "folder named after it."
        )
    files: dict[str, list[str]] = {}
    for folder in class_folders:
        found = scan_folder(folder, others=class_folders)
        left_out.update(found.left_out)
        names = files.setdefault(unicodedata.normalize("NFC", folder.name), [])
        names += [f"{folder.name}/{name}" for name in found.images]
        if not names:
            rest = f" ({describe_left_out(found.left_out)})" if found.left_out else ""
            raise UserError(f"{folder} contains no images{rest}: add some, or remove the folder.")
    return files


def _describe_loose_files(root: Path) -> str:
    """Return which images a folder has itself, in words."""
    files = list(root.iterdir())
    loose = sum(map(is_image_file, files))
    suffixes = (path.suffix.lower() for path in files)
    left_out = Counter(suffix for suffix in suffixes if suffix in unreadable_suffixes())
    what = "no images and no parquet shards"
    if loose:
        what = f"{loose} image{'s' * (loose > 1)} but no class folders"
    return f"{what} ({describe_left_out(left_out)})" if left_out else what


def _open_shards(path: Path, shards: Sequence[Path]) -> Data:
    """Open shards; the split is the prefix of their name, or of that of a parent folder."""
    split_of: dict[Path, str] = {}
    for shard in shards:
        names = (shard.name, *reversed(shard.relative_to(path).parent.parts))
        split_of[shard] = next((split for name in names if (split := _split_of_name(name))), "all")
    if "all" in split_of.values() and len(set(split_of.values())) > 1:
        stray = next(shard for shard, split in split_of.items() if split == "all")
        raise UserError(
            f"{stray} belongs to no split: names of shards should start with train, val or test."
        )
    return _open_parquet(path.resolve().name, shards, split_of)


def _open_parquet(name: str, shards: Sequence[Path], split_of: dict[Path, str]) -> Data:
    classes = parquet.class_names(shards)
    splits: dict[str, Images | Stream] = {}
    for split in SPLITS:
        files = [shard for shard in shards if split_of[shard] == split]
        if not files:
            continue
        images = parquet.ParquetImages(files, classes)
        if not len(images):
            raise UserError(f"{files[0].parent} has no image in its {split} shards: add some.")
        splits[split] = images
    return Data(name, classes, splits)


def _split_of_name(name: str) -> str | None:
    """Return the split that a name starts with (`train-00000-of-00002.parquet`: train), or None."""
    match = re.match(r"train|val|test", name.lower())
    return match.group() if match else None
