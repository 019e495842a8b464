"""One level of the DTCWT on channels-last maps: the matrix form without a rearranged band.

Equation numbers are those of `ops/dtcwt.py`; the matrices are those of `ops/dtcwt_matrices.py`. In
this memory format a product along W is one small product per row with C columns, and a product
along H is one large product per image with w C columns. Every product writes straight to its place
in the result.

    split:  columns[r] = P_r x,  r in {low, high}, ordered (parity, w)        along W         (1)
            lowpass = P_low columns[low],  bands = quads of P_c columns[r]    along H     (1) (2)
    join:   the transpose of split                                                            (3)

The forward level is `split` with the analysis filters, the inverse level is `join` with the
transposed synthesis filters. Each is the other's gradient, so nothing has to be kept for the
backward pass. Compilers call both as registered operators, without tracing into them.
Layouts: x (B, H, W, C); lowpass (B, m, m', C); bands (2, B, 6, h, w, C), the first axis is (re,
im).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectralvision.ops import dtcwt_depthwise
from spectralvision.ops.dtcwt_matrices import (
    HIGH,
    IM,
    LOW,
    RE,
    inner_rows,
    matrices,
    order_by_parity,
    outer_rows,
)
from spectralvision.ops.precision import no_autocast
from spectralvision.ops.tables import table
from spectralvision.ops.wavelet_filters import is_biort

Parts = tuple[Tensor, Tensor]
MATMUL_MAX_SIDE = 256  # the longer side of a map up to which products with matrices are used
DEPTHWISE_MIN_SIDE = 33  # the longer side of a map from which depthwise convolutions are faster
MIN_CHANNELS = 16  # with fewer, rows of the products and lanes of the convolutions stay empty


def analyse_channels_last(x: Tensor, filters: str) -> tuple[Tensor, Tensor, Tensor]:
    """Compute one level of x (B, C, H, W): lowpass, re and im (B, C, 6, h, w), as views."""
    batch, chans = x.shape[:2]
    if not _fold_batch(x):
        low, bands = split(x.permute(0, 2, 3, 1), filters, "analysis")
        re, im = bands.permute(0, 1, 5, 2, 3, 4).unbind(0)
        return low.permute(0, 3, 1, 2), re, im
    low, bands = split(x.permute(2, 3, 0, 1).flatten(2).unsqueeze(0), filters, "analysis")
    re, im = bands.squeeze(1).unflatten(-1, (batch, chans)).permute(0, 4, 5, 1, 2, 3).unbind(0)
    return low.squeeze(0).unflatten(-1, (batch, chans)).permute(2, 3, 0, 1), re, im


def synthesise_channels_last(low: Tensor, re: Tensor, im: Tensor, filters: str) -> Tensor:
    """Invert one level: lowpass (B, C, 2h, 2w), re and im (B, C, 6, h, w) -> x (B, C, H, W)."""
    if not _fold_batch(low):
        re, im = (part.permute(0, 2, 3, 4, 1) for part in (re, im))
        return join(low.permute(0, 2, 3, 1), re, im, filters, "synthesis").permute(0, 3, 1, 2)
    last, re, im = (part.movedim((0, 1), (-2, -1)).flatten(-2)[None] for part in (low, re, im))
    x = join(last, re, im, filters, "synthesis")
    return x.squeeze(0).unflatten(-1, low.shape[:2]).permute(2, 3, 0, 1)


def use_channels_last(x: Tensor, filters: str) -> bool:
    """Return whether this form suits maps x (B, C, H, W): enough channels, and not exporting."""
    if torch.compiler.is_exporting() or torch.jit.is_tracing() or x.device.type == "meta":
        return False
    batch, chans, height, width = x.shape
    enough = (batch if chans < MIN_CHANNELS else 1) * chans >= MIN_CHANNELS
    small = max(height, width) <= MATMUL_MAX_SIDE
    return enough and (small or _use_depthwise(x.permute(0, 2, 3, 1), filters))


def _fold_batch(x: Tensor) -> bool:
    """Return whether there are so few channels that those of all images count as one image's."""
    return x.shape[1] < MIN_CHANNELS


def split(x: Tensor, filters: str, bank: str) -> tuple[Tensor, Tensor]:
    """Split x into lowpass and bands.

    `bank`: "analysis" filters, or "synthesis" for the transposed synthesis filters.
    """
    if torch.compiler.is_compiling():
        return split_operator(x, filters, bank)
    return Split.apply(x, filters, bank)


