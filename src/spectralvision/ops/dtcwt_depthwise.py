"""Level 1 of the DTCWT on maps whose channels lie last in memory, as depthwise convolutions along one axis at a time.

Equation numbers are those of `ops/dtcwt.py`. The filters of level 1 have odd length and are symmetric, and the map is
extended by half-sample symmetry; so a filter's matrix equals its own transpose, `join` with the same taps is the
transpose of `split`, and 1 / sqrt 2 of (2) and (3) goes into the taps. A few images at a time: what lies between the
first and the last step then stays in the processor's cache.
Layouts: x and lowpass (B, H, W, C); re and im (B, 6, h, w, C), h w = H/2 W/2.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spectralvision.ops.dtcwt_forms import HIGH, LOW, centred, reflect
from spectralvision.ops.portions import portions
from spectralvision.ops.tables import table
from spectralvision.ops.wavelet_filters import biort

ACROSS, DOWN = 2, 1  # axes of (B, H, W, C): along a row, along a column
SAMPLES = 400 << 10  # of a batch that are worked on at a time
PAIRS = ((0, 5), (1, 4), (2, 3))  # z1 and z2 among the orientations: of the bands high-low, high-high, low-high


def split(x: Tensor, filters: str, bank: str) -> tuple[Tensor, Tensor]:
    """x -> lowpass and bands (2, B, 6, h, w, C), equations (1) and (2), with the taps of a bank (see `_taps`)."""
    batch, height, width, chans = x.shape
    reach = _taps(x, filters, bank).shape[-1] // 2
    low, bands = torch.empty_like(x), x.new_empty(2, batch, 6, height // 2, width // 2, chans)
    (low_across, high_across), low_down, (low_quad, high_quad) = _kernels(x, filters, bank)
    for some in portions(x, SAMPLES):
        framed = x.new_empty(len(x[some]), height + 2 * reach, width + 2 * reach, chans)
        framed[:, reach:-reach, reach:-reach] = x[some]
        _mirror(framed[:, reach:-reach], reach, ACROSS)
        _mirror(framed, reach, DOWN)
        low_columns, high_columns = _filtered(framed, low_across), _filtered(framed, high_across)  # (1) along W
        low[some] = _filtered(low_columns, low_down)  # (1) along H
        sources = ((low_columns, high_quad), (high_columns, high_quad), (high_columns, low_quad))
        for (first, second), (columns, kernel) in zip(PAIRS, sources, strict=True):
            a, b, c, d = _quads(_filtered(columns, kernel))
            re, im = bands[:, some]
            torch.sub(a, d, out=re[:, first])  # (2)
            torch.add(b, c, out=im[:, first])
            torch.add(a, d, out=re[:, second])
            torch.sub(b, c, out=im[:, second])
    return low, bands


def join(low: Tensor, re: Tensor, im: Tensor, filters: str, bank: str) -> Tensor:
    """lowpass, re and im -> x, equation (3), the transpose of `split` with the same taps."""
    height, width, chans = low.shape[1:]
    reach = _taps(low, filters, bank).shape[-1] // 2
    x = torch.empty_like(low)
    (low_across, high_across), low_down, (low_quad, high_quad) = _kernels(low, filters, bank)
    for some in portions(low, SAMPLES):
        tall = low.new_empty(len(low[some]), height + 2 * reach, width, chans)
        wide = low.new_empty(2, len(low[some]), height, width + 2 * reach, chans)
        inside = tall[:, reach:-reach]

        def filtered(kernel: Tensor, tall: Tensor = tall) -> Tensor:
            _mirror(tall, reach, DOWN)
            return _filtered(tall, kernel)

        def band(number: int, inside: Tensor = inside, some: slice = some) -> None:
            first, second = PAIRS[number]
            (re1, re2), (im1, im2) = ((part[some, first], part[some, second]) for part in (re, im))
            a, b, c, d = _quads(inside)
            torch.add(re1, re2, out=a)  # (3)
            torch.add(im1, im2, out=b)
            torch.sub(im1, im2, out=c)
            torch.sub(re2, re1, out=d)

        inside.copy_(low[some])
        low_low = filtered(low_down)  # (3) along H
        band(0)
        torch.add(low_low, filtered(high_quad), out=wide[LOW][:, :, reach:-reach])
        band(1)
        high_high = filtered(high_quad)
        band(2)
        torch.add(high_high, filtered(low_quad), out=wide[HIGH][:, :, reach:-reach])
        for columns in wide:
            _mirror(columns, reach, ACROSS)
        torch.add(_filtered(wide[LOW], low_across), _filtered(wide[HIGH], high_across), out=x[some])  # (3) along W
    return x


def _mirror(framed: Tensor, reach: int, axis: int) -> None:
    """Fills the frame of `reach` samples at both ends of an axis by half-sample symmetry, however short the map is."""
    length = framed.shape[axis]
    index = _mirrored(framed, length - 2 * reach, reach)
    for start in (0, length - reach):
        framed.narrow(axis, start, reach).copy_(framed.index_select(axis, index[start : start + reach]))


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Each channel by the same taps along one axis, which is shortened by the taps' reach at both ends."""
    chans = x.shape[-1]
    return F.conv2d(x.permute(0, 3, 1, 2), kernel.expand(chans, -1, -1, -1), groups=chans).permute(0, 2, 3, 1)


def _quads(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Views of the samples a, b, c, d of all quads, each (B, h, w, C)."""
    return x[:, 0::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 0::2], x[:, 1::2, 1::2]


def _kernels(x: Tensor, filters: str, bank: str) -> tuple[tuple[Tensor, ...], Tensor, tuple[Tensor, ...]]:
    """(low, high) along a row; low along a column; (low, high) along a column where quads are made of the result."""
    taps = _taps(x, filters, bank)
    across, down = taps.view(2, 1, 1, 1, -1), taps.view(2, 1, 1, -1, 1)
    return across.unbind(0), down[LOW], (down * 0.5**0.5).unbind(0)


@table
def _taps(filters: str, bank: str) -> np.ndarray:
    """(2, taps): low and high of the "analysis" or the "synthesis" filters, centred."""
    pair = biort(filters)[:2] if bank == "analysis" else biort(filters)[2:]
    return centred(pair, max(map(len, pair)) // 2)


@table
def _mirrored(n: int, reach: int) -> np.ndarray:
    """Where in a frame of n + 2 reach samples each one's value lies."""
    return reflect(n, reach, reach) + reach
