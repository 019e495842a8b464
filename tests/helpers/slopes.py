"""Gradients of functions on NumPy arrays, for twins that cannot be differentiated."""

from collections.abc import Callable

import numpy as np

STEP = 1e-6  # relative to inputs of unit variance, in float64


def directional_slope(
    function: Callable[..., np.ndarray],
    inputs: list[np.ndarray],
    direction: list[np.ndarray],
    probe: np.ndarray,
) -> float:
    """Return the slope of sum(function(*inputs) * probe) along `direction`: central differences."""

    def value(step: float) -> float:
        moved = [x + step * along for x, along in zip(inputs, direction, strict=True)]
        return float((function(*moved) * probe).sum())

    return (value(STEP) - value(-STEP)) / (2 * STEP)
