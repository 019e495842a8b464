"""One XML file with the objects of an image, as of Pascal VOC or by LabelImg.

Boxes are 1-based and their last pixel is inside, as VOC defines them: a box from 1 to 10 covers the
first ten pixels, which is 0 to 10 here.
"""

from pathlib import Path
from typing import Any, NamedTuple

from spectralvision.data.image_files import describe_error, open_regular_file
from spectralvision.data.names import normalize_name
from spectralvision.data.parse_numbers import to_floats, to_whole
from spectralvision.runs import UserError, require_extra

SIDES = ("xmin", "ymin", "xmax", "ymax")


class XmlObject(NamedTuple):
    """An object in an XML file."""

    class_name: str
    box: tuple[float, float, float, float] | None
    """x1, y1, x2, y2 in pixels; None if it cannot be read."""
    is_difficult: bool


class XmlFile(NamedTuple):
    """The content of an XML file."""

    size: tuple[int, int] | None
    """(H, W) in pixels, if it is stated."""
    objects: list[XmlObject]


def read_xml(path: Path) -> XmlFile:
    """Read an XML file, without the entities that could make it expand.

    Raises:
        UserError: It cannot be read; the message is the reason in a few words.
    """
    require_extra("dense", "defusedxml")
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        with open_regular_file(path) as file:
            tree = fromstring(file.read())
    except DefusedXmlException:
        raise UserError("entities are not read") from None
    except (OSError, ValueError, ParseError, LookupError) as error:
        raise UserError(describe_error(error)) from None
    if tree.tag != "annotation":
        raise UserError(f"<{tree.tag}> in place of <annotation>")
    sides = [to_whole(tree.findtext(f"size/{side}")) for side in ("height", "width")]
    size = (sides[0], sides[1]) if sides[0] and sides[1] else None
    return XmlFile(size, [_parse_object(one) for one in tree.iterfind("object")])


def _parse_object(element: Any) -> XmlObject:
    values = to_floats([element.findtext(f"bndbox/{side}") for side in SIDES])
    box = (values[0] - 1, values[1] - 1, values[2], values[3]) if values else None
    name = normalize_name((element.findtext("name") or "").strip())
    return XmlObject(name, box, (element.findtext("difficult") or "").strip() == "1")
