"""Open a data set with annotations of COCO's format: find its files, images and splits."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from spectralvision.data.annotated_files import (
    build_images,
    count_unlisted,
    fits,
    matches_head,
    name_on_disk,
    read_sizes,
)
from spectralvision.data.annotation_problems import ProblemCounter
from spectralvision.data.coco_json import CocoFile, parse_objects, read_coco
from spectralvision.data.find_images import list_folder, subfolders
from spectralvision.data.images import Images, Stream
from spectralvision.data.object_store import AnnotatedImage
from spectralvision.data.objects import ObjectImages
from spectralvision.data.split_names import group_by_split, split_of
from spectralvision.data.splits import Data
from spectralvision.runs import UserError

ROBOFLOW_FILE = "_annotations.coco.json"
LISTS = re.compile(rb'"(images|annotations)"\s*:\s*\[')
"""What a file of COCO's format has near its beginning."""
MAX_NAMED_FILES = 5
MAX_PROBED_FILES = 100
"""Files that are looked for in each folder that may have the images."""


def find_coco_files(root: Path, in_root: bool = False) -> dict[str, Path]:
    """Return the annotation file of each split of a folder; empty if there is none.

    Args:
        root: The folder.
        in_root: Whether to look for any such .json files in the folder itself, rather than for
            those of COCO's `annotations` and of Roboflow's splits.

    Raises:
        UserError: A split has several.
    """
    files = [folder / ROBOFLOW_FILE for folder in [root, *subfolders(root)]]
    files = [file for file in files if file.is_file()]
    if not files:
        found = list_json(root if in_root else root / "annotations")
        files = [file for file in found if file.name.startswith("instances_")]
        files = files or [file for file in found if matches_head(file, LISTS)]
    groups = group_by_split(root, files) if files else {}
    for split, group in groups.items():
        if len(group) > 1:
            names = ", ".join(str(file.relative_to(root)) for file in group[:MAX_NAMED_FILES])
            names += " ..." * (len(group) > MAX_NAMED_FILES)
            what = "annotation files" if split == "all" else f"annotation files of {split}"
            raise UserError(f"{root} has several {what} ({names}): keep one.")
    return {split: group[0] for split, group in groups.items()}


def list_json(folder: Path) -> list[Path]:
    """Return the .json files in a folder, sorted; none if it does not exist."""
    if not folder.is_dir():
        return []
    names = [one.name for one in list_folder(folder) if one.name.lower().endswith(".json")]
    return [folder / name for name in sorted(names)]


def open_coco(name: str, root: Path, files: Mapping[str, Path]) -> Data:
    """Open the images of annotation files.

    Args:
        name: Of the data set.
        root: Its folder, in which or in whose subfolders the images are.
        files: The annotation file of each split.

    Raises:
        UserError: A file cannot be used, or its images cannot be found.
    """
    # 1. Read the annotation files
    problems = ProblemCounter()
    coco = {split: read_coco(path, root, problems) for split, path in files.items()}
    unlabeled = {split: len(one.images) for split, one in coco.items() if not one.is_labeled}
    for split in unlabeled:
        if split != "test" or len(unlabeled) == len(coco):
            raise UserError(f"{coco[split].path} has no annotations: add some.")
    labeled = {split: one for split, one in coco.items() if one.is_labeled}
    classes = _match_classes(list(labeled.values()))

    # 2. Find the images
    folders = {split: _find_folder(root, one) for split, one in coco.items()}
    coco = {split: _with_names_on_disk(one, folders[split]) for split, one in coco.items()}
    labeled = {split: coco[split] for split in labeled}
    splits: dict[str, Images | Stream] = {
        split: _open_split(folders[split], one, classes, problems) for split, one in labeled.items()
    }
    listed = [folders[split] / image.file for split, one in coco.items() for image in one.images]
    left_out = count_unlisted(folders.values(), listed, problems)
    facts = problems.facts()
    facts |= {"left_out": left_out} if left_out else {}
    facts |= {"unlabeled": unlabeled} if unlabeled else {}
    return Data(name, classes, splits, facts=facts)


def _match_classes(files: Sequence[CocoFile]) -> tuple[str, ...]:
    """Return the classes of the first file.

    Raises:
        UserError: Another file has a class that the first one does not have.
    """
    first = files[0]
    known = list(first.classes.values())
    for file in files[1:]:
        for name in file.classes.values():
            if name not in known:
                raise UserError(
                    f"{file.path} has the category {name!r}, but {first.path} does not: add it "
                    "there, or remove it."
                )
    return tuple(known)


def _with_names_on_disk(coco: CocoFile, folder: Path) -> CocoFile:
    """Return the content with the names that files have in a folder, which differ in accents."""
    images = [
        image
        if image.file.isascii()
        else image._replace(file=name_on_disk(folder, image.file) or image.file)
        for image in coco.images
    ]
    return coco._replace(images=images)


def _open_split(
    folder: Path, coco: CocoFile, classes: Sequence[str], problems: ProblemCounter
) -> ObjectImages:
    sizes = read_sizes(folder, [image.file for image in coco.images], problems)
    label_of = {number: classes.index(name) for number, name in coco.classes.items()}
    images = []
    for image in coco.images:
        size = sizes.get(image.file)
        if size is not None and fits(image.file, image.size, size, problems):
            objects = parse_objects(image, label_of, problems)
            images.append(AnnotatedImage(image.file, size.size, image.image_id, objects))
    number_of = {name: number for number, name in coco.classes.items()}
    categories = [number_of.get(name, -1) for name in classes]
    return build_images(folder, images, categories, problems, str(coco.path))


def _find_folder(root: Path, coco: CocoFile) -> Path:
    """Return the folder that has the images of an annotation file, or most of them.

    Raises:
        UserError: None has any.
    """
    step = max(1, len(coco.images) // MAX_PROBED_FILES)
    files = [image.file for image in coco.images[::step]]
    folders = _candidates(root, coco.path)
    counts = [sum(name_on_disk(folder, file) is not None for file in files) for folder in folders]
    if not any(counts):
        raise UserError(
            f"no image that {coco.path} lists exists, such as {files[0]}: put the images beside it "
            f"or into {root / 'images'}."
        )
    return folders[counts.index(max(counts))]


def _candidates(root: Path, path: Path) -> list[Path]:
    """Return the folders in which the images of an annotation file may be."""
    same_name = root / "images" / path.stem.removeprefix("instances_")  # CVAT
    folders = [path.parent, path.parent / "images", root, root / "images", same_name]
    split = split_of(path.stem) or split_of(path.parent.name)
    for parent in (root, root / "images"):
        if split and parent.is_dir():
            same = [one for one in subfolders(parent) if split_of(one.name) == split]
            folders += [folder for one in same for folder in (one, one / "images")]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
