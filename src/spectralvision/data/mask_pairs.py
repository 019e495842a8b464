"""Images with their masks on disk: folders, files of the same names, and what has no partner."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spectralvision.data.class_lists import ClassList
from spectralvision.data.find_images import scan_folder, subfolders
from spectralvision.data.names import normalize_name
from spectralvision.data.splits import Data
from spectralvision.runs import UserError, format_count

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
MASK_FOLDERS = ("masks", "mask", "annotations", "labels", "segmentationclass", "gt")
MASK_SUFFIXES = ("", "_mask", "-mask", "_masks", "_label", "_labels", "_seg", "_gt", "_l", "_L")
SUFFIXES_BESIDE = tuple(suffix for suffix in MASK_SUFFIXES if len(suffix) > 2)
"""Of masks in the folder of their images; `_l` there may be a left one."""
MAX_NAMES = 5
"""Files that a note names."""
UNPAIRED = {
    "without_mask": ("image", "without a mask"),
    "without_image": ("mask", "without an image"),
    "without_split": ("image", "in no split"),
}
"""Entry of `Data.facts` -> what it counts."""


class Folders(NamedTuple):
    """Where the images and masks of a split are, and what follows the common part of their names.

    Both may be in one folder, if masks have a suffix.
    """

    images: Path
    masks: Path
    image_suffix: str = ""
    mask_suffixes: tuple[str, ...] = MASK_SUFFIXES


class Pairs(NamedTuple):
    """Images of a split with their masks, and what has no partner. Names are relative."""

    image_root: Path
    images: list[str]
    mask_root: Path
    masks: list[str]
    without_mask: list[str]
    without_image: list[str]


class Layout(NamedTuple):
    """What a folder has."""

    pairs: dict[str, Pairs]
    """Of each split."""
    unlabeled: dict[str, int]
    """Images of splits without masks."""
    without_split: Sequence[str] = ()
    """Images beside the folders of splits."""
    classes: ClassList | None = None
    """Of a known data set."""

    def facts(self) -> dict[str, Any]:
        """Return the entries of `Data.facts`."""
        unpaired = {"without_split": list(self.without_split)}
        for what in ("without_mask", "without_image"):
            unpaired[what] = [
                file if split == "all" else f"{split}: {file}"
                for split, one in self.pairs.items()
                for file in getattr(one, what)
            ]
        facts: dict[str, Any] = {
            what: {"number": len(files), "first": files[:MAX_NAMES]}
            for what, files in unpaired.items()
            if files
        }
        return facts | ({"unlabeled": self.unlabeled} if self.unlabeled else {})


def describe_unpaired(data: Data) -> list[str]:
    """Return note lines about images without masks or split, and masks without images."""
    notes = []
    for key, (noun, what) in UNPAIRED.items():
        if found := data.facts.get(key):
            number, names = found["number"], ", ".join(found["first"])
            plural = "" if number == 1 else "s"
            rest = number - len(found["first"])
            more = f" and {format_count(rest)} more" if rest else ""
            notes.append(f"skip   {format_count(number)} {noun}{plural} {what}: {names}{more}")
    return notes


def find_folders(root: Path) -> Folders | None:
    """Return the folders of images and masks in a folder, or the folder itself if it has both."""
    by_name = {folder.name.lower(): folder for folder in subfolders(root)}
    images = next((by_name[name] for name in IMAGE_FOLDERS if name in by_name), None)
    found = [by_name[name] for name in MASK_FOLDERS if name in by_name]
    masks = next((folder for folder in found if scan_folder(folder).images), None)
    if images and masks:
        return Folders(images, masks)
    if by_name:
        return None
    stems = {Path(file).stem for file in scan_folder(root).images}
    has_masks = any(stem + suffix in stems for stem in stems for suffix in SUFFIXES_BESIDE)
    return Folders(root, root, mask_suffixes=SUFFIXES_BESIDE) if has_masks else None


def pair_files(folders: Folders) -> Pairs:
    """Return the images of two folders with the masks of the same names.

    Raises:
        UserError: Two files have the name of one image, or no image has a mask.
    """
    # 1. All images and masks
    masks = {
        stem: file
        for stem, file in find_by_stem(folders.masks).items()
        if stem.endswith(folders.mask_suffixes)
    }
    images = {
        stem.removesuffix(folders.image_suffix): file
        for stem, file in find_by_stem(folders.images).items()
        if folders.images != folders.masks or stem not in masks
    }

    # 2. Those with a partner
    partner: dict[str, str] = {}
    for stem in images:
        found = [stem + suffix for suffix in folders.mask_suffixes if stem + suffix in masks]
        if found:
            partner[stem] = found[0]
    if not partner:
        raise UserError(
            f"{folders.images} and {folders.masks} have no image and mask of the same name: give "
            "each mask the name of its image."
        )
    used = set(partner.values())
    return Pairs(
        folders.images,
        [images[stem] for stem in partner],
        folders.masks,
        [masks[stem] for stem in partner.values()],
        [file for stem, file in images.items() if stem not in partner],
        [file for stem, file in masks.items() if stem not in used],
    )


def find_by_stem(root: Path) -> dict[str, str]:
    """Return the image files below a folder by their names without suffix, in composed form (NFC).

    Raises:
        UserError: Two files have the same one.
    """
    found: dict[str, str] = {}
    for file in scan_folder(root).images:
        stem = normalize_name(str(Path(file).with_suffix("")))
        if stem in found:
            raise UserError(
                f"{root} has {found[stem]} and {file}: rename one, as masks are found by the name "
                "without suffix."
            )
        found[stem] = file
    return found
