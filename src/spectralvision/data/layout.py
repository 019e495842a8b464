"""The layout of a data set of image files: split folders, class folders, and their labels.

It is found by names, so that folders and archives share it.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from spectralvision.data.find_images import FolderFiles, is_image_file, scan_folder, subfolders
from spectralvision.data.image_formats import describe_left_out, unreadable_suffixes
from spectralvision.data.mask_pairs import IMAGE_FOLDERS, MASK_FOLDERS
from spectralvision.data.names import normalize_name
from spectralvision.data.split_names import (
    SPLIT_OF_WORD,
    SPLITS,
    find_split_word,
    require_distinct_splits,
)
from spectralvision.runs import UserError

DENSE_FOLDERS = {*IMAGE_FOLDERS, *MASK_FOLDERS}
"""Of images and of their annotations, which are no classes."""


class Tree(Protocol):
    """Folders and files by name: a folder on disk, or an archive.

    Names are relative to the root; `""` is the root, and other folders end in `/`.
    """

    empty_description: str
    """What a tree without any images is said to contain."""

    def locate(self, name: str) -> str:
        """Return where a folder is, for messages."""

    def subfolders(self, below: str) -> list[str]:
        """Return the names, without `/`, of the folders in a folder, sorted."""

    def files(self, below: str) -> Iterator[str]:
        """Yield the names of the files in a folder itself."""

    def scan(self, folders: Sequence[str]) -> Iterator[FolderFiles]:
        """Yield the image files of each folder, at any depth, without those of the others."""


class FolderTree:
    """A folder on disk."""

    empty_description = "no images and no parquet shards"

    def __init__(self, root: Path) -> None:
        self.root = root

    def locate(self, name: str) -> str:
        return str(self.root / name)

    def subfolders(self, below: str) -> list[str]:
        return [folder.name for folder in subfolders(self.root / below)]

    def files(self, below: str) -> Iterator[str]:
        return (path.name for path in (self.root / below).iterdir())

    def scan(self, folders: Sequence[str]) -> Iterator[FolderFiles]:
        real = {os.path.realpath(self.root / folder) for folder in folders}
        return (scan_folder(self.root / folder, others=real) for folder in folders)


class LabeledFiles(NamedTuple):
    """The image files of a split."""

    folder: str
    """The folder of the split, which ends in `/`, or "" for the root."""
    files: list[str]
    """Relative to `folder`, class by class."""
    labels: list[int]


class Layout(NamedTuple):
    """The classes and splits that a tree has."""

    classes: tuple[str, ...]
    splits: dict[str, LabeledFiles]
    left_out: Counter[str]
    """Suffix -> number of pictures and videos in formats that are not read."""


def find_layout(tree: Tree, top: str = "") -> Layout:
    """Return the layout of a tree: class folders, in train, val and test as far as they exist.

    Args:
        tree: Where to look.
        top: The folder in it that has the class folders or splits.

    Raises:
        UserError: There are no class folders, no images in one, or the splits do not match.
    """
    folders = _split_folders(tree, top)
    left_out: Counter[str] = Counter()
    files = {split: _files_by_class(tree, folder, left_out) for split, folder in folders.items()}
    classes, labels = number_classes(files, tree.locate(top))
    splits = {split: LabeledFiles(folders[split], *labels[split]) for split in labels}
    return Layout(classes, splits, left_out)


def number_classes(
    files: Mapping[str, Mapping[str, Sequence[str]]], source: str
) -> tuple[tuple[str, ...], dict[str, tuple[list[str], list[int]]]]:
    """Return the sorted classes of the first split, and files and labels of each split.

    Args:
        files: Split -> class name -> files.
        source: What has them, for the message.

    Raises:
        UserError: A split has a class that the first one does not have.
    """
    splits = [split for split in SPLITS if split in files]
    classes = tuple(sorted(files[splits[0]]))
    label_of = {name: label for label, name in enumerate(classes)}
    labeled: dict[str, tuple[list[str], list[int]]] = {}
    for split in splits:
        if unknown := sorted(files[split].keys() - label_of):
            raise UserError(
                f"{source} has the class {unknown[0]!r} in {split}, but not in {splits[0]}: "
                "add it there, or remove it."
            )
        names: list[str] = []
        labels: list[int] = []
        for class_name in sorted(files[split]):
            names += files[split][class_name]
            labels += [label_of[class_name]] * len(files[split][class_name])
        labeled[split] = (names, labels)
    return classes, labeled


def _split_folders(tree: Tree, top: str) -> dict[str, str]:
    """Return the folder of each split, or `top` itself as `all`."""
    all_folders = tree.subfolders(top)
    folders = {name: name.lower() for name in all_folders if name.lower() in SPLIT_OF_WORD}
    if not folders:
        folders = _find_named_splits(tree, top, all_folders)
    if not folders:
        return {"all": top}
    require_distinct_splits(tree.locate(top), folders)
    others = [name for name in all_folders if name not in folders]
    if others:
        raise UserError(
            f"{tree.locate(top)} has other folders beside its splits ({', '.join(others[:5])}): "
            "move them elsewhere."
        )
    return {SPLIT_OF_WORD[word]: f"{top}{name}/" for name, word in folders.items()}


def _find_named_splits(tree: Tree, top: str, folders: Sequence[str]) -> dict[str, str]:
    """Return the split word of each folder, as of `flowers-train`, if all are splits by their name.

    Classes may have such names too, but no folders of classes in them.
    """
    if not all(tree.subfolders(f"{top}{name}/") for name in folders):
        return {}
    words = {name: find_split_word(name) for name in folders}
    found = {name: word for name, word in words.items() if word}
    return found if len(found) == len(folders) else {}


def _files_by_class(tree: Tree, root: str, left_out: Counter[str]) -> dict[str, list[str]]:
    """Return the image files of each class, relative to `root`; count what is left out.

    Class names are in Unicode's composed form (NFC), in which they may differ from their folders.
    """
    names = tree.subfolders(root)
    words = {name.lower() for name in names}
    if words & {*IMAGE_FOLDERS} and words & {*MASK_FOLDERS} and words <= DENSE_FOLDERS:
        raise UserError(
            f"{tree.locate(root)} has {' and '.join(names)}, not a folder per class: "
            "`spectralvision train segmentation` reads images with masks, `train detection` images "
            "with objects."
        )
    if not names:
        raise UserError(
            f"{tree.locate(root)} contains {_describe_loose_files(tree, root)}: put the images of "
            "each class into a folder named after it."
        )
    class_folders = [f"{root}{name}/" for name in names]
    files: dict[str, list[str]] = {}
    scanned = tree.scan(class_folders)
    for name, folder, found in zip(names, class_folders, scanned, strict=True):
        left_out.update(found.left_out)
        class_files = files.setdefault(normalize_name(name), [])
        class_files += [f"{name}/{file}" for file in found.images]
        if not class_files:
            rest = f" ({describe_left_out(found.left_out)})" if found.left_out else ""
            raise UserError(
                f"{tree.locate(folder)} contains no images{rest}: add some, or remove the folder."
            )
    return files


def _describe_loose_files(tree: Tree, root: str) -> str:
    """Return which images a folder has itself, in words."""
    files = [Path(name) for name in tree.files(root)]
    loose = sum(map(is_image_file, files))
    suffixes = (path.suffix.lower() for path in files)
    left_out = Counter(suffix for suffix in suffixes if suffix in unreadable_suffixes())
    what = tree.empty_description
    if loose:
        what = f"{loose} image{'s' * (loose > 1)} but no class folders"
    return f"{what} ({describe_left_out(left_out)})" if left_out else what
