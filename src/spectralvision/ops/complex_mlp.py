"""Two block-diagonal complex layers and what follows them, in one launch on an accelerator (Triton).

    M = W2 act(W1 X + b1) + b2                                                                           (1)
    Y = softshrink(M, threshold) * X        the mask network and product of the adaptive frequency filter (2)
    Y = M                                   the channel mixing of the scattering mixer                    (3)

W1, W2 are complex and block diagonal in G groups of I features; act and softshrink take real and imaginary part apart.
Each program holds one group at a block of positions: X is read once and Y written once, all else stays on the chip.
Operands are float32 (IEEE products) or bfloat16; sums are float32. The backward pass recomputes (1) in plain PyTorch.

State: tested in Triton's interpreter (`tests/ops/test_complex_mlp.py`), not yet run on a GPU, so no mixer calls it;
`benchmarks/gpu.py` compares and times it where there is one.
Letters: B batch, G groups, I features of a group, N positions, 2 = (re, im).
"""

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from spectralvision.ops.complex_linear import complex_linear

ACTS = {"silu": F.silu, "relu": F.relu}
BLOCK = 64  # positions of a program


@torch.library.custom_op("spectralvision::complex_mlp", mutates_args=())
def complex_mlp(re: Tensor, im: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: str,
                threshold: float, multiply: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Equation (2) where `multiply`, else (3).

    Args:
        re, im: (B, G, I, N), float32 or bfloat16.
        w1, w2: (2, G, I, I), in and out; b1, b2: (2, G, I).
        act: "silu" or "relu".
        threshold: of the softshrink; 0 for none.
        multiply: whether Y is the mask's product with X.

    Returns:
        (re, im), each (B, G, I, N), contiguous.

    Raises:
        ValueError: the shapes do not fit, the activation is unknown, or a group has more than 128 features.
    """
    batch, groups, features, positions = _checked(re, im, w1, act)
    re, im = re.contiguous(), im.contiguous()
    w1, b1, w2, b2 = (weight.to(re.dtype).contiguous() for weight in (w1, b1, w2, b2))
    out_re, out_im = torch.empty_like(re), torch.empty_like(im)
    grid = (batch * groups, triton.cdiv(positions, BLOCK))
    _kernel[grid](
        re, im, out_re, out_im, w1, b1, w2, b2, positions, threshold,
        GROUPS=groups, FEATURES=features, WIDTH=max(16, triton.next_power_of_2(features)), BLOCK=BLOCK,
        SILU=act == "silu", MULTIPLY=multiply,
    )  # fmt: skip
    return out_re, out_im


def _checked(re: Tensor, im: Tensor, w1: Tensor, act: str) -> tuple[int, int, int, int]:
    if re.ndim != 4 or re.shape != im.shape or tuple(w1.shape) != (2, re.shape[1], re.shape[2], re.shape[2]):
        raise ValueError(
            f"re and im have shape (B, G, I, N) and weights (2, G, I, I), got {tuple(re.shape)}, {tuple(im.shape)} and "
            f"{tuple(w1.shape)}"
        )
    if act not in ACTS:
        raise ValueError(f"act is one of {', '.join(ACTS)}, got {act!r}")
    if re.shape[2] > 128:
        raise ValueError(f"a group has at most 128 features, got {re.shape[2]}: take more groups")
    batch, groups, features, positions = re.shape
    return batch, groups, features, positions


def complex_mlp_torch(re: Tensor, im: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: str,
                      threshold: float, multiply: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The same in plain PyTorch."""
    hidden_re, hidden_im = (ACTS[act](part) for part in complex_linear(re, im, w1, b1))
    mask_re, mask_im = complex_linear(hidden_re, hidden_im, w2, b2)  # (1)
    if not multiply:
        return mask_re, mask_im  # (3)
    mask_re, mask_im = (F.softshrink(part, threshold) for part in (mask_re, mask_im))
    return mask_re * re - mask_im * im, mask_re * im + mask_im * re  # (2)


@complex_mlp.register_fake
def _(re: Tensor, im: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: str, threshold: float,
      multiply: bool) -> tuple[Tensor, Tensor]:  # fmt: skip
    return torch.empty_like(re).contiguous(), torch.empty_like(im).contiguous()


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:6])
    ctx.options = inputs[6:]


