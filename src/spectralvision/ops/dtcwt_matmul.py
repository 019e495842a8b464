"""One level of the DTCWT as products with constant matrices, for small maps.

Equation numbers are those of `ops/dtcwt.py` and `ops/dtcwt_matrices.py`. One product along W has
its columns ordered (parity, position), so that a row of its result holds even and odd columns side
by side; read as twice as many rows, the quads of (2) are then one more product along H.
"""

import numpy as np
import torch
from torch import Tensor

from spectralvision.ops.dtcwt_matrices import (
    HIGH,
    LOW,
    inner_rows,
    matrices,
    order_by_parity,
    outer_rows,
)
from spectralvision.ops.products import matmul
from spectralvision.ops.tables import table
from spectralvision.ops.wavelet_filters import is_biort


def analyse_matmul(x: Tensor, filters: str) -> tuple[Tensor, Tensor, Tensor]:
    """Compute one level of even-sided maps x (B, C, H, W): lowpass, re and im (B, C, 6, h, w)."""
    *lead, height, width = x.shape
    # 1. Along W, columns ordered (parity, w)
    low_columns = matmul(x, _split_columns(x, width, filters, LOW))  # (1)
    high_columns = matmul(x, _split_columns(x, width, filters, HIGH))
    w = low_columns.shape[-1] // 2

    # 2. The lowpass along H
    low = matmul(_low_rows(x, height, filters), low_columns)  # (1)
    h = low.shape[-2] // 2
    low = low.view(*lead, 2 * h, 2, w).transpose(-1, -2).reshape(*lead, 2 * h, 2 * w)

    # 3. The quads of the other bands along H: 15 and 165 degrees, then 45 to 135 degrees
    outer = matmul(_outer_table(x, height, filters), low_columns.view(*lead, 2 * height, w))  # (2)
    inner = matmul(_inner_table(x, height, filters), high_columns.view(*lead, 2 * height, w))
    outer = outer.view(*lead, 2, 2, h, w)
    inner = inner.view(*lead, 2, 4, h, w)
    re, im = torch.cat([outer[..., :1, :, :], inner, outer[..., 1:, :, :]], dim=-3).unbind(-4)
    return low, re, im


def synthesise_matmul(low: Tensor, re: Tensor, im: Tensor, filters: str) -> Tensor:
    """Invert one level: lowpass (B, C, 2h, 2w), re and im (B, C, 6, h, w) -> x (B, C, H, W)."""
    *lead, height, width = low.shape
    h, w = height // 2, width // 2
    if not is_biort(filters):
        height, width = 2 * height, 2 * width

    # 1. The quads along H: 15 and 165 degrees, then 45 to 135 degrees
    rows_re, rows_im = _outer_rows_back(low, height, filters).chunk(2, dim=-1)
    low_columns = matmul(rows_re, re[..., ::5, :, :].reshape(*lead, 2 * h, w))  # (3): (..., 2H, w)
    low_columns = low_columns + matmul(rows_im, im[..., ::5, :, :].reshape(*lead, 2 * h, w))
    rows_re, rows_im = _inner_rows_back(low, height, filters).chunk(2, dim=-1)
    high_columns = matmul(rows_re, re[..., 1:5, :, :].reshape(*lead, 4 * h, w))
    high_columns = high_columns + matmul(rows_im, im[..., 1:5, :, :].reshape(*lead, 4 * h, w))

    # 2. The lowpass along H, columns ordered (parity, w)
    split = low.view(*lead, 2 * h, w, 2).transpose(-1, -2).reshape(*lead, 2 * h, 2 * w)
    low_columns = low_columns.view(*lead, height, 2 * w)
    low_columns = low_columns + matmul(_low_rows_back(low, height, filters), split)
    high_columns = high_columns.view(*lead, height, 2 * w)

    # 3. Along W
    y = matmul(low_columns, _join_columns(low, width, filters, LOW))  # (3)
    return y + matmul(high_columns, _join_columns(low, width, filters, HIGH))


@table
def _split_columns(n: int, filters: str, band: int) -> np.ndarray:
    return order_by_parity(matrices(n, filters)[0][band]).T


@table
def _join_columns(n: int, filters: str, band: int) -> np.ndarray:
    return order_by_parity(matrices(n, filters)[1][band].T)


@table
def _low_rows(n: int, filters: str) -> np.ndarray:
    return matrices(n, filters)[0][LOW]


@table
def _low_rows_back(n: int, filters: str) -> np.ndarray:
    return matrices(n, filters)[1][LOW]


@table
def _outer_table(n: int, filters: str) -> np.ndarray:
    return outer_rows(matrices(n, filters)[0])


@table
def _outer_rows_back(n: int, filters: str) -> np.ndarray:
    return outer_rows(matrices(n, filters)[1].transpose(0, 2, 1)).T


@table
def _inner_table(n: int, filters: str) -> np.ndarray:
    return inner_rows(matrices(n, filters)[0])


@table
def _inner_rows_back(n: int, filters: str) -> np.ndarray:
    return inner_rows(matrices(n, filters)[1].transpose(0, 2, 1)).T
