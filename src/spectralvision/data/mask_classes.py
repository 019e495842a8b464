"""Find the classes of masks: in a list, in their known data set, or in the masks themselves."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from spectralvision.data.class_lists import (
    BINARY,
    ClassList,
    find_class_list,
    infer_classes,
    read_class_list,
)
from spectralvision.data.masks import MaskSource, Values
from spectralvision.data.scan_masks import find_values


def find_classes(
    folders: Iterable[Path],
    masks: Sequence[MaskSource],
    where: str,
    known: ClassList | None = None,
) -> ClassList:
    """Return the classes of masks.

    The masks are decoded if no file lists their classes, or if it lists two without values: the
    second one may be white.

    Args:
        folders: Where the list may be.
        masks: The masks.
        where: The data set, for messages.
        known: Classes of the data set, unless they are listed.

    Raises:
        UserError: The list cannot be read; or there is none, and the masks have no class numbers.
    """
    path = find_class_list(folders)
    if path is None:
        return known or infer_classes(find_values(masks), where)
    classes = read_class_list(path)
    if classes.values == Values({0: 0, 1: 1}, {}):
        values = set(find_values(masks))
        if values in BINARY:
            return classes._replace(values=Values({0: 0, max(values): 1}, {}))
    return classes
