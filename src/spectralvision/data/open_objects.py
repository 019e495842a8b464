"""Open a data set with annotations of objects: COCO json, VOC xml, YOLO txt."""

import contextlib
import gc
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from spectralvision.data.annotated_files import matches_head
from spectralvision.data.mask_layout import descend
from spectralvision.data.open_coco import find_coco_files, list_json, open_coco
from spectralvision.data.open_voc import find_voc_folder, open_voc
from spectralvision.data.open_yolo import open_yolo
from spectralvision.data.splits import Data
from spectralvision.data.yolo_layout import YAML_SUFFIXES, is_yolo_folder
from spectralvision.runs import UserError, expand_user

LABELME = re.compile(rb'"shapes"\s*:\s*\[')
WHAT_IS_READ = (
    "a folder of images with annotations/instances_train.json (COCO), Annotations/*.xml (VOC) or "
    "labels/*.txt (YOLO), or one .json of COCO's format or .yaml of YOLO's"
)


def open_objects(spec: str) -> Data:
    """Open images with annotated objects, without decoding the images.

    Args:
        spec: A folder in one of the layouts of COCO, Roboflow, VOC or YOLO, or one that has such a
            folder; an annotation file of COCO's format, or a data set's .yaml of YOLO's.

    Returns:
        The data, whose splits are `ObjectImages`. Its facts have `annotation_problems`, the number
        of each kind, and `annotation_examples`; see `describe_annotation_problems`.

    Raises:
        UserError: There is no such data, or a split has nothing that can be used.
    """
    if not spec.strip():
        raise UserError(f"--data is empty: give {WHAT_IS_READ}.")
    path = expand_user(spec)
    if not path.exists():
        raise UserError(f"{spec} does not exist: --data takes {WHAT_IS_READ}.")
    with _paused_garbage_collector():
        open_format = find_format(path)
        if open_format is None:
            raise UserError(_describe_unknown(spec, path))
        return open_format()


def has_objects(path: Path) -> bool:
    """Return whether a folder or a file is in one of the layouts that `open_objects` reads."""
    return find_format(path) is not None


def find_format(path: Path) -> Callable[[], Data] | None:
    """Return what opens a folder or a file, or None if it has none of the formats.

    Raises:
        UserError: It has several data sets.
    """
    folder, suffix = path.parent, path.suffix.lower()
    if path.is_dir():
        name = path.resolve().name
        return _find_in_folder(name, path) or _find_in_folder(name, descend(path))
    if suffix == ".json":
        root = folder.parent if folder.name.lower() == "annotations" else folder
        return partial(open_coco, path.stem, root, {"all": path})
    if suffix in YAML_SUFFIXES:
        return partial(open_yolo, folder.resolve().name, folder, path)
    return None


def _find_in_folder(name: str, root: Path) -> Callable[[], Data] | None:
    if files := find_coco_files(root):
        return partial(open_coco, name, root, files)
    if base := find_voc_folder(root):
        return partial(open_voc, name, base)
    if is_yolo_folder(root):
        return partial(open_yolo, name, root)
    if files := find_coco_files(root, in_root=True):
        return partial(open_coco, name, root, files)
    return None


def _describe_unknown(spec: str, path: Path) -> str:
    if not path.is_dir():
        return f"{spec} is a file of another kind: --data takes {WHAT_IS_READ}."
    if labelme := describe_labelme(path):
        return labelme
    return f"{path} has no annotations of objects: --data takes {WHAT_IS_READ}."


def describe_labelme(path: Path) -> str | None:
    """Return what to do with a folder of labelme's files, or None for another folder."""
    for file in list_json(path) or list_json(descend(path)):
        if matches_head(file, LABELME):
            what = f"{path} has a .json per image ({file.name}), as of labelme"
            return f"{what}: convert them to COCO's format."
    return None


@contextlib.contextmanager
def _paused_garbage_collector() -> Iterator[None]:
    """Pause Python's search for cycles, which doubles the time to read millions of objects."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
