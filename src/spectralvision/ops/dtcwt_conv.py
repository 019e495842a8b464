"""One level of the DTCWT as separable convolutions, for large maps.

Equation numbers are those of `ops/dtcwt.py` and `ops/dtcwt_matrices.py`. Compared with the matrix
form: less arithmetic, bands in natural order, quads by slicing.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spectralvision.ops.dtcwt_matrices import center_taps, qshift_kernels, reflect
from spectralvision.ops.tables import table
from spectralvision.ops.wavelet_filters import biort, is_biort

BAND_PAIRS = ((0, 5), (1, 4), (2, 3))  # orientations z1, z2 of high-low, high-high and low-high


def analyse_conv(x: Tensor, filters: str) -> tuple[Tensor, Tensor, Tensor]:
    """Compute one level of even-sided maps x (B, C, H, W): lowpass, re and im (B, C, 6, h, w)."""
    low_columns, high_columns = _split(x, filters)  # (1) along W
    low, high_low = _split(low_columns.transpose(-2, -1), filters)  # (1) along H
    low_high, high_high = _split(high_columns.transpose(-2, -1), filters)
    z15, z165 = _to_quads(high_low.transpose(-2, -1))  # (2)
    z45, z135 = _to_quads(high_high.transpose(-2, -1))
    z75, z105 = _to_quads(low_high.transpose(-2, -1))
    bands = zip(z15, z45, z75, z105, z135, z165, strict=True)
    re, im = (torch.stack(parts, dim=-3) for parts in bands)
    return low.transpose(-2, -1), re, im


def synthesise_conv(low: Tensor, re: Tensor, im: Tensor, filters: str) -> Tensor:
    """Invert one level: lowpass (B, C, 2h, 2w), re and im (B, C, 6, h, w) -> x (B, C, H, W)."""
    high_low, high_high, low_high = (
        _from_quads(*(part.select(-3, z) for z in pair for part in (re, im))) for pair in BAND_PAIRS
    )
    low_columns = _join(low.transpose(-2, -1), high_low.transpose(-2, -1), filters).transpose(
        -2, -1
    )  # (3) along H
    high_columns = _join(
        low_high.transpose(-2, -1), high_high.transpose(-2, -1), filters
    ).transpose(-2, -1)
    return _join(low_columns, high_columns, filters)  # (3) along W


def _to_quads(band: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Split a band (..., 2h, 2w) into (re, im) of z1 and of z2, each (..., h, w)."""
    band = band * 0.5**0.5
    a, b = band[..., 0::2, 0::2], band[..., 0::2, 1::2]
    c, d = band[..., 1::2, 0::2], band[..., 1::2, 1::2]
    return (a - d, b + c), (a + d, b - c)  # (2)


def _from_quads(re1: Tensor, im1: Tensor, re2: Tensor, im2: Tensor) -> Tensor:
    """Invert `_to_quads`."""
    even = torch.stack([re1 + re2, im1 + im2], dim=-1).flatten(-2)  # a, b
    odd = torch.stack([im1 - im2, re2 - re1], dim=-1).flatten(-2)  # c, d
    return torch.stack([even, odd], dim=-2).flatten(-3, -2) * 0.5**0.5


def _split(x: Tensor, filters: str) -> tuple[Tensor, Tensor]:
    """Return the low and the high band of the last axis, n samples -> m each."""
    *lead, n = x.shape
    stride = 1 if is_biort(filters) else 4
    extended = x.index_select(-1, _reflected(x, n, _reach(filters))).flatten(0, -2).unsqueeze(1)
    out = F.conv1d(extended, _kernels(x, filters).unsqueeze(1), stride=stride)  # (4), (5)
    # (N, rows, positions) -> bands; at levels >= 2 each has two trees, interleaved
    low, high = out.view(*lead, 2, stride // 2 or 1, -1).transpose(-2, -1).flatten(-2).unbind(-2)
    return low, high


def _join(low: Tensor, high: Tensor, filters: str) -> Tensor:
    """Invert `_split`: m samples each -> n samples of the last axis."""
    *lead, m = low.shape
    bands = torch.stack([low, high], dim=-2)
    reach = _reach(filters)
    if is_biort(filters):
        extended = bands.index_select(-1, _reflected(low, m, reach)).flatten(0, -3)
        kernels = _synthesis_kernels(low, filters).unsqueeze(0)
        return F.conv1d(extended, kernels).view(*lead, m)  # (4)
    trees = bands.view(*lead, 2, m // 2, 2).transpose(-2, -1).reshape(-1, 4, m // 2)
    kernels = _kernels(low, filters).unsqueeze(1)
    extended = F.conv_transpose1d(trees, kernels, stride=4)  # the transpose of (5)
    out = extended.new_zeros(extended.shape[0], 1, 2 * m)
    return out.index_add(-1, _reflected(low, 2 * m, reach), extended).view(*lead, 2 * m)


def _reach(filters: str) -> int:
    """Return the number of samples by which the kernels of a set reach over either end."""
    if is_biort(filters):
        return max(len(taps) for taps in biort(filters)) // 2
    return qshift_kernels(filters)[1]


@table
def _reflected(n: int, reach: int) -> np.ndarray:
    return reflect(n, reach, reach)


@table
def _kernels(filters: str) -> np.ndarray:
    """Analysis kernels, one per row: low, high at level 1, else those of `qshift_kernels`."""
    if is_biort(filters):
        return center_taps(biort(filters)[:2], _reach(filters))
    return qshift_kernels(filters)[0]


@table
def _synthesis_kernels(filters: str) -> np.ndarray:
    return center_taps(biort(filters)[2:], _reach(filters))
