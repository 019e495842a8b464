"""Images with a class for each pixel."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from spectralvision.data.image_files import open_mask
from spectralvision.data.images import Images, WrappedImages
from spectralvision.runs import UserError

IGNORED = -1
"""Class of pixels that neither train nor count."""
UNKNOWN = -2
"""What stands for a value that is no class."""
USUAL_IGNORED = (255,)
"""Values that are ignored unless they are named classes."""
MAX_VALUE = 65_535
MAX_NAMED_VALUES = 5
COLOR_MODES = ("RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV")
PALETTE_AND_GRAY_MODES = ("1", "L", "LA", "P", "PA")
Color = tuple[int, int, int]


class ClassMap(NamedTuple):
    """The target of an image."""

    classes: np.ndarray
    """(H, W) int16: the class of each pixel, or `IGNORED`."""
    source: str
    """Name of the mask, for messages."""


class MaskSource(Protocol):
    """Masks by index, each in the pixels of an image."""

    def __len__(self) -> int: ...

    def mask(self, index: int) -> Image.Image:
        """Return a mask: values of one channel, or colors."""

    def name(self, index: int) -> str:
        """Return the name of a mask."""

    def version(self, index: int) -> str:
        """Return a text that changes with a mask, for fingerprints."""


class MaskFiles:
    """Mask files below a folder."""

    def __init__(self, root: Path, files: Sequence[str]) -> None:
        self.root, self.files = root, files

    def __len__(self) -> int:
        return len(self.files)

    def mask(self, index: int) -> Image.Image:
        return open_mask(self.root / self.files[index])

    def name(self, index: int) -> str:
        return self.files[index]

    def version(self, index: int) -> str:
        return f"{self.files[index]} {(self.root / self.files[index]).stat().st_size}"


class Values(NamedTuple):
    """What the values of masks stand for."""

    classes: Mapping[int, int]
    """Value -> class, or `IGNORED`."""
    colors: Mapping[Color, int]
    """Color -> class, or `IGNORED`; empty where colors are not known."""

    def has_colors_of(self, mode: str) -> bool:
        """Return whether masks of one of Pillow's modes are read by their colors."""
        is_color = mode in COLOR_MODES or (not self.classes and mode in PALETTE_AND_GRAY_MODES)
        return bool(self.colors) and is_color

    def of_classes(self, number: int) -> list[int]:
        """Return the value of each of so many classes; its number where it has a color instead."""
        first = {label: value for value, label in sorted(self.classes.items(), reverse=True)}
        return [first.get(label, label) for label in range(number)]

    def table(self) -> np.ndarray:
        """Return (65536,) int16: the class of each value, `UNKNOWN` for others."""
        table = np.full(MAX_VALUE + 1, UNKNOWN, np.int16)
        table[list(USUAL_IGNORED)] = IGNORED
        for value, number in self.classes.items():
            table[value] = number
        return table


class MaskImages(WrappedImages):
    """Images whose targets are class maps.

    Args:
        base: The images.
        masks: A mask for each.
        values: What the values of the masks stand for.
    """

    def __init__(self, base: Images, masks: MaskSource, values: Values) -> None:
        super().__init__(base, np.zeros(len(base), np.int64))
        self.has_labels = False
        self.masks, self.values = masks, values
        self._table = values.table()

    def target(self, index: int) -> ClassMap:
        """Return the class map of an image.

        Raises:
            UserError: The mask cannot be read, or has values that are no classes.
        """
        mask, name = self.masks.mask(index), self.masks.name(index)
        if self.values.has_colors_of(mask.mode):
            return ClassMap(_read_colors(mask, self.values.colors, name), name)
        return ClassMap(_read_values(mask, self._table, name), name)

    def annotation(self, index: int) -> str:
        return self.masks.version(index)


class ReorderedMasks(WrappedImages):
    """The same images with class maps of another order of classes: `new_classes[old class]`."""

    def __init__(self, base: Images, new_classes: Sequence[int]) -> None:
        super().__init__(base, base.labels)
        self._table = np.array([*new_classes, IGNORED], np.int16)  # IGNORED is its last index

    def target(self, index: int) -> ClassMap:
        classes, source = self.base.target(index)
        return ClassMap(self._table[classes], source)

    def annotation(self, index: int) -> str:
        return self.base.annotation(index)


def mask_values(mask: Image.Image, name: str) -> np.ndarray:
    """Return (H, W) whole numbers, 0 to 65535, of a mask with one channel or equal ones.

    Raises:
        UserError: It has channels that differ, or other values.
    """
    if mask.mode in COLOR_MODES:
        channels = np.asarray(mask.convert("RGB"))
        if (channels == channels[..., :1]).all():
            return channels[..., 0]
        raise UserError(
            f"{name} has colors, but it is not known what they stand for: give the color of each "
            "class in classes.json, or save masks with class numbers."
        )
    if mask.mode == "LA":
        mask = mask.getchannel("L")
    values = np.asarray(mask)
    if values.dtype == bool:
        return values.astype(np.uint8)
    is_whole = values.dtype.kind in "iu"
    if not is_whole or values.min(initial=0) < 0 or values.max(initial=0) > MAX_VALUE:
        raise UserError(f"{name} has no class numbers (mode {mask.mode}): use 8 or 16-bit values.")
    return values


def _read_values(mask: Image.Image, table: np.ndarray, name: str) -> np.ndarray:
    values = mask_values(mask, name)
    classes = table[values]
    if (classes == UNKNOWN).any():
        found = np.unique(values[classes == UNKNOWN])
        are = "which are" if len(found) > 1 else "which is"
        raise UserError(
            f"{name} has {_join('value', found.tolist())}, {are} not in the list of classes."
        )
    return classes


def _read_colors(mask: Image.Image, colors: Mapping[Color, int], name: str) -> np.ndarray:
    pixels = np.asarray(mask.convert("RGB")).astype(np.int32)
    codes = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    known, inverse = np.unique(codes, return_inverse=True)
    found = [(code >> 16, code >> 8 & 255, code & 255) for code in known.tolist()]
    if unknown := [color for color in found if color not in colors]:
        are = "which are" if len(unknown) > 1 else "which is"
        raise UserError(f"{name} has {_join('color', unknown)}, {are} not in the list of classes.")
    classes = np.array([colors[color] for color in found], np.int16)
    return classes[inverse].reshape(codes.shape)


def _join(noun: str, found: Sequence[object]) -> str:
    """Return the first of some values or colors in words."""
    shown = ", ".join(map(str, found[:MAX_NAMED_VALUES]))
    rest = len(found) - MAX_NAMED_VALUES
    plural = "s" if len(found) > 1 else ""
    return f"the {noun}{plural} {shown}" + (f" and {rest} more" if rest > 0 else "")
