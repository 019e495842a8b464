"""Level 1 of the DTCWT on channels-last maps, as depthwise convolutions along one axis at a time.

Equation numbers are those of `ops/dtcwt.py`. The filters of level 1 have odd length and are
symmetric, and the map is extended by half-sample symmetry; so the matrix of a filter equals its own
transpose, `join` with the same taps is the transpose of `split`, and 1 / sqrt 2 of (2) and (3) is
folded into the taps. The batch is processed in chunks of images, so that intermediate results stay
in the processor's cache.
Layouts: x and lowpass (B, H, W, C); re and im (B, 6, h, w, C), h w = H/2 W/2.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spectralvision.ops.chunking import image_slices
from spectralvision.ops.dtcwt_conv import BAND_PAIRS
from spectralvision.ops.dtcwt_matrices import HIGH, LOW, center_taps, reflect
from spectralvision.ops.tables import table
from spectralvision.ops.wavelet_filters import biort

ACROSS, DOWN = 2, 1  # axes of (B, H, W, C): along a row, along a column
CHUNK_ELEMENTS = 400 << 10  # of x


class Kernels(NamedTuple):
    """Convolution kernels of one filter bank.

    Attributes:
        low_across, high_across: along a row.
        low_down: along a column.
        low_quad, high_quad: along a column, where quads are made of the result.
    """

    low_across: Tensor
    high_across: Tensor
    low_down: Tensor
    low_quad: Tensor
    high_quad: Tensor


def split(x: Tensor, filters: str, bank: str) -> tuple[Tensor, Tensor]:
    """Split x into lowpass and bands (2, B, 6, h, w, C), equations (1) and (2)."""
    batch, height, width, chans = x.shape
    reach = _taps(x, filters, bank).shape[-1] // 2
    kernels = _kernels(x, filters, bank)
    low = torch.empty_like(x)
    bands = x.new_empty(2, batch, 6, height // 2, width // 2, chans)
    for images in image_slices(x, CHUNK_ELEMENTS):
        # 1. Extend the maps by a frame
        count = len(x[images])
        framed = x.new_empty(count, height + 2 * reach, width + 2 * reach, chans)
        framed[:, reach:-reach, reach:-reach] = x[images]
        _fill_frame(framed[:, reach:-reach], reach, ACROSS)
        _fill_frame(framed, reach, DOWN)

        # 2. Along W, then the lowpass along H
        low_columns = _filter(framed, kernels.low_across)  # (1)
        high_columns = _filter(framed, kernels.high_across)
        low[images] = _filter(low_columns, kernels.low_down)  # (1)

        # 3. The other bands along H, and their quads
        sources = (
            (low_columns, kernels.high_quad),
            (high_columns, kernels.high_quad),
            (high_columns, kernels.low_quad),
        )
        for (first, second), (columns, kernel) in zip(BAND_PAIRS, sources, strict=True):
            a, b, c, d = _quads(_filter(columns, kernel))
            re, im = bands[:, images]
            torch.sub(a, d, out=re[:, first])  # (2)
            torch.add(b, c, out=im[:, first])
            torch.add(a, d, out=re[:, second])
            torch.sub(b, c, out=im[:, second])
    return low, bands


def join(low: Tensor, re: Tensor, im: Tensor, filters: str, bank: str) -> Tensor:
    """Join lowpass, re and im to x, equation (3), the transpose of `split` with the same taps."""
    height, width, chans = low.shape[1:]
    reach = _taps(low, filters, bank).shape[-1] // 2
    kernels = _kernels(low, filters, bank)
    x = torch.empty_like(low)
    for images in image_slices(low, CHUNK_ELEMENTS):
        count = len(low[images])
        tall = low.new_empty(count, height + 2 * reach, width, chans)
        wide = low.new_empty(2, count, height, width + 2 * reach, chans)
        parts = (re[images], im[images])
        inside = tall[:, reach:-reach]
        low_wide, high_wide = wide[:, :, :, reach:-reach]

        # 1. Along H: each band is written into `tall`, whose frame is then filled
        inside.copy_(low[images])
        low_low = _filter_framed(tall, kernels.low_down, reach)  # (3)
        _write_quads(inside, parts, BAND_PAIRS[0])
        torch.add(low_low, _filter_framed(tall, kernels.high_quad, reach), out=low_wide)
        _write_quads(inside, parts, BAND_PAIRS[1])
        high_high = _filter_framed(tall, kernels.high_quad, reach)
        _write_quads(inside, parts, BAND_PAIRS[2])
        torch.add(high_high, _filter_framed(tall, kernels.low_quad, reach), out=high_wide)

        # 2. Along W
        for columns in wide:
            _fill_frame(columns, reach, ACROSS)
        low_columns = _filter(wide[LOW], kernels.low_across)
        high_columns = _filter(wide[HIGH], kernels.high_across)
        torch.add(low_columns, high_columns, out=x[images])  # (3)
    return x


def _fill_frame(framed: Tensor, reach: int, axis: int) -> None:
    """Fill `reach` samples at both ends of an axis by half-sample symmetry, for any length."""
    length = framed.shape[axis]
    index = _reflected_places(framed, length - 2 * reach, reach)
    for start in (0, length - reach):
        source = framed.index_select(axis, index[start : start + reach])
        framed.narrow(axis, start, reach).copy_(source)


def _filter(x: Tensor, kernel: Tensor) -> Tensor:
    """Filter each channel along one axis, which is shortened by the taps' reach at both ends."""
    chans = x.shape[-1]
    y = F.conv2d(x.permute(0, 3, 1, 2), kernel.expand(chans, -1, -1, -1), groups=chans)
    return y.permute(0, 2, 3, 1)


def _filter_framed(tall: Tensor, kernel: Tensor, reach: int) -> Tensor:
    """Fill the frame above and below and filter along the columns."""
    _fill_frame(tall, reach, DOWN)
    return _filter(tall, kernel)


def _quads(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return views of the samples a, b, c, d of all quads, each (B, h, w, C)."""
    return x[:, 0::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 0::2], x[:, 1::2, 1::2]


def _write_quads(place: Tensor, parts: Sequence[Tensor], pair: tuple[int, int]) -> None:
    """Write the real band whose complex bands are z1 and z2 of `parts` = (re, im)."""
    re1, re2 = (parts[0][:, z] for z in pair)
    im1, im2 = (parts[1][:, z] for z in pair)
    a, b, c, d = _quads(place)
    torch.add(re1, re2, out=a)  # (3)
    torch.add(im1, im2, out=b)
    torch.sub(im1, im2, out=c)
    torch.sub(re2, re1, out=d)


def _kernels(x: Tensor, filters: str, bank: str) -> Kernels:
    taps = _taps(x, filters, bank)
    low_across, high_across = taps.view(2, 1, 1, 1, -1).unbind(0)
    down = taps.view(2, 1, 1, -1, 1)
    low_quad, high_quad = (down * 0.5**0.5).unbind(0)
    return Kernels(low_across, high_across, down[LOW], low_quad, high_quad)


@table
def _taps(filters: str, bank: str) -> np.ndarray:
    """(2, taps): low and high of the "analysis" or the "synthesis" filters, centred."""
    pair = biort(filters)[:2] if bank == "analysis" else biort(filters)[2:]
    return center_taps(pair, max(map(len, pair)) // 2)


@table
def _reflected_places(n: int, reach: int) -> np.ndarray:
    """For each place of a frame of n + 2 reach samples, the place that holds its value."""
    return reflect(n, reach, reach) + reach
