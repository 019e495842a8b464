"""From an image to a tensor: timm's transforms, with preprocessing from the model."""

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from spectralvision.data.sampling import Scales
from spectralvision.runs import UserError, refuse_outside

if TYPE_CHECKING:
    from spectralvision.data.datasets import Data

Auto = Literal["auto"]
PHOTO_POLICY = "rand-m7-mstd0.5-inc1"
RANGES = {
    "hflip": (0, 1), "min_scale": (0.01, 1), "color_jitter": (0, 1), "re_prob": (0, 1), "repeats": (1, inf),
    "min_size": (32, inf), "max_size": (32, inf),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How a training image is varied. `auto` is decided by the data."""

    hflip: float | Auto = "auto"
    """Chance of mirroring; auto: 0.5, and 0 for digits."""
    min_scale: float | Auto = "auto"
    """Smallest share of an image's area that a random crop keeps; auto: 0.35, and 0.6 for digits."""
    auto_augment: str = "auto"
    """timm's policy, or none; auto: rand-m7-mstd0.5-inc1 for photographs, none for digits."""
    color_jitter: float = 0.3
    """Strength of colour jitter; timm leaves it out where a policy is used."""
    re_prob: float = 0.0
    """Chance of erasing a random rectangle."""
    repeats: int = 1
    """Variants of an image in an epoch, which then takes one image in so many."""
    min_size: int | None = None
    """With `max_size`: sides of training images in pixels, multiples of 32 that take turns from batch to batch; a
    batch of smaller ones has more of them, so that its pixels stay about the same. None: all of the input size."""
    max_size: int | None = None
    """See `min_size`."""

    def check(self) -> None:
        """Raises `UserError` for a value that cannot work."""
        refuse_outside(vars(self), RANGES)
        if (self.min_size is None) != (self.max_size is None):
            raise UserError("--min-size and --max-size go together: give both, or neither.")
        if self.min_size is not None and self.max_size is not None and not self.scales(1).sizes():  # type: ignore[union-attr]
            raise UserError(
                f"no multiple of 32 lies between --min-size {self.min_size} and --max-size {self.max_size}."
            )
        if self.auto_augment not in ("auto", "none") and not _is_policy(self.auto_augment):
            raise UserError(f"--auto-augment {self.auto_augment} is no policy of timm's: try none, or {PHOTO_POLICY}.")

    def scales(self, input_size: int) -> Scales | None:
        """The sides of training images where they vary, with batches counted at `input_size`."""
        if self.min_size is None or self.max_size is None:
            return None
        return Scales(self.min_size, self.max_size, input_size)

    def resolved(self, data: "Data") -> "Augmentation":
        """The fields with every `auto` that the data decides filled in."""
        return replace(
            self,
            hflip=data.hflip if self.hflip == "auto" else self.hflip,
            min_scale=(0.35 if data.photographs else 0.6) if self.min_scale == "auto" else self.min_scale,
            auto_augment=(PHOTO_POLICY if data.photographs else "none")
            if self.auto_augment == "auto"
            else self.auto_augment,
        )


def _is_policy(name: str) -> bool:
    from timm.data import create_transform

    try:
        create_transform(32, is_training=True, auto_augment=name)
    except (AssertionError, ValueError, KeyError, IndexError):
        return False
    return True


def train_transform(augmentation: Augmentation, config: dict[str, Any]) -> Any:
    """PIL image -> (3, H, W) float. `config` is what timm's `resolve_data_config` gives for the model."""
    from timm.data import create_transform

    assert not isinstance(augmentation.hflip, str), "resolve against the data first"
    assert not isinstance(augmentation.min_scale, str), "resolve against the data first"
    policy = augmentation.auto_augment
    return create_transform(
        input_size=config["input_size"],
        is_training=True,
        scale=(augmentation.min_scale, 1.0),
        hflip=augmentation.hflip,
        auto_augment=None if policy == "none" else policy,
        color_jitter=augmentation.color_jitter,
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
        re_prob=augmentation.re_prob,
        re_mode="pixel",
    )


def eval_transform(config: dict[str, Any]) -> Any:
    """PIL image -> (3, H, W) float: resized, centre-cropped and normalised as the model expects."""
    from timm.data import create_transform

    return create_transform(
        input_size=config["input_size"],
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
        crop_pct=config["crop_pct"],
        crop_mode=config["crop_mode"],
    )
