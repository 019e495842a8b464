"""The layout of a data set in YOLO's form: a .yaml with class names and splits, or folders alone.

Nothing outside of the folder of the data set is read. `../train/images`, as Ultralytics and
Roboflow write it, is looked for below the folder too, and a `path` that does not exist in it is
ignored.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from spectralvision.data.annotated_files import (
    check_class_names,
    matches_head,
    path_below,
    read_class_names,
    read_lines,
)
from spectralvision.data.annotation_problems import Problem, ProblemCounter
from spectralvision.data.find_images import list_folder, scan_folder, subfolders
from spectralvision.data.image_files import describe_error, open_regular_file
from spectralvision.data.parse_numbers import to_whole
from spectralvision.data.split_names import (
    SPLIT_OF_WORD,
    SPLITS,
    find_split_folders,
    require_distinct_splits,
    split_of,
)
from spectralvision.runs import UserError

YAML_SUFFIXES = (".yaml", ".yml")
YAML_NAMES = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
NAMES_KEY = re.compile(rb"^(?:\xef\xbb\xbf)?[\"']?names[\"']?\s*:", re.MULTILINE)
CLASS_LISTS = ("classes.txt", "obj.names", "labels/classes.txt", "_darknet.labels")


class YoloLayout(NamedTuple):
    """Classes, and image files of each split relative to the root."""

    classes: tuple[str, ...]
    files: dict[str, list[str]]
    has_keypoints: bool
    """Whether coordinates after the box are keypoints rather than an outline."""


def is_yolo_folder(root: Path) -> bool:
    """Return whether a folder has a .yaml with class names, a list of classes, or labels."""
    if find_yaml(root) or _find_class_lists(root):
        return True
    inside = [one for folder in _split_parents(root) for one in subfolders(folder)]
    return any(one.name.lower() == "labels" for one in inside)


def find_yaml(root: Path) -> Path | None:
    """Return the .yaml that describes a folder, or None."""
    named = [root / name for name in YAML_NAMES if (root / name).is_file()]
    if named:
        return named[0]
    files = [Path(one.path) for one in list_folder(root)]
    others = [path for path in files if path.suffix.lower() in YAML_SUFFIXES]
    others = [path for path in others if matches_head(path, NAMES_KEY)]
    return others[0] if len(others) == 1 else None


def find_layout(root: Path, yaml_file: Path | None, problems: ProblemCounter) -> YoloLayout:
    """Return classes and files.

    Args:
        root: The folder.
        yaml_file: Its description; None where there is none.
        problems: Counts what is missing.

    Raises:
        UserError: There are no class names or no images, or a split is outside of the folder.
    """
    if yaml_file is not None:
        return _read_layout(root, yaml_file, problems)
    return YoloLayout(_read_classes(root), _find_files(root), False)


def _split_parents(root: Path) -> list[Path]:
    """Return the folder itself, and those in it that are named after a split."""
    return [root, *(folder for folder in subfolders(root) if split_of(folder.name))]


def _find_class_lists(root: Path) -> list[Path]:
    places = [folder / name for folder in _split_parents(root) for name in CLASS_LISTS]
    return [path for path in places if path.is_file()]


def _read_classes(root: Path) -> tuple[str, ...]:
    """Return the class names of the folder, or of each split.

    Raises:
        UserError: There is no list of them, or there are several that differ.
    """
    paths = _find_class_lists(root)
    if not paths:
        raise UserError(
            f"{root} has YOLO labels but no class names: add a data.yaml, or a classes.txt with "
            "one name a line."
        )
    lists = {path: read_class_names(path) for path in paths}
    for path, classes in lists.items():
        if classes != lists[paths[0]]:
            raise UserError(f"{paths[0]} and {path} list other classes: keep one of them.")
    return lists[paths[0]]


def _find_files(root: Path) -> dict[str, list[str]]:
    """Return the images of each split, by lists such as train.txt, or by folders; or of `all`."""
    texts = [Path(one.name) for one in list_folder(root) if one.name.lower().endswith(".txt")]
    words = {str(text): text.stem.lower() for text in texts if text.stem.lower() in SPLIT_OF_WORD}
    require_distinct_splits(root, words)
    lists = {SPLIT_OF_WORD[word]: root / name for name, word in words.items()}
    if "train" in lists:
        return {split: _read_list(root, lists[split]) for split in SPLITS if split in lists}
    top = next((one for one in subfolders(root) if one.name.lower() == "images"), root)
    folders = find_split_folders(top) or {"all": top}
    return {split: _scan(root, folder) for split, folder in folders.items()}


def _read_layout(root: Path, path: Path, problems: ProblemCounter) -> YoloLayout:
    content = _read_yaml(path)
    classes = check_class_names(_names(content, path), path)
    count = content.get("nc")
    if count is not None and to_whole(count) != len(classes):
        raise UserError(
            f"{path} has {len(classes)} names, but nc is {count!r}: correct one of them."
        )
    base = root / (_inner(root, str(content.get("path") or ".")) or ".")
    base = base if base.is_dir() else root
    files: dict[str, list[str]] = {}
    for split, keys in (("train", ["train"]), ("val", ["val", "valid"]), ("test", ["test"])):
        values = next((content[key] for key in keys if content.get(key)), None)
        if values is None:
            continue
        entries = values if isinstance(values, list) else [values]
        if not all(isinstance(entry, str) for entry in entries):
            raise UserError(f"{path} has {values!r} as {split}: write the path of a folder.")
        found = [_list_entry(root, base, path, split, entry) for entry in entries]
        if split == "test" and None in found:
            problems.add(Problem.MISSING_SPLIT, split)
        else:
            files[split] = list(dict.fromkeys(file for one in found for file in one or []))
    return YoloLayout(classes, files or _find_files(root), "kpt_shape" in content)


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        with open_regular_file(path) as file:
            content = yaml.safe_load(file.read())
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as YAML ({describe_error(error)}).") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} should have names, train and val, not {content!r:.50}.")
    return content


def _names(content: dict[str, Any], path: Path) -> list[object]:
    """Return the class names, which are a list, or have their numbers before them."""
    names = content.get("names")
    if isinstance(names, dict):
        by_number = {to_whole(number): name for number, name in names.items()}
        if by_number.keys() != set(range(len(names))):
            raise UserError(f"{path} should number its names from 0 to {len(names) - 1}.")
        names = [by_number[label] for label in range(len(names))]
    if not isinstance(names, list) or not names:
        raise UserError(f"{path} has no class names: add a list `names`.")
    for name in names:
        if isinstance(name, bool) or not isinstance(name, str | int | float):
            raise UserError(
                f"{path} has a class name that YAML reads as {name!r:.50}: put it in quotes."
            )
    return names


def _list_entry(root: Path, base: Path, path: Path, split: str, entry: str) -> list[str] | None:
    """Return the image files that a path in a .yaml stands for; None if there is no test split.

    Raises:
        UserError: The path is outside of the folder, or does not exist.
    """
    inner = _inner(root, entry)
    if inner is None:
        raise UserError(f"{path} has {entry!r} as {split}: write a path below its folder.")
    places = [folder / inner for folder in (base, root)]
    place = next((one for one in places if one.exists()), None)
    if place is None and split == "test":
        return None
    if place is None:
        raise UserError(f"{path} has {entry!r} as {split}, which does not exist: correct the path.")
    return _scan(root, place) if place.is_dir() else _read_list(root, place)


def _inner(root: Path, entry: str) -> str | None:
    """Return a path below a folder, without a first `..`, or None if it is outside of it."""
    return path_below(entry.replace("\\", "/").removeprefix("../"), root)


def _read_list(root: Path, path: Path) -> list[str]:
    """Return the images that a file lists, relative to the root.

    Their paths start at the file, at the root, or at a folder above that is called `data`, say.
    """
    files: dict[str, None] = {}
    for line in read_lines(path):
        inner = _inner(root, line)
        if inner is None:
            raise UserError(f"{path} names the file {line!r}: write paths below the folder.")
        places = [path.parent / inner, root / inner, root / inner.partition("/")[2]]
        place = next((one for one in places if one.is_file()), places[1])
        files[place.relative_to(root).as_posix()] = None
    return list(files)


def _scan(root: Path, folder: Path) -> list[str]:
    """Return the image files in a folder, relative to the root."""
    return [(folder / name).relative_to(root).as_posix() for name in scan_folder(folder).images]
