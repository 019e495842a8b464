"""`--data`: digits, a folder of images, parquet shards, or any of timm's readers."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spectralvision.data import parquet
from spectralvision.data.datasets import ArrayImages, Data, FileImages, Images, Stream, Subset, hold_out
from spectralvision.data.images import images_below, is_image_file
from spectralvision.data.readers import open_reader
from spectralvision.data.synthetic import synthetic
from spectralvision.runs import UserError, require_extra

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
READERS = ("torch/", "hfds/", "hfids/", "wds/", "tfds/")


def open_data(spec: str, data_dir: str | None = None, num_classes: int | None = None) -> Data:
    """Opens a data set without decoding it.

    Args:
        spec: `digits`, `synthetic/COUNT`, a folder (ImageFolder layout or parquet shards), a parquet file, or a timm
            reader's name such as `torch/cifar10`.
        data_dir: timm's root for a reader: where its files are.
        num_classes: For streamed readers and made-up images, which do not say how many classes they have.

    Raises:
        UserError: Nothing of that kind is there, or it is empty.
    """
    if spec.startswith(READERS):
        kind, _, rest = spec.partition("/")
        if spec in ("torch/image_folder", "torch/folder"):
            return open_data(data_dir or ".")
        return open_reader(kind, rest, data_dir, num_classes)
    if not spec.strip():
        raise UserError("--data is empty: it takes a folder of images, one subfolder a class.")
    path = Path(spec).expanduser()
    if spec == "digits" and not path.exists():
        return digits()
    if spec.partition("/")[0] == "synthetic" and not path.exists():
        return synthetic(spec, num_classes)
    if path.is_file() and path.suffix == ".parquet":
        return _parquet(path.stem, [path], {path: _split_of(path.stem) or "all"})
    if path.is_file():
        raise UserError(f"{spec} is a file: --data takes a folder of images, parquet shards, digits or a timm reader.")
    if not path.is_dir():
        raise UserError(
            f"{spec} does not exist: --data takes a folder of images (one subfolder a class), parquet shards, "
            f"`digits`, or a timm reader ({', '.join(name + 'NAME' for name in READERS)})."
        )
    shards = sorted(path.rglob("*.parquet"))
    return _open_shards(path, shards) if shards else _open_folder(path)


def digits() -> Data:
    """scikit-learn's handwritten digits, 8x8 grey, cut once and for all into train, val and test (70/10/20)."""
    require_extra("train", "sklearn")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = ArrayImages(np.round(bunch.images * (255 / 16)).astype(np.uint8), bunch.target, "digits")
    test = hold_out(images, 0.2, seed=0)
    rest = Subset(images, np.flatnonzero(~test))
    val = hold_out(rest, 0.125, seed=1)
    splits: dict[str, Images | Stream] = {
        "train": Subset(rest, np.flatnonzero(~val)),
        "val": Subset(rest, np.flatnonzero(val)),
        "test": Subset(images, np.flatnonzero(test)),
    }
    return Data("digits", tuple(str(digit) for digit in range(10)), splits, hflip=0.0, photographs=False)


def _open_folder(path: Path) -> Data:
    folders = [folder for folder in _subfolders(path) if folder.name.lower() in SPLITS]
    roots = {SPLITS[folder.name.lower()]: folder for folder in folders}
    if len(roots) < len(folders):
        raise UserError(f"{path} holds the same split twice: {', '.join(folder.name for folder in folders)}.")
    if roots and len(folders) < len(_subfolders(path)):
        others = [folder.name for folder in _subfolders(path) if folder not in folders]
        raise UserError(f"{path} holds splits beside other folders ({', '.join(others[:5])}): move those elsewhere.")
    found = {split: _files_by_class(root) for split, root in (roots or {"all": path}).items()}
    first = next(split for split in ("train", "val", "test", "all") if split in found)
    classes = tuple(sorted(found[first]))
    number = {name: index for index, name in enumerate(classes)}
    splits: dict[str, Images | Stream] = {}
    for split in ("train", "val", "test", "all"):
        if split not in found:
            continue
        if unknown := sorted(set(found[split]) - set(classes)):
            raise UserError(f"{path} has the class {unknown[0]!r} in {split}, which {first} does not have.")
        pairs = [(file, number[name]) for name in sorted(found[split]) for file in found[split][name]]
        root = roots.get(split, path)
        splits[split] = FileImages(root, [file for file, _ in pairs], [label for _, label in pairs])
    return Data(path.resolve().name, classes, splits)


def _files_by_class(root: Path) -> dict[str, list[str]]:
    """Image files of each class folder, relative to `root`, at any depth below it."""
    classes = _subfolders(root)
    if not classes:
        loose = sum(is_image_file(file) for file in root.iterdir())
        what = f"{loose} image{'s' * (loose > 1)} but no class folders" if loose else "no images and no parquet shards"
        raise UserError(f"{root} holds {what}: put the images of each class into a folder named after it.")
    found = {folder.name: [file.relative_to(root).as_posix() for file in images_below(folder)] for folder in classes}
    if empty := [name for name, files in found.items() if not files]:
        raise UserError(f"{root / empty[0]} holds no image: add some, or remove the folder.")
    return found


def _open_shards(path: Path, shards: Sequence[Path]) -> Data:
    """Shards by the prefix of their own name or of the folder they are in."""
    split_of: dict[Path, str] = {}
    for shard in shards:
        names = (shard.name, *reversed(shard.relative_to(path).parent.parts))
        split_of[shard] = next((split for name in names if (split := _split_of(name))), "all")
    if "all" in split_of.values() and len(set(split_of.values())) > 1:
        stray = next(shard for shard, split in split_of.items() if split == "all")
        raise UserError(f"{stray} belongs to no split: names of shards should start with train, val or test.")
    return _parquet(path.resolve().name, shards, split_of)


def _parquet(name: str, shards: Sequence[Path], split_of: dict[Path, str]) -> Data:
    classes = parquet.class_names(shards)
    splits: dict[str, Images | Stream] = {}
    for split in ("train", "val", "test", "all"):
        files = [shard for shard in shards if split_of[shard] == split]
        if files:
            splits[split] = images = parquet.ParquetImages(files, classes)
            if not len(images):
                raise UserError(f"{files[0].parent} has no image in its {split} shards.")
    return Data(name, classes, splits)


def _split_of(name: str) -> str | None:
    """`train-00000-of-00002.parquet` -> train; None where the name says nothing."""
    match = re.match(r"train|val|test", name.lower())
    return match.group() if match else None


def _subfolders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
