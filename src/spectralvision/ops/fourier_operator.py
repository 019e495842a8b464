"""Products of low frequencies with learned matrices: the Fourier layer of FNO (Li et al., 2021).

    X = rfft2(x)                                                                              (1)
    Y[u, v] = R[u, v] X[u, v]    for -M <= u < M and v < M, else 0                            (2)
    y = irfft2(Y)                                                                             (3)

R[u, v] is a complex matrix over the channels, block diagonal in groups. Frequencies that a small
map does not have are left out.
Letters: B batch, G groups, I O features in and out of a block, H W rows and columns, M modes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from spectralvision.ops.empty_batch import accept_empty_batch
from spectralvision.ops.fourier import irfft2, rfft2
from spectralvision.ops.precision import float32_island


@accept_empty_batch
@float32_island
def fourier_operator(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply the low frequencies of maps by matrices, equations (1) to (3).

    Args:
        x: (B, C, H, W), any H and W.
        weight: R, (2, 2M, M, G, C / G, C / G): real and imaginary part, rows u = -M .. M - 1,
            columns v, groups, in and out.

    Returns:
        (B, C, H, W), in the dtype of x; computed in float32, or float64 for float64 input.
    """
    height, width = x.shape[-2:]
    modes, groups = weight.shape[2], weight.shape[3]
    re, im = rfft2(x.unflatten(1, (groups, -1)))  # (1)
    up, down, across = (
        min(modes, (height + 1) // 2),
        min(modes, height // 2),
        min(modes, width // 2 + 1),
    )
    parts = []
    for part in (re, im):  # rows -down .. up - 1
        low = torch.cat([part[..., height - down :, :across], part[..., :up, :across]], dim=-2)
        parts.append(low)
    wr, wi = weight[:, modes - down : modes + up, :across].unbind(0)

    def product(one: Tensor, matrix: Tensor) -> Tensor:
        return torch.einsum("bgiuv,uvgio->bgouv", one, matrix)

    out_re = product(parts[0], wr) - product(parts[1], wi)  # (2)
    out_im = product(parts[0], wi) + product(parts[1], wr)

    def spread(part: Tensor) -> Tensor:
        """Put the low frequencies to their places in the half-spectrum."""
        negative, positive = part.split([down, up], dim=-2)
        gap = positive.new_zeros(*positive.shape[:-2], height - up - down, across)
        rows = torch.cat([positive, gap, negative], dim=-2)
        return F.pad(rows, (0, width // 2 + 1 - across))

    return irfft2(spread(out_re), spread(out_im), (height, width)).flatten(1, 2)  # (3)
