"""Block-diagonal complex linear layers in real arithmetic.

    out[g, o] = sum_i  in[g, i] (Wr[g, i, o] + i Wi[g, i, o])  +  b[g, o]                                (1)

With real and imaginary parts stacked along the features, z = [re; im], a layer is one real product a group,

    z' = z M + b',        M = [[Wr, Wi], [-Wi, Wr]],        b' = [br, bi]                                (2)

Letters: G groups (blocks of the matrix), I O features in and out of a block, N positions, 2 = (re, im).
"""

import torch
from torch import Tensor


def complex_linear(re: Tensor, im: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One block-diagonal complex linear layer, equation (1), shared by all positions.

    Layers in a row keep the parts stacked: see `stacked_matrix`.

    Args:
        re, im: real, (..., G, I, N): groups, features, positions.
        weight: (2, G, I, O), real and imaginary part.
        bias: (2, G, O), or None.

    Returns:
        (re, im), each (..., G, O, N).

    Raises:
        ValueError: the shapes do not fit.
    """
    if weight.ndim != 4 or weight.shape[0] != 2:
        raise ValueError(f"a complex weight has shape (2, groups, in, out), got {tuple(weight.shape)}")
    if re.shape != im.shape or re.ndim < 3 or tuple(re.shape[-3:-1]) != tuple(weight.shape[1:3]):
        raise ValueError(
            f"re and im have shape (..., {weight.shape[1]}, {weight.shape[2]}, positions) for a weight of shape "
            f"{tuple(weight.shape)}, got {tuple(re.shape)} and {tuple(im.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (2, weight.shape[1], weight.shape[3]):
        raise ValueError(f"a bias of this weight has shape {(2, *weight.shape[1::2])}, got {tuple(bias.shape)}")
    out = stacked_matrix(weight).mT @ torch.cat([re, im], dim=-2)  # (2): (..., G, 2O, N)
    if bias is not None:
        out = out + stacked_bias(bias).mT
    out_re, out_im = out.chunk(2, dim=-2)
    return out_re, out_im


def stacked_matrix(weight: Tensor) -> Tensor:
    """M of equation (2), (G, 2I, 2O), of a weight (2, G, I, O); z M takes features last, M^T z features first."""
    wr, wi = weight.unbind(0)
    return torch.cat([torch.cat([wr, wi], dim=-1), torch.cat([-wi, wr], dim=-1)], dim=-2)


def stacked_bias(bias: Tensor) -> Tensor:
    """b' of equation (2), (G, 1, 2O), of a bias (2, G, O)."""
    return torch.cat(bias.unbind(0), dim=-1).unsqueeze(-2)
