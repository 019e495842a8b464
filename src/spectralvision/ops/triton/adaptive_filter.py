"""The adaptive frequency filter in two launches forward and two backward on a GPU (Triton).

    X = rfft2(x)                                                                              (1)
    M = softshrink(W2 act(W1 X + b1) + b2, threshold)                                         (2)
    y = irfft2(M * X) + x                       the last term with `inner_skip` only          (3)

The first launch goes from x to the columns of M * X transformed back along H, the second one along
W; their intermediate result Y has the size of x. So five maps pass through memory (x, Y written
and read, x, y); the spectrum, the mask and the hidden layer never do. The backward pass recomputes
(1) and (2), in launches of the same two shapes. Equations of the launches:
`adaptive_filter_kernels.py`. The op in plain PyTorch: `ops/adaptive_frequency.py`.
Conventions: orthonormal; irfft2 is that of `ops/fourier.py`; operands are float32 (`PRECISION`),
float16 or bfloat16, including DFT matrices; sums are float32. Gradients of weights are summed in a
fixed order, without atomics.
Letters: B batch, C channels, G groups, I = C / G, H W rows and columns, U V frequencies, 2 = (re,
im).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import triton
from torch import Tensor, nn

from spectralvision.ops.chunking import has_forward_hooks
from spectralvision.ops.fourier import angles, inverse_along_rows, transform_along_rows
from spectralvision.ops.tables import table
from spectralvision.ops.triton import adaptive_filter_kernels as kernels
from spectralvision.ops.triton.complex_mlp import ACTS, DTYPES, PRECISION, PROGRAMS

MAX_SIDE = 64  # of a map, and features of a group
MAX_COLUMN = 1024  # elements of one frequency column of a group, height and features padded
Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def adaptive_frequency_filter(
    x: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: Callable[[Tensor], Tensor],
    threshold: float,
    inner_skip: bool,
) -> Tensor:
    """Filter maps x as the op of this name does, in the dtype of x with float32 sums.

    Raises:
        ValueError: the activation is neither SiLU nor ReLU, or see `adaptive_filter`.
    """
    name = activation_name(act)
    if name is None:
        raise ValueError(
            f"the kernel has the activations SiLU and ReLU, got {act}: "
            "use the op in spectralvision.ops.adaptive_frequency"
        )
    return adaptive_filter(x, w1, b1, w2, b2, name, threshold, inner_skip)


def supports(
    x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: Any, *rest: Any
) -> bool:
    """Return whether the kernel takes these arguments: sizes, dtype and activation."""
    features = w1.shape[2]
    small = max(x.shape[-2], x.shape[-1], features) <= MAX_SIDE
    fits = small and _padded(features) * _padded(x.shape[-2]) <= MAX_COLUMN
    return fits and x.dtype in DTYPES and activation_name(act) is not None


def activation_name(act: Callable[[Tensor], Tensor]) -> str | None:
    """Return "silu" or "relu" for modules and functions of these activations, None for others.

    A module with forward hooks is none of them: the kernel does not call it.
    """
    if isinstance(act, nn.Module) and not has_forward_hooks(act):
        return {nn.SiLU: "silu", nn.ReLU: "relu"}.get(type(act))
    functions: dict[Any, str] = {F.silu: "silu", F.relu: "relu", torch.relu: "relu"}
    return functions.get(act)


@torch.library.custom_op("spectralvision::adaptive_filter", mutates_args=())
def adaptive_filter(
    x: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: str,
    threshold: float,
    inner_skip: bool,
) -> Tensor:
    """Compute equations (1) to (3); differentiable once.

    Args:
        x: (B, C, H, W), float32, float16 or bfloat16, sides up to 64.
        w1, w2: (2, G, I, I), in and out; b1, b2: (2, G, I); I up to 64. Rounded to the dtype of x.
        act: "silu" or "relu".
        threshold: of the softshrink; 0 for none.
        inner_skip: whether to add x.

    Returns:
        (B, C, H, W), contiguous.

    Raises:
        ValueError: shapes do not match or are too large (64 rows allow up to 16 features per group,
            32 rows 32, 16 rows 64), or the activation or dtype is unknown.
    """
    batch, groups, features, height, width, half = _check_arguments(x, w1, act)
    tile = choose_tile(features, height, width, backward=False)
    x = x.contiguous()
    y = x.new_empty(batch, groups, width, features, height)
    weights = [weight.to(x.dtype).contiguous() for weight in (w1, b1, w2, b2)]
    kernels.columns_forward[(batch * groups * triton.cdiv(half, tile["COLUMNS"]),)](
        x,
        y,
        _row_matrix(x, width, "forward"),
        _column_matrix(x, height),
        *weights,
        threshold,
        H=height,
        W=width,
        V=half,
        GROUPS=groups,
        FEATURES=features,
        SILU=act == "silu",
        **tile,
    )
    return _launch_rows(y, _samples(x, width, "inverse"), x if inner_skip else None, x)


@torch.library.custom_op("spectralvision::adaptive_filter_backward", mutates_args=())
def adaptive_filter_backward(
    grad: Tensor,
    x: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: str,
    threshold: float,
    inner_skip: bool,
) -> Gradients:
    """Compute the gradients of x, w1, b1, w2, b2 from that of the result."""
    # 1. Sizes and buffers: each program keeps its own sums of the weights' gradients
    batch, groups, features, height, width, half = _check_arguments(x, w1, act)
    tile = choose_tile(features, height, width, backward=True)
    blocks = triton.cdiv(half, tile["COLUMNS"])
    x, grad = x.contiguous(), grad.to(x.dtype).contiguous()
    grad_y = x.new_empty(batch, groups, width, features, height)
    image_splits = max(1, min(batch, PROGRAMS // (groups * blocks)))
    originals = (w1, b1, w2, b2)
    sums = [
        x.new_empty((image_splits * blocks, *weight.shape), dtype=torch.float32)
        for weight in originals
    ]

    # 2. The columns, then the rows
    kernels.columns_backward[(image_splits * groups * blocks,)](
        x,
        grad,
        grad_y,
        *sums,
        _row_matrix(x, width, "forward"),
        _row_matrix(x, width, "inverse"),
        _column_matrix(x, height),
        *(weight.to(x.dtype).contiguous() for weight in originals),
        batch,
        threshold,
        SPLITS=image_splits,
        H=height,
        W=width,
        V=half,
        GROUPS=groups,
        FEATURES=features,
        SILU=act == "silu",
        **tile,
    )
    grad_x = _launch_rows(grad_y, _samples(x, width, "forward"), grad if inner_skip else None, x)

    # 3. Sum the weights' gradients
    totals = [total.sum(0).to(weight.dtype) for total, weight in zip(sums, originals, strict=True)]
    return grad_x, totals[0], totals[1], totals[2], totals[3]


@adaptive_filter.register_fake
def _(
    x: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: str,
    threshold: float,
    inner_skip: bool,
) -> Tensor:
    return x.new_empty(x.shape)


@adaptive_filter_backward.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: str,
    threshold: float,
    inner_skip: bool,
) -> Gradients:
    gradients = [weight.new_empty(weight.shape) for weight in (w1, b1, w2, b2)]
    return x.new_empty(x.shape), gradients[0], gradients[1], gradients[2], gradients[3]


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.options = inputs[5:]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *adaptive_filter_backward(grad, *ctx.saved_tensors, *ctx.options), None, None, None


adaptive_filter.register_autograd(_backward, setup_context=_save_inputs)


def _check_arguments(x: Tensor, w1: Tensor, act: str) -> tuple[int, int, int, int, int, int]:
    """Return B, G, I, H, W, V."""
    if x.ndim != 4 or w1.ndim != 4 or tuple(w1.shape) != (2, w1.shape[1], w1.shape[2], w1.shape[2]):
        raise ValueError(
            "x must have shape (B, C, H, W) and weights (2, G, I, I), "
            f"got {tuple(x.shape)} and {tuple(w1.shape)}"
        )
    if act not in ACTS or x.dtype not in DTYPES:
        raise ValueError(
            f"act must be one of {', '.join(ACTS)} and x float32, float16 or bfloat16, "
            f"got {act!r} and {x.dtype}"
        )
    batch, chans, height, width = x.shape
    groups, features = w1.shape[1:3]
    if chans != groups * features:
        raise ValueError(
            f"weights of {groups} groups of {features} features do not match a map of {chans} "
            "channels"
        )
    if max(height, width, features) > MAX_SIDE or min(x.shape) < 1:
        raise ValueError(
            f"sides and features per group must be 1 to {MAX_SIDE}, "
            f"got {tuple(x.shape)} in {groups} groups"
        )
    if _padded(features) * _padded(height) > MAX_COLUMN:
        raise ValueError(
            f"height x features per group, each rounded up to a power of two, must be at most "
            f"{MAX_COLUMN}, got {height} x {features}: use more groups, or the op without kernels"
        )
    return batch, groups, features, height, width, width // 2 + 1


def _padded(n: int) -> int:
    """Return the side of a tile: a power of two, and at least what a product needs."""
    return max(16, triton.next_power_of_2(n))


def choose_tile(features: int, height: int, width: int, backward: bool) -> dict[str, Any]:
    """Choose what a program of the first launch holds, as keywords of the launch.

    A tile (H, V', I) of one of the parts (re, im) has as many columns V' as give 4096 elements,
    half of that backward; 8 warps hold 16 (8) of them per thread in float32. Forward, X, the input
    of a layer and its sums are alive at once, 6 tiles or about 96 of 255 registers; backward X, A,
    act', g, gX and the sums, 12 half-tiles or about 96, not counting operands and addresses.
    Compiled for capability 9.0 in bfloat16, (I, H, W) = (16, 32, 32), (32, 16, 16), (40, 8, 8),
    (16, 64, 64) take 128, 121, 247, 255 registers forward without spilling and 19, 23, 57, 53 KiB
    of shared memory; backward 255 registers and 19, 17, 86, 50 KiB with 0, 184, 2000 and 552 bytes
    spilled. Larger tiles backward or 16 warps were worse. x is read in pieces of 8192 elements
    along W (at least 16 columns), which are operands in shared memory.
    """
    wide, high = _padded(features), _padded(height)
    fit = max(4, 2048 // (wide * high)) if backward else max(8, 4096 // (wide * high))
    if wide == MAX_SIDE:
        fit = 8  # 128 rows of the mask network; with more its weights would not fit the registers
    return {
        "WIDTH": wide,
        "HEIGHT": high,
        "COLUMNS": min(fit, max(4, triton.next_power_of_2(width // 2 + 1))),
        "CHUNK": min(max(16, 8192 // (wide * high)), _padded(width)),
        "PRECISION": PRECISION,
        "num_warps": 8,
        "num_stages": 1,
    }


def _launch_rows(y: Tensor, matrix: Tensor, skip: Tensor | None, like: Tensor) -> Tensor:
    """Run the second launch: y (B, G, W, I, H) -> the shape of `like`."""
    batch, groups, width, features, height = y.shape
    out, count = torch.empty_like(like), features * height
    block = min(128, _padded(count))
    kernels.rows[(triton.cdiv(count, block), batch * groups)](
        y,
        matrix,
        like if skip is None else skip,
        out,
        count,
        W=width,
        WIDTH=_padded(width),
        BLOCK=block,
        SKIP=skip is not None,
        PRECISION=PRECISION,
    )
    return out


def _row_transform(width: int, direction: str) -> np.ndarray:
    """(2, V, W): the DFT along W, or its inverse, equations (1) and (3) of `ops/fourier.py`."""
    if direction == "inverse":
        return inverse_along_rows(width)
    return transform_along_rows(width).transpose(1, 2, 0)


@table
def _row_matrix(width: int, direction: str) -> np.ndarray:
    """(2, W, V): samples of a row -> columns, by the DFT or by the adjoint of the inverse."""
    return _row_transform(width, direction).transpose(0, 2, 1)


@table
def _samples(width: int, direction: str) -> np.ndarray:
    """(W, W): the W real numbers that define a row -> its samples.

    By the inverse, or by the adjoint of the DFT.
    """
    re, im = _row_transform(width, direction)
    return np.concatenate([re, im[1 : width - len(re) + 1]])


@table
def _column_matrix(height: int) -> np.ndarray:
    """(2, H, H): cos and sin of the orthonormal DFT along H."""
    phase = angles(height, height)
    return np.stack([np.cos(phase), np.sin(phase)]) / np.sqrt(height)
