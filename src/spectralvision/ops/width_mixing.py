"""Mix the positions of each row of wavelet bands: equation (4) of `ops/scattering.py`."""

import torch
from torch import Tensor

from spectralvision.ops.complex_linear import Parts, affine_columns


def mix_width(re: Tensor, im: Tensor, v1: Tensor, c1: Tensor, v2: Tensor, c2: Tensor) -> Parts:
    """Apply two complex layers with relu to the rows of bands; rows are groups, columns features.

    Args:
        re, im: bands (B, C, K, h, w), any memory format.
        v1, v2: (2, h, w, w), real and imaginary part, rows, in and out.
        c1, c2: (2, h, w).

    Returns:
        (re, im) of the same shape.
    """
    z = torch.cat([part.permute(3, 4, 0, 2, 1) for part in (re, im)], dim=1)  # (h, 2w, B, K, C)
    positions = z.shape[2:]
    z = torch.relu_(affine_columns(z.flatten(2), v1, c1))
    z = affine_columns(z, v2, c2)
    re, im = z.unflatten(2, positions).permute(2, 4, 3, 0, 1).chunk(2, dim=-1)
    return re, im
