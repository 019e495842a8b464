"""Options of `evaluate` and `predict` for classifiers. Imports neither torch nor timm."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of `evaluate` for classifiers."""

    per_class: bool = False
    """Also print recall and precision of each class."""


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """Options of `predict` for classifiers."""

    top_k: int = 1
    """Number of most probable classes to show for each image."""
    flip: bool = False
    """Average the probabilities of each image and of its mirror image."""
