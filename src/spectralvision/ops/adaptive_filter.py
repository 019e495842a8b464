"""The adaptive frequency filter in two launches forward and two back on an accelerator (Triton).

    X = rfft2(x)                                                                                         (1)
    M = softshrink(W2 act(W1 X + b1) + b2, threshold)                                                    (2)
    y = irfft2(M * X) + x                       the last term with `inner_skip` only                     (3)

The first launch goes from x to the columns of M * X transformed back along H, the second along W; what lies between
them, Y, has the size of x. So a map passes memory five times (x, Y written and read, x, y), and the spectrum, the mask
and the hidden layer never do. The backward pass computes (1) and (2) anew, in launches of the same two shapes.
Equations of the launches: `ops/adaptive_filter_kernels.py`. The twin: `AdaptiveFrequencyFilter.forward`.

Conventions: orthonormal; irfft2 is that of `ops/fourier.py`; operands are float32 (`PRECISION`), float16 or bfloat16,
DFT matrices included; sums are float32. Weights' gradients are summed in a fixed order, without atomics.
State: tested in Triton's interpreter and compiled for compute capability 9.0, not yet run on a GPU, so that no mixer
calls it by itself; `benchmarks/gpu.py` compares and times it where there is one.
Letters: B batch, C channels, G groups, I = C / G, H W rows and columns, U V frequencies, 2 = (re, im).
"""

from typing import Any

import numpy as np
import torch
import triton
from torch import Tensor

from spectralvision.ops import adaptive_filter_kernels as kernels
from spectralvision.ops.complex_mlp import ACTS, DTYPES, PRECISION, PROGRAMS
from spectralvision.ops.fourier import along_rows, angles, back_along_rows
from spectralvision.ops.tables import table

LARGEST = 64  # side of a map, and features of a group
COLUMN = 1024  # numbers of one frequency column of a group, height and features padded: more do not fit a program
Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


@torch.library.custom_op("spectralvision::adaptive_filter", mutates_args=())
def adaptive_filter(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: str, threshold: float,
                    inner_skip: bool) -> Tensor:  # fmt: skip
    """Equations (1) to (3); can be differentiated once.

    Args:
        x: (B, C, H, W), float32, float16 or bfloat16, sides up to 64.
        w1, w2: (2, G, I, I), in and out; b1, b2: (2, G, I); I up to 64. They are rounded to the dtype of x.
        act: "silu" or "relu".
        threshold: of the softshrink; 0 for none.
        inner_skip: add x.

    Returns:
        (B, C, H, W), contiguous.

    Raises:
        ValueError: shapes do not fit or are too large (`LARGEST`, `COLUMN`: 64 rows go with up to 16 features a group,
            32 with 32, 16 with 64), or the activation or dtype is unknown.
    """
    batch, groups, features, height, width, half = _checked(x, w1, act)
    tile = tile_of(features, height, width, back=False)
    x = x.contiguous()
    y = x.new_empty(batch, groups, width, features, height)
    weights = [weight.to(x.dtype).contiguous() for weight in (w1, b1, w2, b2)]
    kernels.columns_forward[(batch * groups * triton.cdiv(half, tile["COLUMNS"]),)](
        x, y, _row_matrix(x, width, "forward"), _column_matrix(x, height), *weights, threshold, H=height, W=width,
        V=half, GROUPS=groups, FEATURES=features, SILU=act == "silu", **tile,
    )  # fmt: skip
    return _along_rows(y, _samples(x, width, "inverse"), x if inner_skip else None, x)


