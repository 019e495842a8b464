"""Options of `evaluate` and `predict` for segmentation. Imports neither torch nor timm."""

from dataclasses import dataclass

from spectralvision.runs import MAX_SIDE, UserError, check_ranges


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """Test-time augmentation: scales, flip, sliding window."""

    scales: tuple[float, ...] = (1.0,)
    """Factors on the size to which images are resized (--short-side of training); the
    probabilities of all are averaged."""
    flip: bool = False
    """Average the probabilities of each image and of its mirror image."""
    window: int | None = None
    """Side of a square window in pixels that slides over the resized image by two thirds of its
    side. Default: the whole image at once."""

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges({"window": self.window}, {"window": (32, MAX_SIDE)})
        for scale in self.scales:
            if not 0.1 <= scale <= 10:
                raise UserError(f"--scales {scale:g} should be between 0.1 and 10.")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ViewOptions):
    """Options of `evaluate` for segmentation."""

    per_class: bool = False
    """Also print IoU and accuracy of each class."""


@dataclass(frozen=True, kw_only=True)
class PredictOptions(ViewOptions):
    """Options of `predict` for segmentation."""

    masks: str | None = None
    """Folder for a PNG per image with the value of the class in each pixel, as in the masks that
    were trained on, shown in colors."""
    pictures: str | None = None
    """Folder for a picture per image with the classes drawn over it."""
