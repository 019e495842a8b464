"""Two block-diagonal complex layers and what follows them, in one launch on an accelerator (Triton), and one back.

    M = W2 act(W1 X + b1) + b2                                                                           (1)
    Y = softshrink(M, threshold) * X        the mask network and product of the adaptive frequency filter (2)
    Y = M                                   the channel mixing of the scattering mixer                    (3)

W1, W2 are complex and block diagonal in G groups of I features; act and softshrink take real and imaginary part apart.
Forward, a program holds one group at a block of positions: X is read once and Y written once, all else stays on the
chip. Back, a program goes through many blocks of one group, computes (1) anew from X, and keeps its share of the
weights' gradients, which are summed afterwards in a fixed order. Both take any strides, so that features may lie last.
Operands are float32 (`PRECISION`), float16 or bfloat16; sums are float32. The kernels: `ops/complex_mlp_kernels.py`.

State: tested in Triton's interpreter (`tests/ops/test_complex_mlp.py`), not yet run on a GPU, so no mixer calls it by
itself; `benchmarks/gpu.py` compares and times it where there is one.
Letters: B batch, G groups, I features of a group, N positions, 2 = (re, im).
"""

from typing import Any

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from spectralvision.ops import complex_mlp_kernels as kernels
from spectralvision.ops.complex_linear import complex_linear

