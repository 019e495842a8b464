"""One annotation file of COCO's format: images, categories, and objects with boxes and outlines."""

import contextlib
import json
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spectralvision.data.annotated_files import path_below
from spectralvision.data.annotation_problems import Problem, ProblemCounter
from spectralvision.data.image_files import describe_error, open_regular_file
from spectralvision.data.names import normalize_name
from spectralvision.data.object_store import Annotation
from spectralvision.data.parse_numbers import to_float, to_floats, to_whole
from spectralvision.runs import UserError


class ListedImage(NamedTuple):
    """An image as a file lists it."""

    file: str
    size: tuple[int, int] | None
    """(H, W) in pixels, if it is stated."""
    image_id: int
    objects: list[tuple[str, dict[str, Any]]]
    """Name for messages and content of each."""


class CocoFile(NamedTuple):
    """The content of an annotation file."""

    path: Path
    classes: dict[int, str]
    """Category number -> name, by number."""
    images: list[ListedImage]
    is_labeled: bool
    """Whether there are annotations, as there are none for the test images of challenges."""


def read_coco(path: Path, root: Path, problems: ProblemCounter) -> CocoFile:
    """Read an annotation file; count and leave out entries that cannot be used.

    Args:
        path: The file.
        root: The folder of the data set; images in it may have absolute paths.
        problems: Where to count.

    Raises:
        UserError: It is no such file.
    """
    # 1. Images and classes
    content = _read_object(path)
    by_id = _read_images(path, root, _list_of(content, "images", path), problems)
    images = list({id(image): image for image in by_id.values()}.values())
    if not images:
        raise UserError(f"{path} lists no usable image{problems.first()}: correct it.")
    if content.get("annotations") in (None, []):
        return CocoFile(path, {}, images, False)
    annotations = _list_of(content, "annotations", path)
    classes = _read_classes(path, _list_of(content, "categories", path), annotations)

    # 2. Objects of each image
    first_of: dict[int, Any] = {}
    for place, one in enumerate(annotations, 1):
        name = _name_of(one, place)
        if not isinstance(one, dict):
            problems.add(Problem.WRONG_OBJECT, name)
            continue
        image = by_id.get(to_whole(one.get("image_id")))
        if image is None:
            problems.add(Problem.UNKNOWN_IMAGE, f"{name}, image_id {one.get('image_id')!r}")
            continue
        number = to_whole(one.get("id"))
        if number is not None and first_of.setdefault(number, one) is not one:
            if first_of[number] == one:
                problems.add(Problem.OBJECT_TWICE, f"{image.file} ({name})")
                continue
            problems.add(Problem.SAME_NUMBER, f"{image.file} ({name})")
        image.objects.append((name, one))
    return CocoFile(path, classes, images, True)


def parse_objects(
    image: ListedImage, label_of: Mapping[Any, int], problems: ProblemCounter
) -> list[Annotation]:
    """Return the objects of an image; count and leave out those that cannot be used.

    Args:
        image: The image with its objects as JSON.
        label_of: Label of each category number.
        problems: Where to count.
    """
    found = []
    for name, one in image.objects:
        where = f"{image.file} ({name})"
        label = label_of.get(to_whole(one.get("category_id")))
        if label is None:
            category = one.get("category_id")
            problems.add(Problem.UNKNOWN_CLASS, f"{image.file} ({name}, category_id {category!r})")
            continue
        box, segment = _parse_box(one.get("bbox")), one.get("segmentation")
        if box is None and one.get("bbox"):
            problems.add(Problem.WRONG_OBJECT, where)
            continue
        if box and segment and (box[2] <= box[0] or box[3] <= box[1]):
            box = None  # that of the segment
        crowd = one.get("iscrowd") or 0
        is_crowd = crowd is True or to_whole(crowd) == 1
        if not is_crowd and to_whole(crowd) != 0:
            problems.add(Problem.WRONG_CROWD, where)
        found.append(Annotation(name, box, label, segment, is_crowd, to_float(one.get("area"))))
    return found