@torch.library.custom_op("spectralvision::adaptive_filter_backward", mutates_args=())
def adaptive_filter_backward(grad: Tensor, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: str,
                             threshold: float, inner_skip: bool) -> Gradients:  # fmt: skip
    """Gradients of x, w1, b1, w2, b2, given that of the result."""
    batch, groups, features, height, width, half = _checked(x, w1, act)
    tile = tile_of(features, height, width, back=True)
    blocks = triton.cdiv(half, tile["COLUMNS"])
    x, grad = x.contiguous(), grad.to(x.dtype).contiguous()
    gt = x.new_empty(batch, groups, width, features, height)
    shares = max(1, min(batch, PROGRAMS // (groups * blocks)))
    sums = [x.new_empty((shares * blocks, *one.shape), dtype=torch.float32) for one in (w1, b1, w2, b2)]
    weights = [weight.to(x.dtype).contiguous() for weight in (w1, b1, w2, b2)]
    kernels.columns_backward[(shares * groups * blocks,)](
        x, grad, gt, *sums, _row_matrix(x, width, "forward"), _row_matrix(x, width, "inverse"),
        _column_matrix(x, height), *weights, batch, threshold, SHARES=shares, H=height, W=width, V=half, GROUPS=groups,
        FEATURES=features, SILU=act == "silu", **tile,
    )  # fmt: skip
    grad_x = _along_rows(gt, _samples(x, width, "forward"), grad if inner_skip else None, x)
    totals = [total.sum(0).to(one.dtype) for total, one in zip(sums, (w1, b1, w2, b2), strict=True)]
    return grad_x, totals[0], totals[1], totals[2], totals[3]


@adaptive_filter.register_fake
def _(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: str, threshold: float,
      inner_skip: bool) -> Tensor:  # fmt: skip
    return x.new_empty(x.shape)


@adaptive_filter_backward.register_fake
def _(grad: Tensor, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: str, threshold: float,
      inner_skip: bool) -> Gradients:  # fmt: skip
    return (x.new_empty(x.shape), w1.new_empty(w1.shape), b1.new_empty(b1.shape), w2.new_empty(w2.shape),
            b2.new_empty(b2.shape))  # fmt: skip


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.options = inputs[5:]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *adaptive_filter_backward(grad, *ctx.saved_tensors, *ctx.options), None, None, None


adaptive_filter.register_autograd(_backward, setup_context=_remember)


def _checked(x: Tensor, w1: Tensor, act: str) -> tuple[int, int, int, int, int, int]:
    """B, G, I, H, W, V."""
    if x.ndim != 4 or w1.ndim != 4 or tuple(w1.shape) != (2, w1.shape[1], w1.shape[2], w1.shape[2]):
        raise ValueError(f"x has shape (B, C, H, W), weights (2, G, I, I), got {tuple(x.shape)}, {tuple(w1.shape)}")
    if act not in ACTS or x.dtype not in DTYPES:
        raise ValueError(f"act is one of {', '.join(ACTS)}, x float32, float16 or bfloat16, got {act!r}, {x.dtype}")
    (batch, chans, height, width), (groups, features) = x.shape, w1.shape[1:3]
    if chans != groups * features:
        raise ValueError(f"weights of {groups} groups of {features} features fit no map of {chans} channels")
    if max(height, width, features) > LARGEST or min(x.shape) < 1:
        raise ValueError(f"sides and features of a group are 1 to {LARGEST}, got {tuple(x.shape)} in {groups} groups")
    if _padded(features) * _padded(height) > COLUMN:
        raise ValueError(
            f"height x features of a group, each rounded up to a power of two, are at most {COLUMN}, got {height} x "
            f"{features}: take more groups, or the mixer without kernels"
        )
    return batch, groups, features, height, width, width // 2 + 1


def _padded(n: int) -> int:
    """The side of a tile: a power of two, and at least what a product takes."""
    return max(16, triton.next_power_of_2(n))


def tile_of(features: int, height: int, width: int, back: bool) -> dict[str, Any]:
    """What a program of the first launch holds, as keywords of the launch.

    A tile (H, V', I) of one part, (re, im) being two, takes V' columns so that it has 4096 numbers, half of that on the
    way back; 8 warps hold 16 (8) of them a thread in float32. Forward, X, a layer's input and its sums live at a time,
    6 tiles or about 96 of 255 registers, back X, A, act', g, gX and the sums, 12 half-tiles or about 96, operands and
    addresses aside. Compiled for capability 9.0, (I, H, W) = (16, 32, 32), (32, 16, 16), (40, 8, 8), (16, 64, 64) in
    bfloat16 take forward 128, 121, 247, 255 registers without spilling and 19, 23, 57, 53 KiB of shared memory, back
    255 and 19, 17, 86, 50 KiB with 0, 184, 2000 and 552 bytes spilled; more numbers a tile back or 16 warps were worse.
    x is read in chunks of 8192 numbers along W (at least 16 columns of it), which are operands in shared memory.
    """
    wide, high = _padded(features), _padded(height)
    fit = max(4, 2048 // (wide * high)) if back else max(8, 4096 // (wide * high))
    fit = 8 if wide == LARGEST else fit  # 128 rows of the mask network, else its weights lie in registers
    columns = min(fit, max(4, triton.next_power_of_2(width // 2 + 1)))
    chunk = min(max(16, 8192 // (wide * high)), _padded(width))
    return {"WIDTH": wide, "HEIGHT": high, "COLUMNS": columns, "CHUNK": chunk, "PRECISION": PRECISION,
            "num_warps": 8, "num_stages": 1}  # fmt: skip


def _along_rows(y: Tensor, matrix: Tensor, skip: Tensor | None, like: Tensor) -> Tensor:
    """The second launch: y (B, G, W, I, H) -> the shape of `like`."""
    batch, groups, width, features, height = y.shape
    out, count = torch.empty_like(like), features * height
    block = min(128, _padded(count))
    kernels.rows[(triton.cdiv(count, block), batch * groups)](
        y, matrix, like if skip is None else skip, out, count, W=width, WIDTH=_padded(width),
        BLOCK=block, SKIP=skip is not None, PRECISION=PRECISION,
    )  # fmt: skip
    return out


def _parts(width: int, bank: str) -> np.ndarray:
    """(2, V, W): the DFT along W, or the inverse of it, equations (1) and (3) of `ops/fourier.py`."""
    return back_along_rows(width) if bank == "inverse" else along_rows(width).transpose(1, 2, 0)


@table
def _row_matrix(width: int, bank: str) -> np.ndarray:
    """(2, W, V): samples of a row -> columns, by the DFT or by the adjoint of the inverse."""
    return _parts(width, bank).transpose(0, 2, 1)


@table
def _samples(width: int, bank: str) -> np.ndarray:
    """(W, W): the W real numbers of a row that count -> its samples, by the inverse or by the adjoint of the DFT."""
    re, im = _parts(width, bank)
    return np.concatenate([re, im[1 : width - len(re) + 1]])


@table
def _column_matrix(height: int) -> np.ndarray:
    """(2, H, H): cos and sin of the orthonormal DFT along H."""
    return np.stack([np.cos(angles(height, height)), np.sin(angles(height, height))]) / np.sqrt(height)