def join(low: Tensor, re: Tensor, im: Tensor, filters: str, bank: str) -> Tensor:
    """Join lowpass, re and im (B, 6, h, w, C) to x, the transpose of `split`."""
    if torch.compiler.is_compiling():
        return join_operator(low, re, im, filters, bank)
    return Join.apply(low, re, im, filters, bank)


def _split(x: Tensor, filters: str, bank: str) -> tuple[Tensor, Tensor]:
    form = dtcwt_depthwise.split if _use_depthwise(x, filters) else split_matmul
    with no_autocast(x):  # a backward pass may run inside autocast
        return form(x.contiguous(), filters, bank)


def _join(low: Tensor, re: Tensor, im: Tensor, filters: str, bank: str) -> Tensor:
    form = dtcwt_depthwise.join if _use_depthwise(low, filters) else join_matmul
    with no_autocast(low):
        return form(low.contiguous(), re.contiguous(), im.contiguous(), filters, bank)


def _save_bank(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.bank = inputs[-2:]


def _split_backward(ctx: Any, low: Tensor, bands: Tensor) -> tuple[Tensor, None, None]:
    re, im = bands.unbind(0)
    return join(low, re, im, *ctx.bank), None, None


def _join_backward(ctx: Any, x: Tensor) -> tuple[Tensor | None, ...]:
    low, bands = split(x, *ctx.bank)
    return low, *bands.unbind(0), None, None


class Split(torch.autograd.Function):
    """`split` with the derivatives and the vmap rule of a linear map on each image."""

    forward = staticmethod(_split)
    setup_context = staticmethod(_save_bank)
    backward = staticmethod(_split_backward)

    @staticmethod
    def jvp(ctx: Any, x: Tensor, *bank: None) -> tuple[Tensor, Tensor]:
        return split(x, *ctx.bank)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], x: Tensor, *bank: str) -> Any:
        low, bands = split(x.movedim(in_dims[0] or 0, 0).flatten(0, 1), *bank)
        each = (info.batch_size, -1)
        return (low.unflatten(0, each), bands.unflatten(1, each)), (0, 1)


class Join(torch.autograd.Function):
    """`join` with the derivatives and the vmap rule of a linear map on each image."""

    forward = staticmethod(_join)
    setup_context = staticmethod(_save_bank)
    backward = staticmethod(_join_backward)

    @staticmethod
    def jvp(ctx: Any, low: Tensor, re: Tensor, im: Tensor, *bank: None) -> Tensor:
        return join(low, re, im, *ctx.bank)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        batched = (
            part.expand(info.batch_size, *part.shape) if dim is None else part.movedim(dim, 0)
            for part, dim in zip(args[:3], in_dims[:3], strict=True)
        )
        x = join(*(part.flatten(0, 1) for part in batched), *args[3:])
        return x.unflatten(0, (info.batch_size, -1)), 0


split_operator = torch.library.custom_op("spectralvision::dtcwt_split", _split, mutates_args=())
join_operator = torch.library.custom_op("spectralvision::dtcwt_join", _join, mutates_args=())
split_operator.register_autograd(_split_backward, setup_context=_save_bank)
join_operator.register_autograd(_join_backward, setup_context=_save_bank)
split_operator.register_vmap(Split.vmap)
join_operator.register_vmap(Join.vmap)


