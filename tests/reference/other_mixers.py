"""Mixers of other papers on one image, from their equations."""

import numpy as np

from tests.reference.adaptive_frequency import softshrink
from tests.reference.complex_linear import apart, complex_linear
from tests.reference.fourier import irfft2, rfft2

HAAR = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2


def afno(x: np.ndarray, weights: dict[str, np.ndarray], groups: int, threshold: float):
    """x (C, H, W) -> the same."""
    spectrum = np.stack([rfft2(channel) for channel in x])
    blocks = spectrum.reshape(groups, len(x) // groups, -1)
    hidden = apart(
        lambda part: np.maximum(part, 0), complex_linear(blocks, weights["w1"], weights["b1"])
    )
    out = complex_linear(hidden, weights["w2"], weights["b2"])
    out = apart(lambda part: softshrink(part, threshold), out).reshape(spectrum.shape)
    return x + np.stack([irfft2(channel, x.shape[-1]) for channel in out])


def fourier_mixing(x: np.ndarray) -> np.ndarray:
    """x (C, H, W) -> the same; the sum over all samples for each result."""
    out = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        for sample in np.ndindex(*x.shape):
            turns = sum(k * n / size for k, n, size in zip(index, sample, x.shape, strict=True))
            out[index] += x[sample] * np.cos(2 * np.pi * turns)
    return out / np.sqrt(x.size)


def fourier_operator(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x (C, H, W), weight (2, 2M, M, G, I, O) -> (C, H, W); frequency by frequency."""
    channels, height, width = x.shape
    modes, groups = weight.shape[2], weight.shape[3]
    matrix = weight[0] + 1j * weight[1]
    spectrum = np.stack([rfft2(channel) for channel in x])
    out = np.zeros_like(spectrum)
    size = channels // groups
    for u in range(-(height // 2), (height + 1) // 2):
        for v in range(width // 2 + 1):
            if -modes <= u < modes and v < modes:
                for g in range(groups):
                    block = slice(g * size, (g + 1) * size)
                    out[block, u, v] = spectrum[block, u, v] @ matrix[u + modes, v, g]
    return np.stack([irfft2(channel, width) for channel in out])


def haar2d(x: np.ndarray) -> np.ndarray:
    """x (C, H, W) -> (C, 4, h, w), square by square."""
    channels, height, width = x.shape
    out = np.zeros((channels, 4, -(-height // 2), -(-width // 2)))
    for c, _, row, column in np.ndindex(channels, 1, *out.shape[2:]):
        rows = [2 * row, min(2 * row + 1, height - 1)]
        columns = [2 * column, min(2 * column + 1, width - 1)]
        square = np.array([x[c, i, j] for i in rows for j in columns])
        out[c, :, row, column] = HAAR @ square
    return out


def ihaar2d(bands: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bands (C, 4, h, w) -> (C, H, W)."""
    channels, _, height, width = bands.shape
    out = np.zeros((channels, 2 * height, 2 * width))
    for c, row, column in np.ndindex(channels, height, width):
        square = (HAAR @ bands[c, :, row, column]).reshape(2, 2)
        out[c, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = square
    return out[:, : size[0], : size[1]]


def depthwise(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """x (C, H, W), weight (C, 1, K, K) with K odd, zeros around the map."""
    channels, height, width = x.shape
    half = weight.shape[-1] // 2
    padded = np.pad(x, ((0, 0), (half, half), (half, half)))
    out = np.zeros_like(x)
    for c, row, column in np.ndindex(channels, height, width):
        window = padded[c, row : row + 2 * half + 1, column : column + 2 * half + 1]
        out[c, row, column] = (window * weight[c, 0]).sum()
    return out if bias is None else out + bias[:, None, None]


def wavelet_convolution(x: np.ndarray, weights: dict[str, np.ndarray], levels: int) -> np.ndarray:
    """x (C, H, W) -> the same, level by level."""

    def below(low: np.ndarray, level: int) -> np.ndarray:
        """Return Z of a level, from the lowpass that it starts from."""
        if level == levels:
            return np.zeros_like(low)
        bands = haar2d(low)
        z = below(bands[:, 0], level + 1)
        flat = bands.reshape(-1, *bands.shape[2:])
        mixed = weights[f"band_scales.{level}"] * depthwise(
            flat, weights[f"band_convs.{level}.weight"]
        )
        mixed = mixed.reshape(bands.shape)
        mixed[:, 0] += z
        return ihaar2d(mixed, low.shape[1:])

    local = depthwise(x, weights["conv.weight"], weights["conv.bias"])
    return weights["scale"] * local + below(x, 0)
