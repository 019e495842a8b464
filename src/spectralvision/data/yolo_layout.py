"""The layout of a data set in YOLO's form: a .yaml with class names and splits, or folders alone.

Nothing outside of the folder of the data set is read. `../train/images`, as Ultralytics and
Roboflow write it, is looked for below the folder too, and a `path` that does not exist in it is
ignored.
"""

import posixpath
from pathlib import Path
from typing import Any, NamedTuple

from spectralvision.data.annotated_files import check_class_names, read_class_list, read_lines
from spectralvision.data.annotation_problems import Problem, ProblemCounter
from spectralvision.data.find_images import list_folder, scan_folder, subfolders
from spectralvision.data.image_files import describe_error, open_regular_file
from spectralvision.data.split_names import SPLIT_OF_WORD, SPLITS, require_distinct_splits
from spectralvision.runs import UserError

YAML_SUFFIXES = (".yaml", ".yml")
YAML_NAMES = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
CLASS_LISTS = ("classes.txt", "obj.names", "labels/classes.txt", "_darknet.labels")


class YoloLayout(NamedTuple):
    """Classes, and image files of each split relative to the root."""

    classes: tuple[str, ...]
    files: dict[str, list[str]]
    has_keypoints: bool
    """Whether coordinates after the box are keypoints rather than an outline."""


def is_yolo_folder(root: Path) -> bool:
    """Return whether a folder has a .yaml with class names, a list of classes, or labels."""
    if find_yaml(root) or any((root / name).is_file() for name in CLASS_LISTS):
        return True
    return any((folder / "labels").is_dir() for folder in (root, *subfolders(root)))


def find_yaml(root: Path) -> Path | None:
    """Return the .yaml that describes a folder, or None."""
    named = [root / name for name in YAML_NAMES if (root / name).is_file()]
    if named:
        return named[0]
    others = [Path(one.path) for one in list_folder(root) if one.name.endswith(YAML_SUFFIXES)]
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
    classes = read_class_list(root / name for name in CLASS_LISTS)
    if classes is None:
        raise UserError(
            f"{root} has YOLO labels but no class names: add a data.yaml, or a classes.txt with "
            "one name a line."
        )
    folders = _find_split_folders(root)
    return YoloLayout(classes, {one: _scan(root, folders[one]) for one in folders}, False)


def _find_split_folders(root: Path) -> dict[str, Path]:
    """Return the folder of each split, or that of all images."""
    tops = [folder for folder in (root / "images", root) if folder.is_dir()]
    for top in tops:
        words = {one.name: one.name.lower() for one in subfolders(top)}
        words = {name: word for name, word in words.items() if word in SPLIT_OF_WORD}
        if words:
            require_distinct_splits(top, words)
            found = {SPLIT_OF_WORD[word]: top / name for name, word in words.items()}
            return {split: found[split] for split in SPLITS if split in found}
    return {"all": tops[0]}


def _read_layout(root: Path, path: Path, problems: ProblemCounter) -> YoloLayout:
    content = _read_yaml(path)
    classes = check_class_names(_names(content, path), path)
    count = content.get("nc")
    if count is not None and count != len(classes):
        raise UserError(
            f"{path} has {len(classes)} names, but nc is {count!r}: correct one of them."
        )
    base = root / (_inner(str(content.get("path") or ".")) or ".")
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
    if not files:
        folders = _find_split_folders(root)
        files = {split: _scan(root, folder) for split, folder in folders.items()}
    return YoloLayout(classes, files, "kpt_shape" in content)


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
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise UserError(f"{path} should number its names from 0 to {len(names) - 1}.")
        names = [names[label] for label in range(len(names))]
    if not isinstance(names, list) or not names:
        raise UserError(f"{path} has no class names: add a list `names`.")
    return names


def _list_entry(root: Path, base: Path, path: Path, split: str, entry: str) -> list[str] | None:
    """Return the image files that a path in a .yaml stands for; None if there is no test split.

    Raises:
        UserError: The path is outside of the folder, or does not exist.
    """
    inner = _inner(entry)
    if inner is None:
        raise UserError(f"{path} has {entry!r} as {split}: write a path below its folder.")
    places = [folder / inner for folder in (base, root)]
    place = next((one for one in places if one.exists()), None)
    if place is None and split == "test":
        return None
    if place is None:
        raise UserError(f"{path} has {entry!r} as {split}, which does not exist: correct the path.")
    if place.is_dir():
        return _scan(root, place)
    return [_find_listed(root, place, line) for line in read_lines(place)]


def _inner(entry: str) -> str | None:
    """Return a path below a folder, without a first `..`, or None if it is outside of it."""
    inner = posixpath.normpath(entry.replace("\\", "/")).removeprefix("../")
    is_outside = inner == ".." or inner.startswith(("/", "../")) or inner[1:2] == ":"
    return None if is_outside else inner


def _find_listed(root: Path, path: Path, line: str) -> str:
    """Return the file of a line in a list of images, relative to the root."""
    inner = _inner(line)
    if inner is None:
        raise UserError(f"{path} names the file {line!r}: write paths below the folder.")
    places = [path.parent / inner, root / inner]
    place = next((one for one in places if one.exists()), places[1])
    return place.relative_to(root).as_posix()


def _scan(root: Path, folder: Path) -> list[str]:
    """Return the image files in a folder, relative to the root."""
    return [(folder / name).relative_to(root).as_posix() for name in scan_folder(folder).images]
