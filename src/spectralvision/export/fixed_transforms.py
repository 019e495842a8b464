"""The Fourier transform of maps of one size and its inverse, as products with constant matrices.

    z = F x                                               the spectrum, parts (re, im)        (1)
    y = F' p                                                                                  (2)

F and F' are one matrix each for the smallest maps, else one along each axis.
Letters: B batch, C channels, H W rows and columns, U V frequencies, 2 = (re, im).
"""

import numpy as np
import torch
from torch import Tensor, nn

from spectralvision.export.constants import AxisProduct
from spectralvision.ops.fourier import inverse_along_rows, irfft2, rfft2, transform_along_rows

DENSE_MAX_PIXELS = 64
"""Of a map up to which F and F' are one matrix each."""


def build_transform(size: tuple[int, int]) -> "DenseTransform | AxisTransform":
    """Return the transform of maps (H, W): its `forward` is (1), its `inverse` (2).

    (B, C, H, W) -> (B, C, 2 U V) -> (B, C, H, W).
    """
    return DenseTransform(size) if size[0] * size[1] <= DENSE_MAX_PIXELS else AxisTransform(size)


def multiply_parts(m: Tensor, z: Tensor) -> Tensor:
    """Return the complex product of (..., 2 U V), parts (re, im) one after the other."""
    m_re, m_im = m.chunk(2, dim=-1)
    z_re, z_im = z.chunk(2, dim=-1)
    return torch.cat([m_re * z_re - m_im * z_im, m_re * z_im + m_im * z_re], dim=-1)


class DenseTransform(nn.Module):
    """The transforms of both axes as one matrix."""

    matrix: Tensor
    back: Tensor

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        height, width = self.size = size
        pixels = torch.eye(height * width, dtype=torch.float64).unflatten(1, size)
        forward = torch.stack(rfft2(pixels, form="fft"), dim=1).flatten(1)  # (H W, 2 U V)
        half = (height, width // 2 + 1)
        one = torch.eye(half[0] * half[1], dtype=torch.float64).unflatten(1, half)
        parts = ((one, one * 0), (one * 0, one))
        inverse = torch.cat([irfft2(*pair, size, form="fft") for pair in parts])  # (2 U V, H, W)
        self.register_buffer("matrix", forward.float())
        self.register_buffer("back", inverse.flatten(1).float())

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2) @ self.matrix

    def inverse(self, p: Tensor) -> Tensor:
        return (p @ self.back).unflatten(2, self.size)


class AxisTransform(nn.Module):
    """A product along W, and one along H with (row, part) as one axis."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        height, width = self.size = size
        along_rows, rows_back = transform_along_rows(width), inverse_along_rows(width)
        along_columns = _along_columns(height)
        self.rows = AxisProduct(along_rows.reshape(width, -1), axis=3)  # (W, 2 V)
        self.columns = AxisProduct(along_columns, axis=2)  # (2 U, 2 H)
        self.columns_back = AxisProduct(along_columns.T, axis=2)
        self.rows_back = AxisProduct(rows_back.reshape(-1, width), axis=3)  # (2 V, W)

    def forward(self, x: Tensor) -> Tensor:
        half = self.size[1] // 2 + 1
        t = self.rows(x).reshape(*x.shape[:2], -1, half)  # rows (h, part)
        return self.columns(t).flatten(2)  # (part, u, v)

    def inverse(self, p: Tensor) -> Tensor:
        half = self.size[1] // 2 + 1
        y = self.columns_back(p.reshape(*p.shape[:2], -1, half))
        return self.rows_back(y.reshape(*p.shape[:2], self.size[0], 2 * half))


def _along_columns(height: int) -> np.ndarray:
    """Return the orthonormal DFT along H in real form: rows (part, u), columns (h, part)."""
    dft = np.fft.fft(np.eye(height)) / np.sqrt(height)
    re, im = dft.real, dft.imag
    parts = np.stack([np.stack([re, -im], axis=-1), np.stack([im, re], axis=-1)])
    return parts.reshape(2 * height, 2 * height)
