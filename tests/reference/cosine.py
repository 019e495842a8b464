"""The cosine transform of `ops/cosine.py` and heat conduction, summed term by term."""

import numpy as np


def basis(n: int, h: int, size: int) -> float:
    scale = np.sqrt((1 if n == 0 else 2) / size)
    return float(scale * np.cos(np.pi * (2 * h + 1) * n / (2 * size)))


def dct2(x: np.ndarray) -> np.ndarray:
    """(H, W) -> the same."""
    height, width = x.shape
    out = np.zeros_like(x)
    for n in range(height):
        for m in range(width):
            for h in range(height):
                for w in range(width):
                    out[n, m] += x[h, w] * basis(n, h, height) * basis(m, w, width)
    return out


def idct2(a: np.ndarray) -> np.ndarray:
    """(H, W) -> the same."""
    height, width = a.shape
    out = np.zeros_like(a)
    for h in range(height):
        for w in range(width):
            for n in range(height):
                for m in range(width):
                    out[h, w] += a[n, m] * basis(n, h, height) * basis(m, w, width)
    return out


def heat_conduction(z: np.ndarray, k: np.ndarray) -> np.ndarray:
    """z (C, H, W) and diffusivities k (C, H, W) -> (C, H, W)."""
    _, height, width = z.shape
    n, m = np.arange(height)[:, None], np.arange(width)[None]
    decay = np.exp(-((np.pi * n / height) ** 2 + (np.pi * m / width) ** 2))
    return np.stack([idct2(dct2(one) * decay**power) for one, power in zip(z, k, strict=True)])
