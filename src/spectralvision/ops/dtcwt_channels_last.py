"""One level of the DTCWT on maps whose channels lie last in memory: the matrix form without a single rearranged band.

Equation numbers are those of `ops/dtcwt.py`; the matrices are those of `ops/dtcwt_forms.py`. In this order of memory a
product along W is one small product a row with C columns, and a product along H is one large product an image with
w C columns. Every product writes straight into its place in the result.

    split:  columns[r] = P_r x,  r in {low, high}, ordered (parity, w)           along W                  (1)
            lowpass = P_low columns[low],   bands = quads of P_c columns[r]      along H                  (1) (2)
    join:   the transpose of split                                                                        (3)

A level forward is `split` with the analysis filters, a level back is `join` with the transposed synthesis filters. Each
is the other's gradient, so that nothing has to be kept for the backward pass. Both are registered operators, which
compilers call as they are.
Layouts: x (B, H, W, C); lowpass (B, m, m', C); bands (2, B, 6, h, w, C), the first axis being (re, im).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectralvision.ops import dtcwt_depthwise
from spectralvision.ops.dtcwt_forms import HIGH, IM, LOW, RE, by_parity, inner_rows, matrices, outer_rows
from spectralvision.ops.tables import table
from spectralvision.ops.wavelet_filters import BIORTS

Parts = tuple[Tensor, Tensor]
MATMUL_UP_TO = 256  # the longer side of a map up to which products with matrices are taken
MIN_CHANNELS = 16  # below, rows of the products and lanes of the convolutions stay empty


def analyse_channels_last(x: Tensor, filters: str) -> tuple[Tensor, Tensor, Tensor]:
    """One level forward: x (B, C, H, W) -> lowpass, re and im (B, C, 6, h, w), views of channels-last memory."""
    batch, chans = x.shape[:2]
    if not _fold(x):
        low, bands = split(x.permute(0, 2, 3, 1), filters, "analysis")
        re, im = bands.permute(0, 1, 5, 2, 3, 4).unbind(0)
        return low.permute(0, 3, 1, 2), re, im
    low, bands = split(x.permute(2, 3, 0, 1).flatten(2).unsqueeze(0), filters, "analysis")
    re, im = bands.squeeze(1).unflatten(-1, (batch, chans)).permute(0, 4, 5, 1, 2, 3).unbind(0)
    return low.squeeze(0).unflatten(-1, (batch, chans)).permute(2, 3, 0, 1), re, im


def synthesise_channels_last(low: Tensor, re: Tensor, im: Tensor, filters: str) -> Tensor:
    """One level back: lowpass (B, C, 2h, 2w), re and im (B, C, 6, h, w) -> x (B, C, H, W), channels last in memory."""
    if not _fold(low):
        bands = (part.permute(0, 2, 3, 4, 1) for part in (re, im))
        return join(low.permute(0, 2, 3, 1), *bands, filters, "synthesis").permute(0, 3, 1, 2)
    last = (part.movedim((0, 1), (-2, -1)).flatten(-2).unsqueeze(0) for part in (low, re, im))
    x = join(*last, filters, "synthesis")
    return x.squeeze(0).unflatten(-1, low.shape[:2]).permute(2, 3, 0, 1)


def channels_last(x: Tensor, filters: str) -> bool:
    """Whether this form is taken for maps x (B, C, H, W): with enough channels, and not while exporting or counting."""
    if torch.compiler.is_exporting() or torch.jit.is_tracing() or x.device.type == "meta":
        return False
    batch, chans, height, width = x.shape
    small = max(height, width) <= MATMUL_UP_TO
    enough = (batch if chans < MIN_CHANNELS else 1) * chans >= MIN_CHANNELS
    return enough and (small or _depthwise(x.permute(0, 2, 3, 1), filters))


def _fold(x: Tensor) -> bool:
    """Whether there are too few channels, so that those of all images together are taken for the channels of one."""
    return x.shape[1] < MIN_CHANNELS


@torch.library.custom_op("spectralvision::dtcwt_split", mutates_args=())
def split(x: Tensor, filters: str, bank: str) -> tuple[Tensor, Tensor]:
    """x -> lowpass and bands, by the filters of a bank: "analysis", or "synthesis" for their transposes."""
    form = dtcwt_depthwise.split if _depthwise(x, filters) else _split
    return form(x.contiguous(), filters, bank)


@torch.library.custom_op("spectralvision::dtcwt_join", mutates_args=())
def join(low: Tensor, re: Tensor, im: Tensor, filters: str, bank: str) -> Tensor:
    """lowpass, re and im (B, 6, h, w, C) -> x, the transpose of `split`."""
    form = dtcwt_depthwise.join if _depthwise(low, filters) else _join
    return form(low.contiguous(), re.contiguous(), im.contiguous(), filters, bank)


@split.register_fake
def _(x: Tensor, filters: str, bank: str) -> tuple[Tensor, Tensor]:
    batch, height, width, chans = x.shape
    step = 1 if filters in BIORTS else 2
    low = x.new_empty(batch, height // step, width // step, chans)
    return low, x.new_empty(2, batch, 6, height // step // 2, width // step // 2, chans)


@join.register_fake
def _(low: Tensor, re: Tensor, im: Tensor, filters: str, bank: str) -> Tensor:
    return low.new_empty(low.shape[0], *_sides(re.shape[2], re.shape[3], filters), low.shape[3])


def _remember_bank(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.bank = inputs[-2:]


def _split_backward(ctx: Any, low: Tensor, bands: Tensor) -> tuple[Tensor, None, None]:
    return join(low, *bands.unbind(0), *ctx.bank), None, None


def _join_backward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
    low, bands = split(x, *ctx.bank)
    return low, *bands.unbind(0), None, None


split.register_autograd(_split_backward, setup_context=_remember_bank)
join.register_autograd(_join_backward, setup_context=_remember_bank)


def _depthwise(x: Tensor, filters: str) -> bool:
    """Whether convolutions, which have less arithmetic, are faster than products with matrices on x (B, H, W, C)."""
    return filters in BIORTS and x.device.type == "cpu" and x.dtype == torch.float32 and max(x.shape[1:3]) > 32


def _split(x: Tensor, filters: str, bank: str) -> Parts:
    batch, height, width, chans = x.shape
    columns = [_columns(x, width, filters, bank, band) @ x for band in (LOW, HIGH)]  # (1) along W: (B, H, m', C)
    w = columns[LOW].shape[2] // 2
    low_columns, high_columns = (one.view(batch, 2 * height, w * chans) for one in columns)  # rows (h, parity)

    low = _low(x, height, filters, bank) @ columns[LOW].view(batch, height, -1)  # (1) along H
    h = low.shape[1] // 2
    low = low.view(batch, 2 * h, 2, w, chans).transpose(2, 3).reshape(batch, 2 * h, 2 * w, chans)

    outer, inner = _outer(x, height, filters, bank), _inner(x, height, filters, bank)
    bands = x.new_empty(2, batch, 6, h, w * chans)
    for part in (RE, IM):  # (2): 15 degrees, 45 to 135 degrees, 165 degrees
        for rows, source, at in ((outer[part, :h], low_columns, slice(0, 1)), (inner[part], high_columns, slice(1, 5)),
                                 (outer[part, h:], low_columns, slice(5, 6))):  # fmt: skip
            place = bands[part][:, at].flatten(1, 2)
            torch.bmm(rows.expand(batch, -1, -1), source, out=place)
    return low, bands.view(2, batch, 6, h, w, chans)


def _join(low: Tensor, re: Tensor, im: Tensor, filters: str, bank: str) -> Tensor:
    batch, _, h, w, chans = re.shape
    height, width = _sides(h, w, filters)
    outer, inner = _outer(low, height, filters, bank), _inner(low, height, filters, bank)
    parts = [part.view(batch, 6, h, w * chans) for part in (re, im)]

    split = low.view(batch, 2 * h, w, 2, chans).transpose(2, 3).reshape(batch, 2 * h, 2 * w * chans)
    low_columns = _low(low, height, filters, bank).mT @ split  # (3) along H
    low_columns = low_columns.view(batch, 2 * height, w * chans)
    ends = torch.cat([part[:, ::5] for part in parts], dim=1).flatten(1, 2)  # 15 and 165 degrees, re then im
    low_columns.baddbmm_(_over(outer.flatten(0, 1).mT, batch), ends)
    middle = [part[:, 1:5].flatten(1, 2) for part in parts]
    high_columns = torch.bmm(_over(inner[RE].mT, batch), middle[RE])
    high_columns.baddbmm_(_over(inner[IM].mT, batch), middle[IM])

    sides = (2 * w, chans)
    x = _columns(low, width, filters, bank, LOW).mT @ low_columns.view(batch * height, *sides)  # (3) along W
    x.baddbmm_(_over(_columns(low, width, filters, bank, HIGH).mT, batch * height), high_columns.view(-1, *sides))
    return x.view(batch, height, width, chans)


def _sides(h: int, w: int, filters: str) -> tuple[int, int]:
    """Of the maps whose bands are h x w."""
    return (2 * h, 2 * w) if filters in BIORTS else (4 * h, 4 * w)


def _over(matrix: Tensor, batch: int) -> Tensor:
    return matrix.expand(batch, -1, -1)


def _bank(n: int, filters: str, bank: str) -> np.ndarray:
    """(2, m, n): the analysis matrices, or the transposed synthesis matrices."""
    analysis, synthesis = matrices(n, filters)
    return analysis if bank == "analysis" else synthesis.transpose(0, 2, 1)


@table
def _columns(n: int, filters: str, bank: str, band: int) -> np.ndarray:
    """(m, n), rows ordered (parity, w)."""
    return by_parity(_bank(n, filters, bank)[band])


@table
def _low(n: int, filters: str, bank: str) -> np.ndarray:
    """(m, n)."""
    return _bank(n, filters, bank)[LOW]


@table
def _outer(n: int, filters: str, bank: str) -> np.ndarray:
    """(2, 2 h, 2 n): of re and im the rows of 15, then of 165 degrees; columns ordered (row of the map, parity)."""
    rows = outer_rows(_bank(n, filters, bank))
    return rows.reshape(2, -1, rows.shape[-1])


@table
def _inner(n: int, filters: str, bank: str) -> np.ndarray:
    """(2, 4 h, 2 n): of re and im the rows of 45, 75, 105 and 135 degrees."""
    rows = inner_rows(_bank(n, filters, bank))
    return rows.reshape(2, -1, rows.shape[-1])
