"""Resize the weights of the scattering mixers that belong to a map size.

Letters: C channels, H W rows and columns of the map, h w = H/2 W/2, 2 = (re, im).
"""

import torch.nn.functional as F
from torch import Tensor

from spectralvision.ops.precision import no_autocast, working_dtype


def resize_gain(gain: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Resize a gain (C, H, W) to another resolution (H', W'), bilinear: (C, H', W')."""
    return _interpolate(gain, resolution, "bilinear")


def resize_width_matrix(matrix: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Resize width matrices (2, h, in, out): trilinear over (row, in, out), times w / w'.

    A sum over the new inputs has w' / w times as many terms, which the factor compensates.
    """
    height, width = resolution[0] // 2, resolution[1] // 2
    return _interpolate(matrix, (height, width, width), "trilinear") * (matrix.shape[-1] / width)


def resize_width_bias(bias: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Resize biases (2, h, w) of the width mixing, bilinear over (row, out)."""
    return _interpolate(bias, (resolution[0] // 2, resolution[1] // 2), "bilinear")


def resize_lowpass_matrix(matrix: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Resize width matrices (H, in, out) of the lowpass, as `resize_width_matrix`."""
    height, width = resolution
    resized = _interpolate(matrix.unsqueeze(0), (height, width, width), "trilinear").squeeze(0)
    return resized * (matrix.shape[-1] / width)


def resize_lowpass_bias(bias: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Resize biases (H, W) of the lowpass, bilinear over (row, out)."""
    return _interpolate(bias.unsqueeze(0), resolution, "bilinear").squeeze(0)


def resize_band_gain(gain: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Resize a gain (2, C, h, w) of the bands, bilinear."""
    size = (resolution[0] // 2, resolution[1] // 2)
    return _interpolate(gain.flatten(0, 1), size, "bilinear").unflatten(0, gain.shape[:2])


def _interpolate(x: Tensor, size: tuple[int, ...], mode: str) -> Tensor:
    """Interpolate all axes but the first, in the working dtype."""
    with no_autocast(x):
        x = x.to(working_dtype(x.dtype)).unsqueeze(0)
        return F.interpolate(x, size=size, mode=mode, align_corners=False).squeeze(0)
