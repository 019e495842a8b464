"""The layout of a data set of images and masks on disk: which mask belongs to which image.

    {train,val,test}/images and masks       each with the same names
    {train,val,test} and {train,val,test}_masks     or _labels, annot
    images/{train,val,test} and masks/...   as ADE20K: images/training, annotations/training
    images and masks                        without splits
    images and masks in one folder          masks with a suffix; also in {train,val,test}
    JPEGImages, SegmentationClass, ImageSets/Segmentation/{train,val}.txt   as Pascal VOC
    leftImg8bit/{train,val}, gtFine/{train,val}     Cityscapes

The folders may have other usual names (`IMAGE_FOLDERS`, `MASK_FOLDERS`), and a mask may have one of
`MASK_SUFFIXES` after the name of its image.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from spectralvision.data.find_images import scan_folder, subfolders
from spectralvision.data.known_mask_layouts import find_cityscapes, find_voc
from spectralvision.data.mask_pairs import (
    IMAGE_FOLDERS,
    Folders,
    Layout,
    find_folders,
    pair_files,
)
from spectralvision.data.split_names import SPLIT_OF_WORD, SPLITS, find_split_folders
from spectralvision.runs import UserError

MASKS_BESIDE = ("_masks", "_mask", "_labels", "_label", "_annotations", "annot")
"""What follows the name of a folder of images in that of its masks."""


def find_layout(root: Path) -> Layout:
    """Return the images and masks of each split; without pairs if the folder has another layout.

    Raises:
        UserError: Two files have the name of one image, or train or val has no image with a mask.
    """
    known = find_voc(root) or find_cityscapes(root)
    if known is not None:
        return known
    own = find_folders(root)
    if own is not None and own.images != own.masks:
        return _find_splits_inside(own)
    return _find_splits(root) if own is None else Layout({"all": pair_files(own)}, {})


def descend(root: Path) -> Path:
    """Return the folder with the data set: `root`, or the one inside that wraps it."""
    wrapper = root
    for _ in range(3):
        inside = subfolders(wrapper)
        if len(inside) != 1 or inside[0].name.lower() in (*IMAGE_FOLDERS, *SPLIT_OF_WORD):
            return wrapper
        wrapper = inside[0]
    return wrapper


def _find_splits_inside(own: Folders) -> Layout:
    """Return the splits in the folders of images and of masks, or `all`."""
    images, masks = find_split_folders(own.images), find_split_folders(own.masks)
    is_name_of_place = set(images) == {"test"} and len(subfolders(own.images)) > 1
    if not images or not masks or is_name_of_place:
        return Layout({"all": pair_files(own)}, {})
    found = {split: Folders(images[split], masks[split]) for split in images if split in masks}
    return _build_layout(own.images, masks | images, found, images.values())


def _find_splits(root: Path) -> Layout:
    """Return the splits in a folder, each with images and masks inside, or with masks beside it."""
    by_name = {folder.name.lower(): folder for folder in subfolders(root)}
    masks = {
        by_name[name]: by_name[name.removesuffix("_images") + suffix]
        for name in by_name
        for suffix in MASKS_BESIDE
        if name.removesuffix("_images") + suffix in by_name
    }
    images = find_split_folders(root, masks.values())
    found = {
        split: one
        for split, folder in images.items()
        if (one := Folders(folder, masks[folder]) if folder in masks else find_folders(folder))
    }
    if not found:
        return Layout({}, {})
    return _build_layout(root, images, found, [*images.values(), *masks.values()])


def _build_layout(
    root: Path, splits: Mapping[str, Path], found: Mapping[str, Folders], read: Iterable[Path]
) -> Layout:
    """Return the pairs of splits.

    Args:
        root: The folder that has the splits.
        splits: A folder of each split.
        found: The images and masks of the splits that have both.
        read: Folders in the root that belong to a split.

    Raises:
        UserError: Train or val lacks images or masks.
    """
    # 1. Splits that lack one or the other
    numbers = {
        split: len(scan_folder(folder).images)
        for split, folder in splits.items()
        if split not in found
    }
    unlabeled = {split: number for split, number in numbers.items() if number}
    for split in ("train", "val"):
        if split in unlabeled:
            raise UserError(
                f"{root} has images without masks, or masks without images, in {split}: add the "
                "others, or move that split away."
            )

    # 2. All others, and what is in no split
    pairs = {split: pair_files(found[split]) for split in SPLITS if split in found}
    names = {folder.name for folder in read}
    files = scan_folder(root).images
    return Layout(pairs, unlabeled, [file for file in files if file.split("/")[0] not in names])
