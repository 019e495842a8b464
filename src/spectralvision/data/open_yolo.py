"""Open a data set with a .txt per image, in YOLO's form: `class cx cy w h`, or `class x1 y1 x2 y2
...` for the outline of an object, as fractions of the image."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from spectralvision.data.annotated_files import (
    SiblingFiles,
    build_images,
    count_unlisted,
    read_lines,
    read_sizes,
)
from spectralvision.data.annotation_problems import Problem, ProblemCounter
from spectralvision.data.find_images import is_image_file, scan_files
from spectralvision.data.images import Images, Stream
from spectralvision.data.object_store import AnnotatedImage, Annotation
from spectralvision.data.objects import ObjectImages
from spectralvision.data.parse_numbers import to_floats, to_whole
from spectralvision.data.splits import Data
from spectralvision.data.yolo_layout import CLASS_LISTS, YoloLayout, find_layout, find_yaml
from spectralvision.runs import UserError

MAX_EXCESS = 0.1
"""By which fractions may be below 0 or above 1; boxes are clipped."""
BOX_NUMBERS = 4


def open_yolo(name: str, root: Path, yaml_file: Path | None = None) -> Data:
    """Open the images of a folder in YOLO's form.

    The labels of an image are in a folder `labels` in place of `images`, or beside it. An image
    without a label file has no objects.

    Args:
        name: Of the data set.
        root: Its folder.
        yaml_file: Its description; by default the one in the folder, if any.

    Raises:
        UserError: There are no class names, or a split has no image or no object to use.
    """
    problems = ProblemCounter()
    layout = find_layout(root, yaml_file or find_yaml(root), problems)
    siblings = SiblingFiles(root, ("images",), ("labels",), _is_label_file)
    splits: dict[str, Images | Stream] = {}
    unlabeled: dict[str, int] = {}
    used: set[str] = set()
    for split, files in layout.files.items():
        source = f"{root} ({split})" if split != "all" else str(root)
        if not files:
            raise UserError(f"{source} has no images: add some.")
        labels = {file: siblings.find(file) for file in files}
        if split == "test" and len(layout.files) > 1 and not any(labels.values()):
            unlabeled[split] = len(files)
            continue
        if not any(labels.values()):
            raise UserError(
                f"{source} has no label file for any image, such as {files[0]}: put them into a "
                "folder `labels` beside `images`."
            )
        splits[split] = _open_split(root, source, labels, layout, problems)
        used.update(file for file in labels.values() if file)
    _count_unused(root, used, problems)
    listed = [root / file for files in layout.files.values() for file in files]
    left_out = count_unlisted([root], listed, problems, Problem.NO_SPLIT)
    facts = problems.facts() | ({"left_out": left_out} if left_out else {})
    facts |= {"unlabeled": unlabeled} if unlabeled else {}
    return Data(name, layout.classes, splits, facts=facts)


def _is_label_file(path: Path) -> bool:
    return path.suffix.lower() == ".txt" and path.name not in CLASS_LISTS


def _count_unused(root: Path, used: Collection[str], problems: ProblemCounter) -> None:
    """Count the label files without an image, in folders `labels` and in those that are used."""
    siblings = SiblingFiles(root, ("labels",), ("images",), is_image_file)
    folders = {os.path.dirname(file) for file in used} - {""}
    for file in sorted(scan_files(root, ".txt")):
        folder = os.path.dirname(file)
        is_label = folder in folders or "labels" in folder.lower().split("/")
        is_unused = is_label and file not in used and _is_label_file(Path(file))
        if is_unused and siblings.find(file) is None:
            problems.add(Problem.NO_IMAGE, file)


def _open_split(
    root: Path,
    source: str,
    labels: dict[str, str | None],
    layout: YoloLayout,
    problems: ProblemCounter,
) -> ObjectImages:
    sizes = read_sizes(root, list(labels), problems)
    images: list[AnnotatedImage] = []
    for file, size in sizes.items():
        label_file = labels[file]
        annotations = []
        if label_file is not None:
            annotations = _read_labels(root, label_file, size.size, layout, problems)
        images.append(AnnotatedImage(file, size.size, len(images) + 1, annotations))
    categories = range(len(layout.classes))
    return build_images(root, images, categories, problems, source)


def _read_labels(
    root: Path,
    file: str,
    size: tuple[int, int],
    layout: YoloLayout,
    problems: ProblemCounter,
) -> list[Annotation]:
    """Return the objects in a label file."""
    try:
        lines = read_lines(root / file)
    except UserError as error:
        problems.add(Problem.WRONG_FILE, str(error))
        return []
    found: dict[str, Annotation] = {}
    for number, line in enumerate(lines, 1):
        where = f"{file} line {number}"
        words = line.split()
        label, fractions = to_whole(words[0]), to_floats(words[1:])
        if label is None or fractions is None or not _is_object(fractions):
            problems.add(Problem.WRONG_LINE, where)
        elif not 0 <= label < len(layout.classes):
            problems.add(Problem.UNKNOWN_CLASS, f"{where}, class {label}")
        elif min(fractions) < -MAX_EXCESS or max(fractions) > 1 + MAX_EXCESS:
            problems.add(Problem.NO_FRACTION, where)
        elif line in found:
            problems.add(Problem.OBJECT_TWICE, where)
        else:
            numbers = fractions[:BOX_NUMBERS] if layout.has_keypoints else fractions
            found[line] = _annotate(f"line {number}", label, numbers, size)
    return list(found.values())


def _is_object(fractions: Sequence[float]) -> bool:
    """Return whether numbers are a box, or at least three points."""
    return len(fractions) == BOX_NUMBERS or (len(fractions) >= 6 and len(fractions) % 2 == 0)


def _annotate(
    name: str, label: int, fractions: Sequence[float], size: tuple[int, int]
) -> Annotation:
    height, width = size
    points = [one * (height if place % 2 else width) for place, one in enumerate(fractions)]
    if len(points) > BOX_NUMBERS:
        return Annotation(name, None, label, [points])
    x, y, w, h = points
    return Annotation(name, (x - w / 2, y - h / 2, x + w / 2, y + h / 2), label)
