"""Open a data set with an XML file per image: Pascal VOC, LabelImg.

Objects marked as difficult become crowds, which evaluation leaves out.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from spectralvision.data.annotated_files import (
    SiblingFiles,
    build_images,
    count_unlisted,
    fits,
    matches_head,
    read_class_names,
    read_lines,
    read_sizes,
)
from spectralvision.data.annotation_problems import Problem, ProblemCounter
from spectralvision.data.find_images import is_image_file, scan_files, subfolders
from spectralvision.data.images import Images, Stream
from spectralvision.data.object_store import AnnotatedImage, Annotation
from spectralvision.data.split_names import SPLITS, group_by_split
from spectralvision.data.splits import Data
from spectralvision.data.voc_xml import XmlFile, read_xml
from spectralvision.runs import UserError, require_extra

XML_FOLDERS = ("annotations", "annotation", "xmls", "xml", "labels")
IMAGE_FOLDERS = ("jpegimages", "images", "imgs", "img", "image")
LIST_FOLDER = "ImageSets/Main"
ROOT_ELEMENT = re.compile(
    rb"^(?:\s|\xef\xbb\xbf|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>]*>)*<annotation[\s>]", re.DOTALL
)
"""How an XML file of this form begins."""
FLAG = re.compile(r"\s+(?:-1|0|1)$")
"""What VOC's lists of a class have after each name."""


def find_voc_folder(root: Path) -> Path | None:
    """Return the folder that has the XML files: the root, or a year of VOC in it; None if none has.

    Raises:
        UserError: There are several years.
    """
    devkit = root / "VOCdevkit" if (root / "VOCdevkit").is_dir() else root
    years = [folder for folder in subfolders(devkit) if (folder / "JPEGImages").is_dir()]
    if len(years) > 1:
        names = ", ".join(folder.name for folder in years)
        raise UserError(f"{devkit} has several data sets ({names}): give one of them to --data.")
    base = years[0] if years else root
    is_voc = any(matches_head(base / file, ROOT_ELEMENT) for file in scan_files(base, ".xml"))
    return base if is_voc else None


def open_voc(name: str, root: Path) -> Data:
    """Open the images of XML files.

    Args:
        name: Of the data set.
        root: A folder with XML files at any depth. Each image is beside its file, or in a folder
            `JPEGImages` or `images` in place of `Annotations`.

    Raises:
        UserError: A split has no image or no object that can be used, or an image has two files.
    """
    require_extra("dense", "defusedxml")
    problems = ProblemCounter()

    # 1. The images of each split, with their XML files
    groups, unlabeled = _group_files(root, _find_xml(root), problems)
    siblings = SiblingFiles(root, XML_FOLDERS, IMAGE_FOLDERS, is_image_file)
    content = {
        split: _read_files(root, files, siblings, problems) for split, files in groups.items()
    }

    # 2. Their classes
    lists = [root / name for name in ("classes.txt", "labels.txt") if (root / name).is_file()]
    files = [xml for found in content.values() for xml in found.values() if xml]
    names = {one.class_name for xml in files for one in xml.objects} - {""}
    classes = read_class_names(lists[0]) if lists else tuple(sorted(names))
    label_of = {name: label for label, name in enumerate(classes)}

    # 3. Their objects
    splits: dict[str, Images | Stream] = {}
    for split, found in content.items():
        images = _annotate(root, found, label_of, problems)
        source = f"{root} ({split})" if split != "all" else str(root)
        splits[split] = build_images(root, images, range(1, len(classes) + 1), problems, source)
    facts = _count_others(root, content, problems)
    facts |= {"unlabeled": unlabeled} if unlabeled else {}
    return Data(name, classes, splits, facts=problems.facts() | facts)


def _find_xml(root: Path) -> list[str]:
    """Return the XML files at any depth, each once, though a link may lead to it again."""
    files = sorted(scan_files(root, ".xml"), reverse=True)
    return sorted({os.path.realpath(root / file): file for file in files}.values())


