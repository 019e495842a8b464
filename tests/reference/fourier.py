"""The transform pair of `ops/fourier.py`, summed term by term."""

import numpy as np


def rfft2(x: np.ndarray) -> np.ndarray:
    """(H, W) real -> (H, W // 2 + 1) complex."""
    height, width = x.shape
    out = np.zeros((height, width // 2 + 1), complex)
    for u in range(height):
        for v in range(width // 2 + 1):
            for h in range(height):
                for w in range(width):
                    out[u, v] += x[h, w] * np.exp(-2j * np.pi * (u * h / height + v * w / width))
    return out / np.sqrt(height * width)


def irfft2(spectrum: np.ndarray, width: int) -> np.ndarray:
    """(H, W // 2 + 1) complex, Hermitian or not -> (H, W) real."""
    height, half = spectrum.shape
    columns = np.zeros_like(spectrum)
    for h in range(height):
        for u in range(height):
            columns[h] += spectrum[u] * np.exp(2j * np.pi * u * h / height) / np.sqrt(height)
    out = np.zeros((height, width))
    for w in range(width):
        for v in range(half):
            if v == 0 or 2 * v == width:
                out[:, w] += columns[:, v].real * np.cos(2 * np.pi * v * w / width)
            else:
                out[:, w] += 2 * (columns[:, v] * np.exp(2j * np.pi * v * w / width)).real
    return out / np.sqrt(width)
