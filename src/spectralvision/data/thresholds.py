"""Thresholds above or below which data validation, messages and reports warn about a data set."""

from collections.abc import Sequence

import numpy as np

MIN_VAL_IMAGES = 50
"""Validation images below which one image changes the accuracy by more than two points."""
MIN_VAL_IMAGES_PER_CLASS = 5
"""Validation images of a class below which its own metrics mean little."""
CLASS_IMBALANCE_RATIO = 5
"""Largest class over smallest class (training images) from which classes count as imbalanced."""


def is_imbalanced(counts: Sequence[int] | np.ndarray) -> bool:
    """Return whether largest over smallest count is at least `CLASS_IMBALANCE_RATIO`."""
    return len(counts) > 0 and max(counts) >= CLASS_IMBALANCE_RATIO * min(counts)
