"""Fourier mixing without weights: the token mixer of FNet (Lee-Thorp et al., 2021), on maps.

    y = Re F_C F_H F_W x                                                                      (1)

with orthonormal discrete Fourier transforms along channels, rows and columns. With the spectrum
X = F_H F_W x of real maps and F_C = P - i Q,

    Re F_C X = P Re X + Q Im X                                                                (2)

and since X[-u, -v] is the conjugate of X[u, v], the columns v > W / 2 are

    Re F_C X[-u, -v] = P Re X[u, v] - Q Im X[u, v]                                            (3)

Letters: B batch, C channels, H W rows and columns, U V frequencies of the half-spectrum.
"""

import numpy as np
import torch
from torch import Tensor

from spectralvision.ops.checks import check_real_maps
from spectralvision.ops.empty_batch import accept_empty_batch
from spectralvision.ops.fourier import rfft2
from spectralvision.ops.precision import float32_island
from spectralvision.ops.tables import table


@accept_empty_batch
@float32_island
def fourier_mixing(x: Tensor) -> Tensor:
    """Return the real part of the transform of maps (B, C, H, W) over C, H and W, equation (1)."""
    check_real_maps(x, "fourier_mixing", ndim=4)
    channels, height, width = x.shape[1:]
    re, im = rfft2(x)
    even = torch.einsum("dc,bchw->bdhw", _cosines(x, channels), re)
    odd = torch.einsum("dc,bchw->bdhw", _sines(x, channels), im)
    if width < 3:
        return even + odd  # (2)
    mirrored = (even - odd).index_select(-1, _mirror(x, width, width // 2 + 1))
    mirrored = mirrored.index_select(-2, _mirror(x, height, 0))  # (3)
    return torch.cat([even + odd, mirrored], dim=-1)  # (2) (3)


@table
def _cosines(size: int) -> np.ndarray:
    """Return P, (size, size)."""
    n = np.arange(size)
    return np.cos(2 * np.pi * np.outer(n, n) / size) / np.sqrt(size)


@table
def _sines(size: int) -> np.ndarray:
    """Return Q, (size, size)."""
    n = np.arange(size)
    return np.sin(2 * np.pi * np.outer(n, n) / size) / np.sqrt(size)


@table
def _mirror(size: int, start: int) -> np.ndarray:
    """Return -n modulo size for n = start .. size - 1."""
    return -np.arange(start, size) % size
