"""Heat conduction: the spectral part of vHeat's token mixer (Wang et al., CVPR 2025,
arXiv 2405.16555).

    d[n, m] = exp(-((pi n / H)^2 + (pi m / W)^2))                                             (1)
    A = dct2(z)                                                                               (2)
    y = idct2(A * d^k)                                                                        (3)

This is the temperature after the time 1 in a plate with insulated edges, which had the temperature
z at the time 0 and has the diffusivity k >= 0, here one for each frequency and channel.
Letters: B batch, C channels, H W rows and columns, n m frequencies along them.
"""

import numpy as np
import torch
from torch import Tensor

from spectralvision.ops.chunking import chunked_groups
from spectralvision.ops.cosine import dct2, idct2
from spectralvision.ops.empty_batch import accept_empty_batch
from spectralvision.ops.precision import float32_island, no_autocast, working_dtype
from spectralvision.ops.tables import table

CHUNK_ELEMENTS = 160 << 10  # of z: 640 KiB in float32, and what is computed from them


@chunked_groups(CHUNK_ELEMENTS, {"decay": 0})
@accept_empty_batch
@float32_island
def heat_conduction(z: Tensor, decay: Tensor) -> Tensor:
    """Conduct heat on maps z, equations (2) and (3).

    Args:
        z: (B, C, H, W), any H and W.
        decay: d^k, (C, H, W), see `heat_decay`.

    Returns:
        (B, C, H, W), in the dtype of z; computed in float32, or float64 for float64 input.
    """
    a = dct2(z)  # (2)
    return idct2(a * decay)  # (3)


def heat_decay(k: Tensor) -> Tensor:
    """Return d^k, with d of equation (1), for diffusivities k (C, H, W), in the working dtype."""
    with no_autocast(k):
        k = k.to(working_dtype(k.dtype))
        return torch.exp(_log_decay(k, k.shape[-2], k.shape[-1]) * k)


@table
def _log_decay(height: int, width: int) -> np.ndarray:
    """(H, W): log d of equation (1)."""
    n, m = (np.pi * np.arange(size) / size for size in (height, width))
    return -(n[:, None] ** 2 + m[None] ** 2)
