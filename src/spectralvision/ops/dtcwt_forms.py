"""One level of the DTCWT in two forms of equal value: constant matrices, and convolutions.

Equation numbers are those of `ops/dtcwt.py`. Along one axis of n samples the filters are two matrices P0, P1 of m rows
(m = n at level 1, n / 2 at levels >= 2), given here row by row, x extended by half-sample symmetry:

    level 1, odd filters h of t taps:    (P x)[k] = sum_j h[j] x[k + j - (t - 1) / 2]                    (4)
    levels >= 2, even filters of t taps, tree a on even samples of x, tree b on odd ones:
        A(h)[k] = sum_j h[j] x[4k + 2j - (t - 2)],        B(h)[k] = sum_j h[j] x[4k + 2j - (t - 3)]
        P0 x = A(h0a), B(h0b) interleaved,               P1 x = B(h1b), A(h1a) interleaved               (5)

Matrix form (small maps): one product along W whose columns are ordered (parity, position), so that a row of its result
holds even and odd columns side by side; read as twice as many rows, the quads of (2) are then one more product along H.
Convolution form (large maps): less arithmetic; bands in natural order, quads by slicing.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spectralvision.ops.tables import table
from spectralvision.ops.wavelet_filters import BIORTS, biort, qshift

MATMUL_UP_TO = 128  # the longer side of a map up to which the matrix form is taken

LOW, HIGH = 0, 1
RE, IM = 0, 1


def analyse(x: Tensor, filters: str) -> tuple[Tensor, Tensor, Tensor]:
    """One level forward: even-sided x (B, C, H, W) -> lowpass, re and im (B, C, 6, h, w). `filters` names the set."""
    return analyse_matmul(x, filters) if max(x.shape[-2:]) <= MATMUL_UP_TO else analyse_conv(x, filters)


def synthesise(low: Tensor, re: Tensor, im: Tensor, filters: str) -> Tensor:
    """One level back: lowpass (B, C, 2h, 2w), re and im (B, C, 6, h, w) -> x (B, C, H, W)."""
    small = max(low.shape[-2:]) <= (MATMUL_UP_TO if filters in BIORTS else MATMUL_UP_TO // 2)
    return synthesise_matmul(low, re, im, filters) if small else synthesise_conv(low, re, im, filters)


# ---- matrix form


def analyse_matmul(x: Tensor, filters: str) -> tuple[Tensor, Tensor, Tensor]:
    *lead, height, width = x.shape
    low_columns = x @ _split_columns(x, width, filters, LOW)  # (1) along W: (..., H, m), m = (parity, w)
    high_columns = x @ _split_columns(x, width, filters, HIGH)
    w = low_columns.shape[-1] // 2

    low = _low_rows(x, height, filters) @ low_columns  # (1) along H
    h = low.shape[-2] // 2
    low = low.view(*lead, 2 * h, 2, w).transpose(-1, -2).reshape(*lead, 2 * h, 2 * w)

    outer = _outer_table(x, height, filters) @ low_columns.view(*lead, 2 * height, w)  # (2): 15, 165
    inner = _inner_table(x, height, filters) @ high_columns.view(*lead, 2 * height, w)  # (2): 45, 75, 105, 135
    outer, inner = outer.view(*lead, 2, 2, h, w), inner.view(*lead, 2, 4, h, w)
    re, im = torch.cat([outer[..., :1, :, :], inner, outer[..., 1:, :, :]], dim=-3).unbind(-4)
    return low, re, im


def synthesise_matmul(low: Tensor, re: Tensor, im: Tensor, filters: str) -> Tensor:
    *lead, height, width = low.shape
    h, w = height // 2, width // 2
    height, width = (height, width) if filters in BIORTS else (2 * height, 2 * width)

    rows_re, rows_im = _outer_rows_back(low, height, filters).chunk(2, dim=-1)
    low_columns = rows_re @ re[..., ::5, :, :].reshape(*lead, 2 * h, w)  # (3) along H: (..., 2H, w)
    low_columns = low_columns + rows_im @ im[..., ::5, :, :].reshape(*lead, 2 * h, w)
    rows_re, rows_im = _inner_rows_back(low, height, filters).chunk(2, dim=-1)
    high_columns = rows_re @ re[..., 1:5, :, :].reshape(*lead, 4 * h, w)
    high_columns = high_columns + rows_im @ im[..., 1:5, :, :].reshape(*lead, 4 * h, w)

    split = low.view(*lead, 2 * h, w, 2).transpose(-1, -2).reshape(*lead, 2 * h, 2 * w)  # columns (parity, w)
    low_columns = low_columns.view(*lead, height, 2 * w) + _low_rows_back(low, height, filters) @ split
    high_columns = high_columns.view(*lead, height, 2 * w)
    return low_columns @ _join_columns(low, width, filters, LOW) + high_columns @ _join_columns(
        low, width, filters, HIGH
    )  # (3) along W


def matrices(n: int, filters: str) -> tuple[np.ndarray, np.ndarray]:
    """Analysis (2, m, n) and synthesis (2, n, m) along an axis of n samples, from equations (4) and (5)."""
    if filters in BIORTS:
        h0, h1, g0, g1 = biort(filters)
        analysis = np.stack([_filter_matrix(n, h0), _filter_matrix(n, h1)])
        return analysis, np.stack([_filter_matrix(n, g0), _filter_matrix(n, g1)])
    kernels, reach = _qshift_kernels(filters)
    extended = np.eye(n)[reflect(n, reach, reach)]  # extended @ x extends x
    analysis = np.zeros((2, n // 2, n))
    for band in (LOW, HIGH):
        for parity in (0, 1):
            for k in range(n // 4):
                window = extended[4 * k : 4 * k + kernels.shape[-1]]
                analysis[band, 2 * k + parity] = kernels[2 * band + parity] @ window  # (5)
    return analysis, analysis.transpose(0, 2, 1)


def _filter_matrix(n: int, taps: np.ndarray) -> np.ndarray:
    reach = len(taps) // 2
    extended = np.eye(n)[reflect(n, reach, reach)]
    return np.stack([taps @ extended[k : k + len(taps)] for k in range(n)])  # (4)


def _qshift_kernels(filters: str) -> tuple[np.ndarray, int]:
    """Rows (low even, low odd, high even, high odd) of 2t taps that act on x[4k - reach :], and reach = t - 2."""
    h0a, h1a, h0b, h1b = qshift(filters)
    t = len(h0a)
    kernels = np.zeros((4, 2 * t))
    kernels[0, 0::2], kernels[1, 1::2] = h0a, h0b  # A starts at t - 2 before 4k, B one sample later
    kernels[2, 1::2], kernels[3, 0::2] = h1b, h1a
    return kernels, t - 2


def reflect(n: int, before: int, after: int) -> np.ndarray:
    """Sample numbers -before .. n - 1 + after of a signal of n samples, folded back by half-sample symmetry."""
    index = np.arange(-before, n + after) % (2 * n)
    return np.minimum(index, 2 * n - 1 - index)


def _quads(matrix: np.ndarray) -> np.ndarray:
    """Equation (2) as rows: matrix (m, n) along H -> (part, z, m / 2, n, column parity)."""
    even, odd = matrix[0::2], matrix[1::2]
    rows = [[[even, -odd], [even, odd]], [[odd, even], [-odd, even]]]  # [re, im][z1, z2][columns even, odd]
    return np.moveaxis(np.array(rows), 2, -1) / np.sqrt(2)


def outer_rows(matrices: np.ndarray) -> np.ndarray:
    """z1, z2 of the bands that are high along H: 15 and 165 degrees."""
    rows = _quads(matrices[HIGH])
    return rows.reshape(-1, rows.shape[-2] * 2)


def inner_rows(matrices: np.ndarray) -> np.ndarray:
    """45, 75, 105, 135 degrees: z1 of high and low, z2 of low and high along H."""
    low, high = _quads(matrices[LOW]), _quads(matrices[HIGH])
    rows = np.stack([high[:, 0], low[:, 0], low[:, 1], high[:, 1]], axis=1)
    return rows.reshape(-1, rows.shape[-2] * 2)


def by_parity(matrix: np.ndarray) -> np.ndarray:
    return np.concatenate([matrix[0::2], matrix[1::2]])


@table
def _split_columns(n: int, filters: str, band: int) -> np.ndarray:
    return by_parity(matrices(n, filters)[0][band]).T


@table
def _join_columns(n: int, filters: str, band: int) -> np.ndarray:
    return by_parity(matrices(n, filters)[1][band].T)


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


# ---- convolution form


def analyse_conv(x: Tensor, filters: str) -> tuple[Tensor, Tensor, Tensor]:
    low_columns, high_columns = _split(x, filters)  # (1) along W
    low, high_low = _split(low_columns.mT, filters)  # (1) along H
    low_high, high_high = _split(high_columns.mT, filters)
    z15, z165 = _to_quads(high_low.mT)  # (2)
    z45, z135 = _to_quads(high_high.mT)
    z75, z105 = _to_quads(low_high.mT)
    re, im = (torch.stack(parts, dim=-3) for parts in zip(z15, z45, z75, z105, z135, z165, strict=True))
    return low.mT, re, im


def synthesise_conv(low: Tensor, re: Tensor, im: Tensor, filters: str) -> Tensor:
    high_low, high_high, low_high = (
        _from_quads(re[..., first, :, :], im[..., first, :, :], re[..., second, :, :], im[..., second, :, :])
        for first, second in ((0, 5), (1, 4), (2, 3))
    )
    low_columns = _join(low.mT, high_low.mT, filters).mT  # (3) along H
    high_columns = _join(low_high.mT, high_high.mT, filters).mT
    return _join(low_columns, high_columns, filters)  # (3) along W


def _to_quads(band: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A band (..., 2h, 2w) -> (re, im) of z1 and of z2, each (..., h, w)."""
    band = band * 0.5**0.5
    a, b = band[..., 0::2, 0::2], band[..., 0::2, 1::2]
    c, d = band[..., 1::2, 0::2], band[..., 1::2, 1::2]
    return (a - d, b + c), (a + d, b - c)  # (2)


