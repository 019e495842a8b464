"""Two block-diagonal complex layers and what follows them, in one launch forward and one backward.

    M = W2 act(W1 X + b1) + b2                                                                (1)
    Y = softshrink(M, threshold) * X     mask network and product of the adaptive filter      (2)
    Y = M                                channel mixing of the scattering mixer               (3)

W1 and W2 are complex and block diagonal in G groups of I features; act and softshrink apply to
real and imaginary parts separately. Forward, a program holds one group at a block of positions: X
is read once and Y written once, everything else stays on the chip. Backward, a program goes
through many blocks of one group, recomputes (1) from X, and keeps its own sums of the weights'
gradients, which are added afterwards in a fixed order. Both take any strides, so that features may
be last in memory. Operands are float32 (`PRECISION`), float16 or bfloat16; sums are float32. The
kernels: `complex_mlp_kernels.py`.
Letters: B batch, G groups, I features of a group, N positions, 2 = (re, im).
"""

from typing import Any

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from spectralvision.ops.complex_linear import complex_linear
from spectralvision.ops.triton import complex_mlp_kernels as kernels

ACTS = {"silu": F.silu, "relu": F.relu}
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Of float32 products: split factors on the matrix units; without them, "ieee" spills kilobytes.
PRECISION = "tf32x3"
# Of the backward launch, two for each of the 132 multiprocessors, and as many sums of gradients.
PROGRAMS = 264
MAX_FEATURES = 128  # of a group
# Four sums of 64 x 64 in float32 fill a quarter of the registers, of 128 x 128 all of them.
MAX_FEATURES_BACKWARD = 64
Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@torch.library.custom_op("spectralvision::complex_mlp", mutates_args=())
def complex_mlp(
    re: Tensor,
    im: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: str,
    threshold: float,
    multiply: bool,
) -> tuple[Tensor, Tensor]:
    """Compute equation (2) if `multiply`, else (3).

    Args:
        re, im: (B, G, I, N), float32, float16 or bfloat16, of any strides, best the same for both.
        w1, w2: (2, G, I, I), in and out; b1, b2: (2, G, I).
        act: "silu" or "relu".
        threshold: of the softshrink; 0 for none.
        multiply: whether Y is the product of the mask with X.

    Returns:
        (re, im), each (B, G, I, N), in the memory format of re.

    Raises:
        ValueError: the shapes do not match, the activation or dtype is unknown, or a group has more
            than 128 features.
    """
    batch, groups, features, positions = _check_arguments(re, im, w1, act)
    im = _with_strides_of(im, re)
    out_re, out_im = torch.empty_like(re), torch.empty_like(re)
    block = _block_rows(features, positions)
    kernels.forward[(triton.cdiv(positions, block), batch * groups)](
        re,
        im,
        out_re,
        out_im,
        *_convert_weights(re, w1, b1, w2, b2),
        positions,
        threshold,
        *re.stride(),
        *out_re.stride(),
        GROUPS=groups,
        FEATURES=features,
        WIDTH=_tile_columns(features),
        BLOCK=block,
        SILU=act == "silu",
        MULTIPLY=multiply,
        PRECISION=PRECISION,
        num_warps=8,
        num_stages=1,
    )
    return out_re, out_im


