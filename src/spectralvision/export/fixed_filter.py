"""The adaptive frequency filter for maps of one size, with all constants computed, for runtimes.

The same function as `ops/adaptive_frequency.py`, in real products with constant matrices. The
parts (re, im) of a channel's spectrum stand next to each other, so that no product needs a copy in
another order, and no tensor has more than four axes:

    z = F x                                               the spectrum, parts (re, im)        (1)
    m = softshrink(M2 act(M1 z + b1) + b2)                the mask                            (2)
    p = (m_re z_re - m_im z_im,  m_re z_im + m_im z_re)                                       (3)
    y = F' p + x                                                                              (4)

F and F' are one matrix each for the smallest maps, else one along each axis. M and b are those of
`ops/complex_linear.py` as 1x1 convolutions, channels ordered (group, feature, part).
Letters: B batch, C channels, G groups, H W rows and columns, U V frequencies, 2 = (re, im).
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectralvision.export.constants import (
    AxisProduct,
    pointwise_bias,
    pointwise_weight,
)
from spectralvision.mixers import AdaptiveFrequencyFilter
from spectralvision.ops.fourier import inverse_along_rows, irfft2, rfft2, transform_along_rows

DENSE_MAX_PIXELS = 64
"""Of a map up to which F and F' are one matrix each."""


class FixedFilter(nn.Module):
    """(B, C, H, W) -> the same, for one H and W.

    Args:
        module: The filter.
        size: (H, W).
    """

    m1: Tensor
    b1: Tensor
    m2: Tensor
    b2: Tensor

    def __init__(self, module: AdaptiveFrequencyFilter, size: tuple[int, int]) -> None:
        super().__init__()
        self.size, self.groups = size, module.groups
        self.act: Any = module.act
        self.threshold, self.inner_skip = module.threshold, module.inner_skip
        self.transform: DenseTransform | AxisTransform = (
            DenseTransform(size) if size[0] * size[1] <= DENSE_MAX_PIXELS else AxisTransform(size)
        )
        with torch.no_grad():
            self.register_buffer("m1", pointwise_weight(module.w1))
            self.register_buffer("b1", pointwise_bias(module.b1))
            self.register_buffer("m2", pointwise_weight(module.w2))
            self.register_buffer("b2", pointwise_bias(module.b2))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        z = self.transform.forward(x)  # (1): (B, C, 2 U V)
        m = z.reshape(batch, 2 * channels, self.size[0], -1)  # (B, 2 C, U, V)
        m = self.act(F.conv2d(m, self.m1, self.b1, groups=self.groups))
        m = F.conv2d(m, self.m2, self.b2, groups=self.groups)
        m = m - m.clamp(-self.threshold, self.threshold)  # (2)
        m_re, m_im = m.reshape(batch, channels, -1).chunk(2, dim=2)
        z_re, z_im = z.chunk(2, dim=2)
        p = torch.cat([m_re * z_re - m_im * z_im, m_re * z_im + m_im * z_re], dim=2)  # (3)
        y = self.transform.inverse(p)
        return y + x if self.inner_skip else y  # (4)


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