def _from_quads(re1: Tensor, im1: Tensor, re2: Tensor, im2: Tensor) -> Tensor:
    """Inverse of `_to_quads`."""
    even = torch.stack([re1 + re2, im1 + im2], dim=-1).flatten(-2)  # a, b
    odd = torch.stack([im1 - im2, re2 - re1], dim=-1).flatten(-2)  # c, d
    return torch.stack([even, odd], dim=-2).flatten(-3, -2) * 0.5**0.5


def _split(x: Tensor, filters: str) -> tuple[Tensor, Tensor]:
    """Low and high band of the last axis, n samples -> m each."""
    *lead, n = x.shape
    kernels, reach, stride = _kernels(x, filters), _reach(filters), 1 if filters in BIORTS else 4
    extended = x.index_select(-1, _reflected(x, n, reach)).flatten(0, -2).unsqueeze(1)
    out = F.conv1d(extended, kernels.unsqueeze(1), stride=stride)  # (4), (5): (N, rows, positions)
    out = out.view(*lead, 2, stride // 2 or 1, -1).mT.flatten(-2)  # levels >= 2: two trees, interleaved
    low, high = out.unbind(-2)
    return low, high


def _join(low: Tensor, high: Tensor, filters: str) -> Tensor:
    """Inverse of `_split`: m samples each -> n samples of the last axis."""
    *lead, m = low.shape
    bands, reach = torch.stack([low, high], dim=-2), _reach(filters)
    if filters in BIORTS:
        extended = bands.index_select(-1, _reflected(low, m, reach)).flatten(0, -3)
        return F.conv1d(extended, _synthesis_kernels(low, filters).unsqueeze(0)).view(*lead, m)  # (4)
    trees = bands.view(*lead, 2, m // 2, 2).mT.reshape(-1, 4, m // 2)
    extended = F.conv_transpose1d(trees, _kernels(low, filters).unsqueeze(1), stride=4)  # the transpose of (5)
    out = extended.new_zeros(extended.shape[0], 1, 2 * m)
    return out.index_add(-1, _reflected(low, 2 * m, reach), extended).view(*lead, 2 * m)


def _reach(filters: str) -> int:
    """Samples by which the kernels of a set reach over either end."""
    if filters in BIORTS:
        return max(len(taps) for taps in biort(filters)) // 2
    return _qshift_kernels(filters)[1]


@table
def _reflected(n: int, reach: int) -> np.ndarray:
    return reflect(n, reach, reach)


@table
def _kernels(filters: str) -> np.ndarray:
    """Analysis kernels, one a row: (low, high) at level 1, (low even, low odd, high even, high odd) above."""
    return centred(biort(filters)[:2], _reach(filters)) if filters in BIORTS else _qshift_kernels(filters)[0]


@table
def _synthesis_kernels(filters: str) -> np.ndarray:
    return centred(biort(filters)[2:], _reach(filters))


def centred(filters: tuple[np.ndarray, ...], reach: int) -> np.ndarray:
    return np.stack([np.pad(taps, reach - len(taps) // 2) for taps in filters])
