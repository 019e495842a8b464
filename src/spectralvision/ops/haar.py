"""The two-dimensional Haar wavelet transform, one level, and its inverse.

Each square [[a b] [c d]] of four samples gives one sample of four bands,

    low = (a + b + c + d) / 2,        horizontal = (a - b + c - d) / 2
    vertical = (a + b - c - d) / 2,   diagonal = (a - b - c + d) / 2                          (1)

The matrix of (1) is orthogonal and symmetric, hence its own inverse: (1) with the bands in place of
a, b, c, d restores the square (2). An odd height or width is extended by repeating its last row or
column. Sums keep the dtype of the maps.
Letters: B batch, C channels, H W rows and columns, h w = H/2 W/2 rounded up.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from spectralvision.ops.checks import check_real_maps
from spectralvision.ops.empty_batch import accept_empty_batch


@accept_empty_batch
def haar2d(x: Tensor) -> Tensor:
    """Compute one level of the Haar transform, equation (1).

    Args:
        x: real, (B, C, H, W), any size, also odd.

    Returns:
        (B, C, 4, h, w): low, horizontal, vertical, diagonal.

    Raises:
        ValueError: x is not a real tensor with four axes.
    """
    check_real_maps(x, "haar2d", ndim=4)
    if x.shape[-1] % 2 or x.shape[-2] % 2:
        x = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), mode="replicate")
    squares = F.pixel_unshuffle(x, 2).unflatten(1, (x.shape[1], 4))
    return _combine(squares)  # (1)


@accept_empty_batch
def ihaar2d(bands: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Compute the inverse of `haar2d`, equation (2).

    Args:
        bands: real, (B, C, 4, h, w).
        size: (H, W) to crop the result to (bottom and right), for maps with an odd side.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: the bands have another shape, or do not invert to this size.
    """
    check_real_maps(bands, "ihaar2d", ndim=5)
    if bands.shape[2] != 4:
        raise ValueError(f"Haar bands must have shape (B, C, 4, h, w), got {tuple(bands.shape)}")
    x = F.pixel_shuffle(_combine(bands).flatten(1, 2), 2)  # (2)
    height, width = size or (x.shape[-2], x.shape[-1])
    if not (0 <= x.shape[-2] - height <= 1 and 0 <= x.shape[-1] - width <= 1):
        raise ValueError(
            f"these bands invert to {tuple(x.shape[-2:])} or one row or column less, not to size "
            f"{size}"
        )
    return x[..., :height, :width]


def _combine(four: Tensor) -> Tensor:
    """Return the sums and differences of equation (1) along axis 2."""
    a, b, c, d = four.unbind(2)
    return torch.stack([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d], dim=2) / 2
