"""Resize the weights of spectral models that belong to a map size.

Letters: C channels or spectra, H W rows and columns of the map, U V frequencies, 2 = (re, im).
"""

import torch.nn.functional as F
from torch import Tensor

from spectralvision.ops.precision import no_autocast, working_dtype


def resize_spectrum(weight: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Resize half-spectra (2, C, U, V) to those of maps (H', W'), as GFNet and DFFormer do.

    Bicubic, with aligned corners: the first and last frequency of each axis stay in place.

    Returns:
        (2, C, H', W' // 2 + 1), in the working dtype.
    """
    height, width = resolution
    return _bicubic(weight, (height, width // 2 + 1), align_corners=True)


def resize_position_embedding(weight: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Resize a position embedding (C, H, W) to (C, H', W'), bicubic, as GFNet does."""
    return _bicubic(weight.unsqueeze(0), resolution, align_corners=False).squeeze(0)


def resize_frequency_embedding(weight: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Resize an embedding of frequencies (C, H, W) to (C, H', W'), as vHeat does.

    New frequencies, which are high ones, are zeros; for smaller maps the highest are cut off.
    """
    height, width = resolution
    return F.pad(weight, (0, width - weight.shape[2], 0, height - weight.shape[1]))


def _bicubic(x: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    with no_autocast(x):
        x = x.to(working_dtype(x.dtype))
        return F.interpolate(x, size=size, mode="bicubic", align_corners=align_corners)
