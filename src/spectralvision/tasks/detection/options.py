"""Options of `evaluate` and `predict` for detectors. Imports neither torch nor timm."""

from dataclasses import dataclass

from spectralvision.runs import Auto, check_ranges


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of `evaluate` for detectors."""

    max_dets: int = 100
    """Maximum number of detections per image, those with the highest scores: COCO's maxDets."""
    per_class: bool = False
    """Also print the average precision of each class."""

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges(vars(self), {"max_dets": (1, 10_000)})


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """Options of `predict` for detectors."""

    min_score: float | Auto = "auto"
    """Lowest score of an object that is shown; auto: the one with the best F1 in validation."""
    pictures: str | None = None
    """Folder for a copy of each image with boxes, names, scores and masks drawn on it."""
    masks: str | None = None
    """Folder for a PNG per image with the number of the object in each pixel, from 1 for the
    highest score, and 0 for none. For mask_rcnn."""

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges(vars(self), {"min_score": (0, 1)})
