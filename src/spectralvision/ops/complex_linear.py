"""Block-diagonal complex linear layers in real arithmetic.

    out[g, o] = sum_i  in[g, i] (Wr[g, i, o] + i Wi[g, i, o])  +  b[g, o]                     (1)

With real and imaginary parts stacked along the features, z = [re; im], a layer is one real product
per group,

    z' = z M + b',        M = [[Wr, Wi], [-Wi, Wr]],        b' = [br, bi]                     (2)

and two layers with an activation on real and imaginary parts separately keep them stacked,

    z' = act(z M1 + b1') M2 + b2'                                                             (3)

Letters: G groups (blocks of the matrix), I O features in and out of a block, N positions,
2 = (re, im).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from spectralvision.ops.precision import no_autocast
from spectralvision.ops.products import affine, matmul

Activation = Callable[[Tensor], Tensor]
Parts = tuple[Tensor, Tensor]


def complex_linear(re: Tensor, im: Tensor, weight: Tensor, bias: Tensor | None = None) -> Parts:
    """Apply one block-diagonal complex linear layer, equation (1), shared by all positions.

    Consecutive layers keep the parts stacked: see `complex_mlp`. Computed outside autocast, in the
    dtype of its arguments.

    Args:
        re, im: real, (..., G, I, N): groups, features, positions.
        weight: (2, G, I, O), real and imaginary part.
        bias: (2, G, O), or None.

    Returns:
        (re, im), each (..., G, O, N).

    Raises:
        ValueError: the shapes do not match.
    """
    if weight.ndim != 4 or weight.shape[0] != 2:
        raise ValueError(
            f"a complex weight must have shape (2, groups, in, out), got {tuple(weight.shape)}"
        )
    if re.shape != im.shape or re.ndim < 3 or tuple(re.shape[-3:-1]) != tuple(weight.shape[1:3]):
        raise ValueError(
            f"re and im must have shape (..., {weight.shape[1]}, {weight.shape[2]}, positions) "
            f"for a weight of shape {tuple(weight.shape)}, "
            f"got {tuple(re.shape)} and {tuple(im.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (2, weight.shape[1], weight.shape[3]):
        raise ValueError(
            f"the bias of this weight must have shape {(2, *weight.shape[1::2])}, "
            f"got {tuple(bias.shape)}"
        )
    with no_autocast(re):
        matrix = stacked_matrix(weight).transpose(-2, -1)
        out = matmul(matrix, torch.cat([re, im], dim=-2))  # (2): (..., G, 2O, N)
        if bias is not None:
            out = out + stacked_bias(bias).transpose(-2, -1)
    out_re, out_im = out.chunk(2, dim=-2)
    return out_re, out_im


def complex_mlp(
    re: Tensor, im: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: Activation
) -> Parts:
    """Apply two layers with an activation in between, equation (3), features before positions.

    Args:
        re, im: (B, G, I, ...): images, groups, features, positions.
        w1, w2: (2, G, I, I); b1, b2: (2, G, I).
        act: elementwise activation, applied to real and imaginary parts separately.

    Returns:
        (re, im) of the same shape.
    """
    z = torch.cat([part.movedim(0, 2) for part in (re, im)], dim=1)  # (G, 2I, B, ...)
    positions = z.shape[2:]
    z = act(affine_columns(z.flatten(2), w1, b1))
    z = affine_columns(z, w2, b2)  # (3)
    out_re, out_im = z.unflatten(2, positions).movedim(2, 0).chunk(2, dim=2)
    return out_re, out_im


def complex_mlp_channels_last(
    re: Tensor, im: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, act: Activation
) -> Parts:
    """Apply the same as `complex_mlp` to parts (..., C), the groups in turn along C."""
    groups = w1.shape[1]
    z = torch.cat([part.unflatten(-1, (groups, -1)) for part in (re, im)], dim=-1)  # (..., G, 2I)
    positions = z.shape[:-2]
    z = z.flatten(0, -3).transpose(0, 1)  # (G, N, 2I)
    z = act(affine(stacked_bias(b1), z, stacked_matrix(w1)))
    z = affine(stacked_bias(b2), z, stacked_matrix(w2))  # (3)
    z = z.unflatten(-1, (2, -1)).unflatten(1, positions)  # (G, ..., 2, I)
    out_re, out_im = z.movedim((-2, 0), (0, -2)).flatten(-2).unbind(0)
    return out_re, out_im


def affine_columns(z: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return M^T z + b' of equation (2) for stacked parts z with features first, (G, 2I, N)."""
    matrix = stacked_matrix(weight).transpose(-2, -1)
    return affine(stacked_bias(bias).transpose(-2, -1), matrix, z)


def complex_product(one: Parts, other: Parts) -> Parts:
    """Multiply two complex tensors, given as (re, im), element by element."""
    return one[0] * other[0] - one[1] * other[1], one[0] * other[1] + one[1] * other[0]


def stacked_matrix(weight: Tensor) -> Tensor:
    """Return M of equation (2), (G, 2I, 2O), for a weight (2, G, I, O).

    z M takes features last, M^T z features first.
    """
    wr, wi = weight.unbind(0)
    return torch.cat([torch.cat([wr, wi], dim=-1), torch.cat([-wi, wr], dim=-1)], dim=-2)


def stacked_bias(bias: Tensor) -> Tensor:
    """Return b' of equation (2), (G, 1, 2O), for a bias (2, G, O)."""
    return torch.cat(bias.unbind(0), dim=-1).unsqueeze(-2)
