"""The adaptive frequency filter on one image, from the paper's equations."""

import numpy as np

from tests.reference.complex_linear import apart, complex_linear
from tests.reference.fourier import irfft2, rfft2


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def softshrink(x: np.ndarray, threshold: float) -> np.ndarray:
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0)


def mask(
    x: np.ndarray, weights: dict[str, np.ndarray], groups: int, threshold: float
) -> np.ndarray:
    """x (C, H, W) -> complex mask (C, H, W // 2 + 1)."""
    spectrum = np.stack([rfft2(channel) for channel in x])
    blocks = spectrum.reshape(groups, len(x) // groups, -1)
    hidden = apart(silu, complex_linear(blocks, weights["w1"], weights["b1"]))
    out = complex_linear(hidden, weights["w2"], weights["b2"])
    return apart(lambda part: softshrink(part, threshold), out).reshape(spectrum.shape)


def adaptive_frequency_filter(
    x: np.ndarray, weights: dict[str, np.ndarray], groups: int, threshold: float, inner_skip: bool
) -> np.ndarray:
    filtered = mask(x, weights, groups, threshold) * np.stack([rfft2(channel) for channel in x])
    y = np.stack([irfft2(channel, x.shape[-1]) for channel in filtered])
    return y + x if inner_skip else y


def circular_convolution(kernel: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Of two maps (H, W)."""
    out = np.zeros_like(x)
    for dh in range(x.shape[0]):
        for dw in range(x.shape[1]):
            out += kernel[dh, dw] * np.roll(x, (dh, dw), axis=(0, 1))
    return out