@split_operator.register_fake
def _(x: Tensor, filters: str, bank: str) -> tuple[Tensor, Tensor]:
    batch, height, width, chans = x.shape
    step = 1 if is_biort(filters) else 2
    low = x.new_empty(batch, height // step, width // step, chans)
    return low, x.new_empty(2, batch, 6, height // step // 2, width // step // 2, chans)


@join_operator.register_fake
def _(low: Tensor, re: Tensor, im: Tensor, filters: str, bank: str) -> Tensor:
    sides = _map_sides(re.shape[2], re.shape[3], filters)
    return low.new_empty(low.shape[0], *sides, low.shape[3])


def _use_depthwise(x: Tensor, filters: str) -> bool:
    """Return whether convolutions are faster than products with matrices on x (B, H, W, C)."""
    return (
        is_biort(filters)
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and max(x.shape[1:3]) >= DEPTHWISE_MIN_SIDE
    )


def split_matmul(x: Tensor, filters: str, bank: str) -> Parts:
    """Compute `split` by products with matrices."""
    batch, height, width, chans = x.shape
    # 1. Along W: (B, H, m', C), read as rows (h, parity)
    columns = [_columns(x, width, filters, bank, band) @ x for band in (LOW, HIGH)]  # (1)
    w = columns[LOW].shape[2] // 2
    low_columns, high_columns = (one.view(batch, 2 * height, w * chans) for one in columns)

    # 2. The lowpass along H
    low = _low(x, height, filters, bank) @ columns[LOW].view(batch, height, -1)  # (1)
    h = low.shape[1] // 2
    low = low.view(batch, 2 * h, 2, w, chans).transpose(2, 3).reshape(batch, 2 * h, 2 * w, chans)

    # 3. The quads along H: 15 degrees, 45 to 135 degrees, 165 degrees
    outer = _outer(x, height, filters, bank)
    inner = _inner(x, height, filters, bank)
    bands = x.new_empty(2, batch, 6, h, w * chans)
    for part in (RE, IM):
        for rows, source, at in (
            (outer[part, :h], low_columns, slice(0, 1)),
            (inner[part], high_columns, slice(1, 5)),
            (outer[part, h:], low_columns, slice(5, 6)),
        ):
            place = bands[part][:, at].flatten(1, 2)
            torch.bmm(rows.expand(batch, -1, -1), source, out=place)  # (2)
    return low, bands.view(2, batch, 6, h, w, chans)


def join_matmul(low: Tensor, re: Tensor, im: Tensor, filters: str, bank: str) -> Tensor:
    """Compute `join` by products with matrices."""
    batch, _, h, w, chans = re.shape
    height, width = _map_sides(h, w, filters)
    parts = [part.view(batch, 6, h, w * chans) for part in (re, im)]

    # 1. The lowpass along H, columns ordered (parity, w)
    low = low.view(batch, 2 * h, w, 2, chans).transpose(2, 3).reshape(batch, 2 * h, 2 * w * chans)
    low_columns = _low(low, height, filters, bank).transpose(-2, -1) @ low  # (3)
    low_columns = low_columns.view(batch, 2 * height, w * chans)

    # 2. The quads along H: 15 and 165 degrees, re then im; 45 to 135 degrees
    ends = torch.cat([part[:, ::5] for part in parts], dim=1).flatten(1, 2)
    outer = _outer(low, height, filters, bank)
    low_columns.baddbmm_(_per_image(outer.flatten(0, 1).transpose(-2, -1), batch), ends)  # (3)
    middle = [part[:, 1:5].flatten(1, 2) for part in parts]
    inner = _inner(low, height, filters, bank)
    high_columns = torch.bmm(_per_image(inner[RE].transpose(-2, -1), batch), middle[RE])
    high_columns.baddbmm_(_per_image(inner[IM].transpose(-2, -1), batch), middle[IM])

    # 3. Along W
    sides = (2 * w, chans)
    columns = [_columns(low, width, filters, bank, band).transpose(-2, -1) for band in (LOW, HIGH)]
    x = columns[LOW] @ low_columns.view(batch * height, *sides)  # (3)
    x.baddbmm_(_per_image(columns[HIGH], batch * height), high_columns.view(-1, *sides))
    return x.view(batch, height, width, chans)


def _map_sides(h: int, w: int, filters: str) -> tuple[int, int]:
    """Return the sides of the maps whose bands are h x w."""
    return (2 * h, 2 * w) if is_biort(filters) else (4 * h, 4 * w)


def _per_image(matrix: Tensor, batch: int) -> Tensor:
    return matrix.expand(batch, -1, -1)


def _bank_matrices(n: int, filters: str, bank: str) -> np.ndarray:
    """(2, m, n): the analysis matrices, or the transposed synthesis matrices."""
    analysis, synthesis = matrices(n, filters)
    return analysis if bank == "analysis" else synthesis.transpose(0, 2, 1)


@table
def _columns(n: int, filters: str, bank: str, band: int) -> np.ndarray:
    """(m, n), rows ordered (parity, w)."""
    return order_by_parity(_bank_matrices(n, filters, bank)[band])


@table
def _low(n: int, filters: str, bank: str) -> np.ndarray:
    """(m, n)."""
    return _bank_matrices(n, filters, bank)[LOW]


@table
def _outer(n: int, filters: str, bank: str) -> np.ndarray:
    """(2, 2 h, 2 n): for re and im the rows of 15, then 165 degrees; columns (map row, parity)."""
    rows = outer_rows(_bank_matrices(n, filters, bank))
    return rows.reshape(2, -1, rows.shape[-1])


@table
def _inner(n: int, filters: str, bank: str) -> np.ndarray:
    """(2, 4 h, 2 n): for re and im the rows of 45, 75, 105 and 135 degrees."""
    rows = inner_rows(_bank_matrices(n, filters, bank))
    return rows.reshape(2, -1, rows.shape[-1])
