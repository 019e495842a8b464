"""Layouts of images and masks that are those of a known data set: Pascal VOC, Cityscapes."""

from pathlib import Path

from spectralvision.data.annotated_files import read_lines
from spectralvision.data.class_lists import ClassList
from spectralvision.data.find_images import is_image_file, scan_folder
from spectralvision.data.mask_pairs import (
    Folders,
    Layout,
    Pairs,
    find_by_stem,
    find_folders,
    pair_files,
)
from spectralvision.data.masks import IGNORED, Values
from spectralvision.data.names import normalize_name
from spectralvision.data.split_names import SPLITS
from spectralvision.runs import UserError

VOC_SETS = Path("ImageSets") / "Segmentation"
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
CITYSCAPES_IDS = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole",
    19: "traffic light", 20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky",
    24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train", 32: "motorcycle",
    33: "bicycle",
}  # fmt: skip
"""The value of each evaluated class in `labelIds`; its place is the value in `labelTrainIds`."""


def find_voc(root: Path) -> Layout | None:
    """Return the pairs that the lists of Pascal VOC name; None if there are no such lists.

    Raises:
        UserError: A folder is missing, or a list has no image with a mask.
    """
    lists = _find_lists(root / VOC_SETS)
    if not lists:
        return None
    folders = find_folders(root)
    if folders is None:
        raise UserError(f"{root} should have the folders JPEGImages and SegmentationClass.")
    images, masks = find_by_stem(folders.images), find_by_stem(folders.masks)
    pairs: dict[str, Pairs] = {}
    unlabeled: dict[str, int] = {}
    for split, path in lists.items():
        names = list(dict.fromkeys(map(_without_suffix, read_lines(path))))
        paired = [name for name in names if name in images and name in masks]
        if paired:
            pairs[split] = Pairs(
                folders.images,
                [images[name] for name in paired],
                folders.masks,
                [masks[name] for name in paired],
                [name for name in names if name not in images or name not in masks],
                [],
            )
        elif split == "test":
            unlabeled[split] = len(names)  # its masks are not published
        else:
            raise UserError(
                f"{path} lists no image of {folders.images.name} with a mask in "
                f"{folders.masks.name}: add the masks, or remove the list."
            )
    numbers = {number: number for number in range(len(VOC_CLASSES))}
    return Layout(pairs, unlabeled, classes=ClassList(VOC_CLASSES, Values(numbers, {})))


def find_cityscapes(root: Path) -> Layout | None:
    """Return the pairs of Cityscapes, with 19 classes; None if the folder has another layout.

    The masks of its test images are not published.
    """
    images, masks = root / "leftImg8bit", root / "gtFine"
    splits = [split for split in ("train", "val") if (masks / split).is_dir()]
    if not splits or not images.is_dir():
        return None
    has_train_ids = any(masks.rglob("*_gtFine_labelTrainIds.png"))
    suffix = "_gtFine_labelTrainIds" if has_train_ids else "_gtFine_labelIds"
    pairs = {
        split: pair_files(Folders(images / split, masks / split, "_leftImg8bit", (suffix,)))
        for split in splits
    }
    test = images / "test"
    unlabeled = {"test": len(scan_folder(test).images)} if test.is_dir() else {}
    numbers = {number: number for number in range(len(CITYSCAPES_IDS))}
    if not has_train_ids:
        of_class = {value: number for number, value in enumerate(CITYSCAPES_IDS)}
        numbers = dict.fromkeys(range(max(of_class) + 1), IGNORED) | of_class
    return Layout(
        pairs, unlabeled, classes=ClassList(tuple(CITYSCAPES_IDS.values()), Values(numbers, {}))
    )


def _find_lists(folder: Path) -> dict[str, Path]:
    """Return VOC's list of each split; `default` is CVAT's of all."""
    lists = {path.stem.lower(): path for path in sorted(folder.glob("*.txt"))}
    found = {split: lists[split] for split in SPLITS[:3] if split in lists}
    if found.keys() & {"train", "val"}:
        return found
    others = {"train": "trainval", "all": "default"}
    return {split: lists[name] for split, name in others.items() if name in lists} | found


def _without_suffix(name: str) -> str:
    """Return the name in a list without the suffix of an image, in composed form (NFC)."""
    bare = str(Path(name).with_suffix("")) if is_image_file(Path(name)) else name
    return normalize_name(bare)