def complex_mlp_channels_last(
    re: Tensor,
    im: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: str,
    threshold: float,
    multiply: bool,
) -> tuple[Tensor, Tensor]:
    """Compute the same for contiguous parts (..., C), groups in turn along C; no copy."""
    groups = w1.shape[1]
    parts = (
        part.reshape(1, -1, groups, part.shape[-1] // groups).permute(0, 2, 3, 1)
        for part in (re, im)
    )
    out = complex_mlp(*parts, w1, b1, w2, b2, act, threshold, multiply)
    out_re, out_im = (part.permute(0, 3, 1, 2).reshape(re.shape) for part in out)
    return out_re, out_im


def complex_mlp_torch(
    re: Tensor,
    im: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: str,
    threshold: float,
    multiply: bool,
) -> tuple[Tensor, Tensor]:
    """Compute the same as `complex_mlp` in plain PyTorch."""
    hidden_re, hidden_im = (ACTS[act](part) for part in complex_linear(re, im, w1, b1))
    mask_re, mask_im = complex_linear(hidden_re, hidden_im, w2, b2)  # (1)
    if not multiply:
        return mask_re, mask_im  # (3)
    mask_re, mask_im = (F.softshrink(part, threshold) for part in (mask_re, mask_im))
    return mask_re * re - mask_im * im, mask_re * im + mask_im * re  # (2)


@torch.library.custom_op("spectralvision::complex_mlp_backward", mutates_args=())
def complex_mlp_backward(
    grad_re: Tensor,
    grad_im: Tensor,
    re: Tensor,
    im: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: str,
    threshold: float,
    multiply: bool,
) -> Gradients:
    """Compute the gradients of re, im, w1, b1, w2, b2 from those of Y, for up to 64 features."""
    # 1. Sizes and buffers: each program keeps its own sums of the weights' gradients
    batch, groups, features, positions = _check_arguments(re, im, w1, act)
    im, grad_im = _with_strides_of(im, re), _with_strides_of(grad_im, grad_re)
    out_re, out_im = torch.empty_like(re), torch.empty_like(re)
    block = _block_rows(features, positions)
    blocks = batch * triton.cdiv(positions, block)
    splits = max(1, min(blocks, PROGRAMS // groups))
    originals = (w1, b1, w2, b2)
    sums = [re.new_empty((splits, *weight.shape), dtype=torch.float32) for weight in originals]

    # 2. One launch
    kernels.backward[(splits * groups,)](
        _with_strides_of(re, out_re),
        _with_strides_of(im, out_re),
        grad_re,
        grad_im,
        out_re,
        out_im,
        *sums,
        *_convert_weights(re, w1, b1, w2, b2),
        positions,
        blocks,
        threshold,
        *out_re.stride(),
        *grad_re.stride(),
        SPLITS=splits,
        GROUPS=groups,
        FEATURES=features,
        WIDTH=_tile_columns(features),
        BLOCK=block,
        SILU=act == "silu",
        MULTIPLY=multiply,
        PRECISION=PRECISION,
        num_warps=8,
        num_stages=1,
    )

    # 3. Sum the weights' gradients
    totals = [total.sum(0).to(weight.dtype) for total, weight in zip(sums, originals, strict=True)]
    return out_re, out_im, totals[0], totals[1], totals[2], totals[3]


def _check_arguments(re: Tensor, im: Tensor, w1: Tensor, act: str) -> tuple[int, int, int, int]:
    """Return B, G, I, N."""
    if (
        re.ndim != 4
        or re.shape != im.shape
        or tuple(w1.shape) != (2, re.shape[1], re.shape[2], re.shape[2])
    ):
        raise ValueError(
            "re and im must have shape (B, G, I, N) and weights (2, G, I, I), "
            f"got {tuple(re.shape)}, {tuple(im.shape)} and {tuple(w1.shape)}"
        )
    if act not in ACTS:
        raise ValueError(f"act must be one of {', '.join(ACTS)}, got {act!r}")
    if re.dtype not in DTYPES:
        raise ValueError(
            f"the dtype must be float32, float16 or bfloat16, got {re.dtype}: "
            "use `complex_mlp_torch`"
        )
    if re.shape[2] > MAX_FEATURES:
        raise ValueError(
            f"a group can have at most {MAX_FEATURES} features, got {re.shape[2]}: use more groups"
        )
    batch, groups, features, positions = re.shape
    return batch, groups, features, positions


def _convert_weights(like: Tensor, *weights: Tensor) -> list[Tensor]:
    return [weight.to(like.dtype).contiguous() for weight in weights]


def _with_strides_of(x: Tensor, like: Tensor) -> Tensor:
    """Return x in the memory format of `like`, itself if it has that already."""
    return x if x.stride() == like.stride() else torch.empty_like(like).copy_(x)


def _tile_columns(features: int) -> int:
    return max(16, triton.next_power_of_2(features))


def _block_rows(features: int, positions: int) -> int:
    """Return the rows of a tile: 128, or 64 for wide ones, or fewer for few positions.

    Compiled for capability 9.0 with 8 warps, 16 features take 61 registers forward and 170 backward
    in bfloat16, 106 and 255 (56 bytes spilled) in float32; 40 features with the product take 255
    backward (1736 bytes spilled).
    """
    most = 128 if _tile_columns(features) <= 32 else 64
    return min(most, max(16, triton.next_power_of_2(positions)))


@complex_mlp.register_fake
def _(
    re: Tensor,
    im: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: str,
    threshold: float,
    multiply: bool,
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(re), torch.empty_like(re)


@complex_mlp_backward.register_fake
def _(
    grad_re: Tensor,
    grad_im: Tensor,
    re: Tensor,
    im: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: str,
    threshold: float,
    multiply: bool,
) -> Gradients:
    parts = (torch.empty_like(re), torch.empty_like(re))
    weights = [weight.new_empty(weight.shape) for weight in (w1, b1, w2, b2)]
    return *parts, weights[0], weights[1], weights[2], weights[3]


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:6])
    ctx.options = inputs[6:]


def _backward(ctx: Any, grad_re: Tensor, grad_im: Tensor) -> tuple[Tensor | None, ...]:
    no_gradients = (None, None, None)  # of act, threshold and multiply
    if ctx.saved_tensors[0].shape[2] <= MAX_FEATURES_BACKWARD:
        gradients = complex_mlp_backward(grad_re, grad_im, *ctx.saved_tensors, *ctx.options)
        return *gradients, *no_gradients
    leaves = [value.detach().requires_grad_() for value in ctx.saved_tensors]
    with torch.enable_grad():
        out = complex_mlp_torch(*leaves, *ctx.options)
    return *torch.autograd.grad(out, leaves, (grad_re, grad_im)), *no_gradients


complex_mlp.register_autograd(_backward, setup_context=_save_inputs)