def _group_files(
    root: Path, files: list[str], problems: ProblemCounter
) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Return the XML files of each split, and the number of images of splits that have none.

    Splits are those of VOC's lists, or else of the names of folders.
    """
    paths = {split: root / LIST_FOLDER / f"{split}.txt" for split in (*SPLITS[:3], "trainval")}
    lists = {split: path for split, path in paths.items() if path.is_file()}
    trainval = lists.pop("trainval", None)
    if trainval and not lists.keys() & {"train", "val"}:
        lists["train"] = trainval
    if not lists:
        groups = group_by_split(root, [root / file for file in files], by_name=False)
        return {
            split: [os.path.relpath(one, root) for one in groups[split]] for split in groups
        }, {}
    by_name = _index_files(files)
    found: dict[str, list[str]] = {}
    unlabeled: dict[str, int] = {}
    for split in sorted(lists, key=SPLITS.index):
        path = lists[split]
        file_of = {line: _find_listed(path, by_name, line) for line in read_lines(path)}
        if split == "test" and len(lists) > 1 and not any(file_of.values()):
            unlabeled[split] = len(file_of)
            continue
        found[split] = list(dict.fromkeys(file for file in file_of.values() if file))
        for line, file in file_of.items():
            if file is None:
                problems.add(Problem.NO_FILE, f"{line} of {split}")
    return found, unlabeled


def _index_files(files: list[str]) -> dict[str, list[str]]:
    """Return the XML files by what a list may call them: `a`, or `folder/a`."""
    by_name: dict[str, list[str]] = {}
    for file in files:
        parts = Path(file).with_suffix("").parts
        for start in range(len(parts)):
            by_name.setdefault("/".join(parts[start:]), []).append(file)
    return by_name


def _find_listed(path: Path, by_name: Mapping[str, list[str]], line: str) -> str | None:
    """Return the XML file of a line in a list, which may end in a suffix or a flag, or None.

    Raises:
        UserError: There are several.
    """
    bare = FLAG.sub("", line)
    is_file = is_image_file(Path(bare)) or bare.lower().endswith(".xml")
    for name in (line, bare, os.path.splitext(bare)[0] if is_file else bare):
        found = by_name.get(name, [])
        if len(found) > 1:
            files = ", ".join(found[:2])
            raise UserError(f"{path} names {name!r}, which may be {files}: write its folder too.")
        if found:
            return found[0]
    return None


def _read_files(
    root: Path, files: list[str], siblings: SiblingFiles, problems: ProblemCounter
) -> dict[str, XmlFile | None]:
    """Return the content of XML files by their images; None if it cannot be read.

    Raises:
        UserError: Two are of the same image.
    """
    found: dict[str, XmlFile | None] = {}
    file_of: dict[str, str] = {}
    for file in files:
        image = siblings.find(file)
        if image is None:
            problems.add(Problem.NO_IMAGE, file)
            continue
        if file_of.setdefault(image, file) != file:
            raise UserError(
                f"{root / image} has the annotation files {file_of[image]} and {file}: keep one."
            )
        try:
            found[image] = read_xml(root / file)
        except UserError as error:
            found[image] = None
            problems.add(Problem.WRONG_FILE, f"{file} ({error})")
    return found


def _annotate(
    root: Path,
    found: Mapping[str, XmlFile | None],
    label_of: Mapping[str, int],
    problems: ProblemCounter,
) -> list[AnnotatedImage]:
    """Return the images with their objects."""
    sizes = read_sizes(root, [file for file, xml in found.items() if xml], problems)
    images: list[AnnotatedImage] = []
    for file, xml in found.items():
        if xml is None or file not in sizes or not fits(file, xml.size, sizes[file], problems):
            continue
        annotations = []
        for place, one in enumerate(xml.objects, 1):
            name = f"object {place}"
            if one.class_name not in label_of:
                problems.add(Problem.UNKNOWN_CLASS, f"{file} ({name}, {one.class_name!r})")
                continue
            label = label_of[one.class_name]
            annotations.append(Annotation(name, one.box, label, is_crowd=one.is_difficult))
        images.append(AnnotatedImage(file, sizes[file].size, len(images) + 1, annotations))
    return images


def _count_others(
    root: Path, content: Mapping[str, Mapping[str, XmlFile | None]], problems: ProblemCounter
) -> dict[str, dict[str, int]]:
    """Count the images without an XML file, in the folders that have images with one."""
    files = [root / file for found in content.values() for file in found]
    left_out = count_unlisted({file.parent for file in files}, files, problems)
    return {"left_out": left_out} if left_out else {}