ACTS = {"silu": F.silu, "relu": F.relu}
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
PRECISION = "tf32x3"  # of float32 products: split factors on the matrix units; "ieee", without them, spills kilobytes
PROGRAMS = 264  # of the backward launch, two for each of the 132 multiprocessors: as many shares of the gradients
BACKWARD_UP_TO = 64  # features: four sums of 64 x 64 in float32 fill a quarter of the registers, of 128 x 128 all
Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@torch.library.custom_op("spectralvision::complex_mlp", mutates_args=())
def complex_mlp(re: Tensor, im: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: str,
                threshold: float, multiply: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Equation (2) where `multiply`, else (3).

    Args:
        re, im: (B, G, I, N), float32, float16 or bfloat16, of any strides; best the same for both.
        w1, w2: (2, G, I, I), in and out; b1, b2: (2, G, I).
        act: "silu" or "relu".
        threshold: of the softshrink; 0 for none.
        multiply: whether Y is the mask's product with X.

    Returns:
        (re, im), each (B, G, I, N), in the order of memory of re.

    Raises:
        ValueError: the shapes do not fit, the activation or dtype is unknown, or a group has more than 128 features.
    """
    batch, groups, features, positions = _checked(re, im, w1, act)
    im = _as_stored(im, re)
    out_re, out_im = torch.empty_like(re), torch.empty_like(re)
    block = _block(features, positions)
    kernels.forward[(triton.cdiv(positions, block), batch * groups)](
        re, im, out_re, out_im, *_weights(re, w1, b1, w2, b2), positions, threshold, *re.stride(), *out_re.stride(),
        GROUPS=groups, FEATURES=features, WIDTH=_width(features), BLOCK=block, SILU=act == "silu", MULTIPLY=multiply,
        PRECISION=PRECISION, num_warps=8, num_stages=1,
    )  # fmt: skip
    return out_re, out_im


def complex_mlp_channels_last(re: Tensor, im: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: str,
                              threshold: float, multiply: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The same on parts (..., C), contiguous, groups one after the other along C: no copy. Gives the same shape."""
    groups = w1.shape[1]
    parts = (part.reshape(1, -1, groups, part.shape[-1] // groups).permute(0, 2, 3, 1) for part in (re, im))
    out = complex_mlp(*parts, w1, b1, w2, b2, act, threshold, multiply)
    out_re, out_im = (part.permute(0, 3, 1, 2).reshape(re.shape) for part in out)
    return out_re, out_im


def complex_mlp_torch(re: Tensor, im: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: str,
                      threshold: float, multiply: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The same as `complex_mlp` in plain PyTorch."""
    hidden_re, hidden_im = (ACTS[act](part) for part in complex_linear(re, im, w1, b1))
    mask_re, mask_im = complex_linear(hidden_re, hidden_im, w2, b2)  # (1)
    if not multiply:
        return mask_re, mask_im  # (3)
    mask_re, mask_im = (F.softshrink(part, threshold) for part in (mask_re, mask_im))
    return mask_re * re - mask_im * im, mask_re * im + mask_im * re  # (2)


@torch.library.custom_op("spectralvision::complex_mlp_backward", mutates_args=())
def complex_mlp_backward(grad_re: Tensor, grad_im: Tensor, re: Tensor, im: Tensor, w1: Tensor, b1: Tensor, w2: Tensor,
                         b2: Tensor, act: str, threshold: float, multiply: bool) -> Gradients:  # fmt: skip
    """Gradients of re, im, w1, b1, w2, b2, given those of Y; at most `BACKWARD_UP_TO` features."""
    batch, groups, features, positions = _checked(re, im, w1, act)
    im, grad_im = _as_stored(im, re), _as_stored(grad_im, grad_re)
    out_re, out_im = torch.empty_like(re), torch.empty_like(re)
    im_stored, block = _as_stored(im, out_re), _block(features, positions)
    re_stored = _as_stored(re, out_re)
    blocks = batch * triton.cdiv(positions, block)
    shares = max(1, min(blocks, PROGRAMS // groups))
    sums = [re.new_empty((shares, *weight.shape), dtype=torch.float32) for weight in (w1, b1, w2, b2)]
    kernels.backward[(shares * groups,)](
        re_stored, im_stored, grad_re, grad_im, out_re, out_im, *sums, *_weights(re, w1, b1, w2, b2), positions, blocks,
        threshold, *out_re.stride(), *grad_re.stride(), SHARES=shares, GROUPS=groups, FEATURES=features,
        WIDTH=_width(features), BLOCK=block, SILU=act == "silu", MULTIPLY=multiply, PRECISION=PRECISION,
        num_warps=8, num_stages=1,
    )  # fmt: skip
    gradients = [total.sum(0).to(weight.dtype) for total, weight in zip(sums, (w1, b1, w2, b2), strict=True)]
    return out_re, out_im, gradients[0], gradients[1], gradients[2], gradients[3]


def _checked(re: Tensor, im: Tensor, w1: Tensor, act: str) -> tuple[int, int, int, int]:
    if re.ndim != 4 or re.shape != im.shape or tuple(w1.shape) != (2, re.shape[1], re.shape[2], re.shape[2]):
        raise ValueError(
            f"re and im have shape (B, G, I, N) and weights (2, G, I, I), got {tuple(re.shape)}, {tuple(im.shape)} and "
            f"{tuple(w1.shape)}"
        )
    if act not in ACTS:
        raise ValueError(f"act is one of {', '.join(ACTS)}, got {act!r}")
    if re.dtype not in DTYPES:
        raise ValueError(f"the dtype is float32, float16 or bfloat16, got {re.dtype}: take `complex_mlp_torch`")
    if re.shape[2] > 128:
        raise ValueError(f"a group has at most 128 features, got {re.shape[2]}: take more groups")
    batch, groups, features, positions = re.shape
    return batch, groups, features, positions


def _weights(like: Tensor, *weights: Tensor) -> list[Tensor]:
    return [weight.to(like.dtype).contiguous() for weight in weights]


def _as_stored(x: Tensor, like: Tensor) -> Tensor:
    """x in the order of memory of `like`, itself where it is so already."""
    return x if x.stride() == like.stride() else torch.empty_like(like).copy_(x)


def _width(features: int) -> int:
    """Columns of a tile."""
    return max(16, triton.next_power_of_2(features))


def _block(features: int, positions: int) -> int:
    """Rows of a tile: 128, of wide ones 64, and of few positions fewer.

    Compiled for capability 9.0 with 8 warps, 16 features in bfloat16 take 61 registers forward and 170 back, in float32
    106 and 255 (56 bytes spilled); 40 features with the product 255 back (1736 bytes spilled).
    """
    return min(128 if _width(features) <= 32 else 64, max(16, triton.next_power_of_2(positions)))


@complex_mlp.register_fake
def _(re: Tensor, im: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: str, threshold: float,
      multiply: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
    return torch.empty_like(re), torch.empty_like(re)


@complex_mlp_backward.register_fake
def _(grad_re: Tensor, grad_im: Tensor, re: Tensor, im: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor,
      act: str, threshold: float, multiply: bool) -> Gradients:  # fmt: skip
    weights = [weight.new_empty(weight.shape) for weight in (w1, b1, w2, b2)]
    return torch.empty_like(re), torch.empty_like(re), weights[0], weights[1], weights[2], weights[3]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:6])
    ctx.options = inputs[6:]


def _backward(ctx: Any, grad_re: Tensor, grad_im: Tensor) -> tuple[Tensor | None, ...]:
    if ctx.saved_tensors[0].shape[2] <= BACKWARD_UP_TO:
        return *complex_mlp_backward(grad_re, grad_im, *ctx.saved_tensors, *ctx.options), None, None, None
    leaves = [value.detach().requires_grad_() for value in ctx.saved_tensors]
    with torch.enable_grad():
        out = complex_mlp_torch(*leaves, *ctx.options)
    return *torch.autograd.grad(out, leaves, (grad_re, grad_im)), None, None, None


complex_mlp.register_autograd(_backward, setup_context=_remember)
