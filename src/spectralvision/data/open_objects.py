"""Open a data set with annotations of objects: COCO json, VOC xml, YOLO txt."""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

from spectralvision.data.open_coco import find_coco_files, open_coco
from spectralvision.data.open_voc import find_voc_folder, open_voc
from spectralvision.data.open_yolo import open_yolo
from spectralvision.data.splits import Data
from spectralvision.data.yolo_layout import YAML_SUFFIXES, is_yolo_folder
from spectralvision.runs import UserError, expand_user

WHAT_IS_READ = (
    "a folder of images with annotations/instances_train.json (COCO), Annotations/*.xml (VOC) or "
    "labels/*.txt (YOLO), or one .json of COCO's format or .yaml of YOLO's"
)


def open_objects(spec: str) -> Data:
    """Open images with annotated objects, without decoding the images.

    Args:
        spec: A folder in one of the layouts of COCO, Roboflow, VOC or YOLO, an annotation file of
            COCO's format, or a data set's .yaml of YOLO's.

    Returns:
        The data, whose splits are `ObjectImages`. Its facts have `annotation_problems`, the number
        of each kind, and `annotation_examples`; see `describe_annotation_problems`.

    Raises:
        UserError: There is no such data, or a split has nothing that can be used.
    """
    if not spec.strip():
        raise UserError(f"--data is empty: give {WHAT_IS_READ}.")
    path = expand_user(spec)
    with _paused_garbage_collector():
        if path.is_dir():
            return _open_folder(path)
        return _open_file(spec, path)


def has_objects(path: Path) -> bool:
    """Return whether a folder or a file is in one of the layouts that `open_objects` reads."""
    if not path.is_dir():
        return path.suffix.lower() in (".json", *YAML_SUFFIXES)
    if find_coco_files(path) or find_voc_folder(path) or is_yolo_folder(path):
        return True
    return bool(find_coco_files(path, in_root=True))


def _open_file(spec: str, path: Path) -> Data:
    if not path.is_file():
        raise UserError(f"{spec} does not exist: --data takes {WHAT_IS_READ}.")
    suffix, folder = path.suffix.lower(), path.parent
    if suffix == ".json":
        is_below = folder.name.lower() == "annotations"
        return open_coco(path.stem, folder.parent if is_below else folder, {"all": path})
    if suffix in YAML_SUFFIXES:
        return open_yolo(folder.resolve().name, folder, path)
    raise UserError(f"{spec} is a file of another kind: --data takes {WHAT_IS_READ}.")


def _open_folder(path: Path) -> Data:
    name = path.resolve().name
    if files := find_coco_files(path):
        return open_coco(name, path, files)
    if base := find_voc_folder(path):
        return open_voc(name, base)
    if is_yolo_folder(path):
        return open_yolo(name, path)
    if files := find_coco_files(path, in_root=True):
        return open_coco(name, path, files)
    raise UserError(f"{path} has no annotations of objects: --data takes {WHAT_IS_READ}.")


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
