"""The layout of a data set of images and masks on disk: which mask belongs to which image.

    {train,val,test}/images and masks       each with the same names
    images/{train,val,test} and masks/...   as ADE20K: images/training, annotations/training
    images and masks                        without splits
    JPEGImages, SegmentationClass, ImageSets/Segmentation/{train,val}.txt   as Pascal VOC

The folders may have other usual names (`IMAGE_FOLDERS`, `MASK_FOLDERS`), and a mask may have one of
`MASK_SUFFIXES` after the name of its image.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from spectralvision.data.find_images import scan_folder, subfolders
from spectralvision.data.split_names import (
    SPLIT_OF_WORD,
    SPLITS,
    find_split_word,
    require_distinct_splits,
)
from spectralvision.runs import UserError

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
MASK_FOLDERS = ("masks", "mask", "annotations", "labels", "segmentationclass", "gt")
MASK_SUFFIXES = ("", "_mask", "-mask", "_masks", "_label", "_labels", "_seg", "_gt", "_l", "_L")
VOC_SETS = Path("ImageSets") / "Segmentation"
MAX_LIST_BYTES = 100_000_000


class Pairs(NamedTuple):
    """Images of a split with their masks, and what has no partner. Names are relative."""

    image_root: Path
    images: list[str]
    mask_root: Path
    masks: list[str]
    without_mask: list[str]
    without_image: list[str]


class Folders(NamedTuple):
    """Where the images and masks of a split are."""

    images: Path
    masks: Path


def find_pairs(root: Path) -> dict[str, Pairs]:
    """Return the images and masks of each split; empty if the folder has another layout.

    Raises:
        UserError: Two files have the name of one image, or a split has no image with a mask.
    """
    if (root / VOC_SETS).is_dir():
        return _find_voc(root)
    splits = _split_folders(root)
    pairs = {split: _pair(split, *splits[split]) for split in SPLITS if split in splits}
    return pairs


def descend(root: Path) -> Path:
    """Return the folder with the data set: `root`, or the one inside that wraps it."""
    wrapper = root
    for _ in range(3):
        inside = subfolders(wrapper)
        name = inside[0].name.lower() if len(inside) == 1 else "images"
        if name in IMAGE_FOLDERS or name in SPLIT_OF_WORD:
            return wrapper
        wrapper = inside[0]
    return wrapper


def _split_folders(root: Path) -> dict[str, Folders]:
    """Return the folders of each split, or of `all`."""
    own = _find_folders(root)
    if own is not None:
        inside = {kind: _by_split(folder) for kind, folder in zip(own._fields, own, strict=True)}
        if inside["images"] and inside["masks"]:
            return {
                split: Folders(folder, inside["masks"][split])
                for split, folder in inside["images"].items()
                if split in inside["masks"]
            }
        return {"all": own}
    found = {split: _find_folders(folder) for split, folder in _by_split(root).items()}
    return {split: folders for split, folders in found.items() if folders is not None}


def _find_folders(root: Path) -> Folders | None:
    """Return the folders of images and masks in a folder; None if one is missing."""
    by_name = {folder.name.lower(): folder for folder in subfolders(root)}
    images = next((by_name[name] for name in IMAGE_FOLDERS if name in by_name), None)
    found = [by_name[name] for name in MASK_FOLDERS if name in by_name]
    masks = next((folder for folder in found if scan_folder(folder).images), None)
    return Folders(images, masks) if images and masks else None


def _by_split(root: Path) -> dict[str, Path]:
    """Return the folders that are named after a split."""
    words = {folder.name: find_split_word(folder.name) for folder in subfolders(root)}
    named = {name: word for name, word in words.items() if word}
    require_distinct_splits(root, named)
    return {SPLIT_OF_WORD[word]: root / name for name, word in named.items()}


def _pair(split: str, image_root: Path, mask_root: Path) -> Pairs:
    """Return the images of two folders with the masks of the same names."""
    images = _by_stem(image_root, scan_folder(image_root).images)
    masks = _by_stem(mask_root, scan_folder(mask_root).images)
    partner: dict[str, str] = {}
    for stem in images:
        found = [stem + suffix for suffix in MASK_SUFFIXES if stem + suffix in masks]
        if found:
            partner[stem] = found[0]
    if not partner:
        raise UserError(
            f"{image_root} and {mask_root} have no image and mask of the same name in {split}: "
            "give each mask the name of its image."
        )
    used = set(partner.values())
    return Pairs(
        image_root,
        [images[stem] for stem in partner],
        mask_root,
        [masks[stem] for stem in partner.values()],
        [file for stem, file in images.items() if stem not in partner],
        [file for stem, file in masks.items() if stem not in used],
    )


def _by_stem(root: Path, files: Sequence[str]) -> dict[str, str]:
    """Return the files by their names without suffix.

    Raises:
        UserError: Two files have the same one.
    """
    found: dict[str, str] = {}
    for file in files:
        stem = str(Path(file).with_suffix(""))
        if stem in found:
            raise UserError(
                f"{root} has {found[stem]} and {file}: rename one, as masks are found by the name "
                "without suffix."
            )
        found[stem] = file
    return found


def _find_voc(root: Path) -> dict[str, Pairs]:
    """Return the pairs of Pascal VOC: names are listed in files."""
    folders = _find_folders(root)
    if folders is None:
        raise UserError(f"{root} should have the folders JPEGImages and SegmentationClass.")
    images = _by_stem(folders.images, scan_folder(folders.images).images)
    masks = _by_stem(folders.masks, scan_folder(folders.masks).images)
    splits: dict[str, Pairs] = {}
    for split in ("train", "val", "test"):
        path = root / VOC_SETS / f"{split}.txt"
        if not path.is_file():
            continue
        names = _read_list(path)
        paired = [name for name in names if name in images and name in masks]
        missing = [name for name in names if name not in images or name not in masks]
        if not paired and split == "test":
            continue  # its masks are not published
        if not paired:
            raise UserError(f"{path} names no image with a mask: check JPEGImages.")
        splits[split] = Pairs(
            folders.images,
            [images[name] for name in paired],
            folders.masks,
            [masks[name] for name in paired],
            missing,
            [],
        )
    return splits


def _read_list(path: Path) -> list[str]:
    """Return the first word of each line, each once."""
    if path.stat().st_size > MAX_LIST_BYTES:
        raise UserError(f"{path} is too large for a list of images.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from None
    return list(dict.fromkeys(line.split()[0] for line in lines if line.strip()))