def _backward(ctx: Any, grad_re: Tensor, grad_im: Tensor) -> tuple[Tensor | None, ...]:
    leaves = [value.detach().requires_grad_() for value in ctx.saved_tensors]
    with torch.enable_grad():
        out = complex_mlp_torch(*leaves, *ctx.options)
    return *torch.autograd.grad(out, leaves, (grad_re, grad_im)), None, None, None


complex_mlp.register_autograd(_backward, setup_context=_remember)


@triton.jit
def _layer(re, im, weight, bias, group, GROUPS: tl.constexpr, FEATURES: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """W X + b of one group, (WIDTH, BLOCK) float32."""
    i, o = tl.arange(0, WIDTH)[None, :], tl.arange(0, WIDTH)[:, None]
    inside = (i < FEATURES) & (o < FEATURES)
    at = group * FEATURES * FEATURES + i * FEATURES + o
    wr = tl.load(weight + at, mask=inside, other=0.0)
    wi = tl.load(weight + GROUPS * FEATURES * FEATURES + at, mask=inside, other=0.0)
    row = tl.arange(0, WIDTH)
    br = tl.load(bias + group * FEATURES + row, mask=row < FEATURES, other=0.0).to(tl.float32)
    bi = tl.load(bias + (GROUPS + group) * FEATURES + row, mask=row < FEATURES, other=0.0).to(tl.float32)
    out_re = tl.dot(wr, re, input_precision="ieee") - tl.dot(wi, im, input_precision="ieee") + br[:, None]
    out_im = tl.dot(wi, re, input_precision="ieee") + tl.dot(wr, im, input_precision="ieee") + bi[:, None]
    return out_re, out_im


@triton.jit
def _shrunk(x, threshold):  # type: ignore[no-untyped-def]
    return tl.where(x > threshold, x - threshold, tl.where(x < -threshold, x + threshold, 0.0))


@triton.jit
def _kernel(x_re, x_im, y_re, y_im, w1, b1, w2, b2, positions, threshold, GROUPS: tl.constexpr,  # type: ignore[no-untyped-def]
            FEATURES: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, SILU: tl.constexpr,
            MULTIPLY: tl.constexpr):  # fmt: skip
    image_group = tl.program_id(0)
    group = image_group % GROUPS
    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    i = tl.arange(0, WIDTH)[:, None]
    inside = (i < FEATURES) & (n < positions)
    at = (image_group.to(tl.int64) * FEATURES + i) * positions + n
    re, im = tl.load(x_re + at, mask=inside, other=0.0), tl.load(x_im + at, mask=inside, other=0.0)

    hidden_re, hidden_im = _layer(re, im, w1, b1, group, GROUPS, FEATURES, WIDTH)  # (1)
    if SILU:
        hidden_re, hidden_im = hidden_re * tl.sigmoid(hidden_re), hidden_im * tl.sigmoid(hidden_im)
    else:
        hidden_re, hidden_im = tl.maximum(hidden_re, 0.0), tl.maximum(hidden_im, 0.0)
    out_re, out_im = _layer(hidden_re.to(re.dtype), hidden_im.to(re.dtype), w2, b2, group, GROUPS, FEATURES, WIDTH)
    if MULTIPLY:
        mask_re, mask_im = _shrunk(out_re, threshold), _shrunk(out_im, threshold)
        out_re = mask_re * re - mask_im * im  # (2)
        out_im = mask_re * im + mask_im * re
    tl.store(y_re + at, out_re.to(re.dtype), mask=inside)
    tl.store(y_im + at, out_im.to(re.dtype), mask=inside)