def _read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; bytes that are not UTF-8 become those of file names."""
    try:
        with open_regular_file(path) as file:
            text = file.read().decode("utf-8-sig", "surrogateescape")
        content = json.loads(text, object_hook=_compact_polygons)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
            raise UserError(f"{path} is empty or cut off: copy or download it again.") from None
        raise UserError(f"{path} cannot be read as JSON ({describe_error(error)}).") from None
    except RecursionError:
        raise UserError(f"{path} cannot be read as JSON (it is nested too deeply).") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({describe_error(error)}).") from None
    if not isinstance(content, dict):
        raise UserError(
            f"{path} has a JSON {type(content).__name__}, but annotations of COCO's format are an "
            "object with images, annotations and categories."
        )
    return content


def _compact_polygons(entry: dict[str, Any]) -> dict[str, Any]:
    """Keep the polygons of an annotation as arrays: a list of numbers takes four times the memory.

    What is no list of numbers stays as it is.
    """
    segment = entry.get("segmentation")
    if isinstance(segment, list):
        for index, polygon in enumerate(segment):
            if isinstance(polygon, list):
                with contextlib.suppress(TypeError, OverflowError):
                    segment[index] = array("d", polygon)
    return entry


def _list_of(content: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = content.get(key)
    if not isinstance(value, list) or not value:
        raise UserError(
            f"{path} has no list of {key}: annotations of COCO's format have images, annotations "
            "and categories."
        )
    return value


def _read_images(
    path: Path, root: Path, entries: list[Any], problems: ProblemCounter
) -> dict[Any, ListedImage]:
    """Return the images by number; one that is listed twice is one image.

    Raises:
        UserError: Two images have the same number.
    """
    by_id: dict[Any, ListedImage] = {}
    by_file: dict[str, ListedImage] = {}
    for place, entry in enumerate(entries, 1):
        image = _parse_image(path, root, entry)
        if image is None:
            problems.add(Problem.WRONG_IMAGE, _describe_image(path, entry, place))
            continue
        same = by_id.get(image.image_id)
        if same is not None and same.file != image.file:
            raise UserError(
                f"{path} has the image id {image.image_id} twice ({same.file}, {image.file}): give "
                "each image its own."
            )
        if image.file in by_file:
            problems.add(Problem.IMAGE_TWICE, image.file)
        by_id[image.image_id] = by_file.setdefault(image.file, image)
    return by_id


def _parse_image(path: Path, root: Path, entry: Any) -> ListedImage | None:
    """Return an image, or None if it has no number or file name, or no valid size.

    Raises:
        UserError: It is outside of the folder of the data set.
    """
    if not isinstance(entry, dict):
        return None
    file, number = entry.get("file_name"), to_whole(entry.get("id"))
    if not isinstance(file, str) or not file or number is None:
        return None
    size = None
    if entry.get("height") or entry.get("width"):
        height, width = to_whole(entry.get("height")), to_whole(entry.get("width"))
        if height is None or width is None or min(height, width) < 1:
            return None
        size = (height, width)
    inner = path_below(file, root)
    if inner is None:
        raise UserError(
            f"{path} names the file {file!r}: write paths below the folder of the images."
        )
    return ListedImage(inner, size, number, [])


def _describe_image(path: Path, entry: Any, place: int) -> str:
    """Return what to call an image entry that cannot be read, and what is wrong with its id."""
    if not isinstance(entry, dict):
        return f"image {place} of {path.name}"
    name, number = str(entry.get("file_name") or f"image {place} of {path.name}"), entry.get("id")
    if to_whole(number) is not None:
        return name
    return f"{name} (its id {number!r:.50} is not a whole number)"


def _read_classes(path: Path, entries: list[Any], annotations: list[Any]) -> dict[int, str]:
    """Return the name of each category by its number, in the order of the numbers.

    Raises:
        UserError: A category cannot be read, or a number or name occurs twice.
    """
    classes: dict[int, str] = {}
    for entry in _without_root(entries, annotations):
        number = to_whole(entry.get("id")) if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if number is None or not isinstance(name, str | int) or not str(name).strip():
            raise UserError(f"{path} has the category {entry!r}: give it an id and a name.")
        if number in classes:
            raise UserError(f"{path} has the category id {number} twice: give each its own.")
        classes[number] = normalize_name(str(name).strip())
    names = list(classes.values())
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path} has the category name {name!r} twice: rename one of them.")
    return dict(sorted(classes.items()))


def _without_root(entries: list[Any], annotations: list[Any]) -> list[Any]:
    """Leave out the category that Roboflow adds above the others, and that no object has."""
    first = entries[0]
    if len(entries) < 2 or not isinstance(first, dict) or first.get("supercategory") != "none":
        return entries
    is_above = all(
        isinstance(one, dict) and one.get("supercategory") == first.get("name")
        for one in entries[1:]
    )
    used = any(
        isinstance(one, dict) and one.get("category_id") == first.get("id") for one in annotations
    )
    return entries[1:] if is_above and not used else entries


def _name_of(annotation: Any, place: int) -> str:
    """Return what to call an annotation in messages: its number, or else its place in the list."""
    number = annotation.get("id") if isinstance(annotation, dict) else None
    return f"annotation {place if number is None else number}"


def _parse_box(values: Any) -> tuple[float, float, float, float] | None:
    """Return x1, y1, x2, y2 of COCO's x, y, width, height; None if they are no finite numbers."""
    numbers = to_floats(values)
    if numbers is None or len(numbers) != 4:
        return None
    x, y, width, height = numbers
    return x, y, x + width, y + height
