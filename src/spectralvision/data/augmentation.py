"""Augmentation settings.

Imports neither torch nor timm, so that the command line can read the fields quickly.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from spectralvision.runs import MAX_SIDE, Auto, UserError, check_ranges

if TYPE_CHECKING:
    from spectralvision.data.splits import Data

PHOTO_POLICY = "rand-m7-mstd0.5-inc1"
PHOTO_MIN_SCALE = 0.35
DIGIT_MIN_SCALE = 0.6
RANGES = {
    "hflip": (0, 1),
    "min_scale": (0.01, 1),
    "color_jitter": (0, 1),
    "re_prob": (0, 1),
    "repeats": (1, 1000),
    "min_size": (32, MAX_SIDE),
    "max_size": (32, MAX_SIDE),
}


class SizeRange(NamedTuple):
    """Sizes of square training images: the multiples of `step` from `smallest` to `largest`.

    A batch of size s has base^2 / s^2 times as many images, so that all batches have about the same
    number of pixels.
    """

    smallest: int
    largest: int
    base: int
    step: int = 32

    def sizes(self) -> list[int]:
        """Return the sizes in pixels, smallest first."""
        first = -(-self.smallest // self.step) * self.step
        return list(range(first, self.largest + 1, self.step))


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Augmentation of training images. `auto` values depend on the data."""

    hflip: float | Auto = "auto"
    """Probability of a horizontal flip (auto: 0.5; 0 for digits)."""
    min_scale: float | Auto = "auto"
    """Smallest area of a random crop, as a fraction of the image (auto: 0.35; 0.6 for digits)."""
    auto_augment: str = "auto"
    """timm policy, or none (auto: rand-m7-mstd0.5-inc1 for photographs, none for digits)."""
    color_jitter: float = 0.3
    """Strength of color jitter; timm ignores it when a policy is used."""
    re_prob: float = 0.0
    """Probability of random erasing."""
    repeats: int = 1
    """Augmented variants of an image per epoch; an epoch then uses one image in `repeats`."""
    min_size: int | None = None
    """Smallest training image size in pixels; needs --max-size. The size changes from batch to
    batch among the multiples of 32 in the range, and batches of smaller images have more of them,
    with about the same number of pixels. Default: all images have the input size."""
    max_size: int | None = None
    """Largest size of training images in pixels; see --min-size."""

    def check(self) -> None:
        """Check the fields.

        Raises:
            UserError: A value is out of range, unknown, or missing beside another.
        """
        check_ranges(vars(self), RANGES)
        if (self.min_size is None) != (self.max_size is None):
            raise UserError("--min-size and --max-size go together: give both, or neither.")
        size_range = self.size_range(1)
        if size_range is not None and not size_range.sizes():
            raise UserError(
                f"there is no multiple of 32 between --min-size {self.min_size} and "
                f"--max-size {self.max_size}."
            )
        if self.auto_augment not in ("auto", "none") and not _is_policy(self.auto_augment):
            raise UserError(
                f"--auto-augment {self.auto_augment} is not a timm policy: try none, or "
                f"{PHOTO_POLICY}."
            )

    def size_range(self, input_size: int) -> SizeRange | None:
        """Return the range of sizes, or None for one size; batches are counted at `input_size`."""
        if self.min_size is None or self.max_size is None:
            return None
        return SizeRange(self.min_size, self.max_size, input_size)

    def resolve(self, data: "Data") -> "AugmentationConfig":
        """Return the same settings with every `auto` replaced by the value for `data`."""
        hflip = data.hflip if self.hflip == "auto" else self.hflip
        min_scale = self.min_scale
        if min_scale == "auto":
            min_scale = PHOTO_MIN_SCALE if data.photographs else DIGIT_MIN_SCALE
        policy = self.auto_augment
        if policy == "auto":
            policy = PHOTO_POLICY if data.photographs else "none"
        return replace(self, hflip=hflip, min_scale=min_scale, auto_augment=policy)


def _is_policy(name: str) -> bool:
    from timm.data import create_transform

    try:
        create_transform(32, is_training=True, auto_augment=name)
    except (AssertionError, ValueError, KeyError, IndexError):
        return False
    return True
