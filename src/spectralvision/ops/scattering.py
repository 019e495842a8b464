"""Scattering mixing: the token mixers of SVT (Patro & Agneeswaran, NeurIPS 2023, arXiv 2311.01310).

    L, D = dtcwt2d(x)              one level; L real (B, C, H, W), D complex (B, C, K, h, w)   (1)
    L <- L * T                     tensor blending: a real gain at each place of the lowpass   (2)
    D <- W2 relu(W1 D + b1) + b2   Einstein blending over channels, block diagonal in groups   (3)
    D <- V2 relu(V1 D + c1) + c2   the same along the width, one matrix per row                (4)
    y = idtcwt2d(L, D)                                                                         (5)

(3) and (4) are complex; relu applies to real and imaginary parts separately. (3) is shared by all
positions and orientations, (4) by all channels and orientations.
Letters: B batch, C channels, H W rows and columns of the even-sided map, h w = H/2 W/2, G groups,
K = 6 orientations.
"""

import torch
from torch import Tensor

from spectralvision.ops.chunking import chunked_groups
from spectralvision.ops.complex_linear import Parts, complex_mlp_channels_last
from spectralvision.ops.dtcwt import Pyramid, dtcwt2d, idtcwt2d
from spectralvision.ops.dtcwt_channels_last import MIN_CHANNELS
from spectralvision.ops.empty_batch import accept_empty_batch
from spectralvision.ops.kernel_choice import with_kernel
from spectralvision.ops.precision import float32_island
from spectralvision.ops.width_mixing import mix_width

CHUNK_ELEMENTS = 400 << 10  # of x: 1.6 MiB in float32, and what is computed from them
CHANNEL_GROUPS = {"w1": 1, "b1": 1, "w2": 1, "b2": 1, "gain": 0}


@chunked_groups(CHUNK_ELEMENTS, CHANNEL_GROUPS, MIN_CHANNELS)
@accept_empty_batch
@with_kernel("spectralvision.ops.triton.scattering")
@float32_island
def scattering_channel_mixing(
    x: Tensor, gain: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
) -> Tensor:
    """Mix channels in the wavelet domain, equations (1) (2) (3) (5).

    Args:
        x: (B, C, H, W), any H and W; an odd side is extended by its last row or column.
        gain: T, (C, H, W), H and W rounded up to even numbers.
        w1, w2: (2, G, C / G, C / G), real and imaginary part, in and out.
        b1, b2: (2, G, C / G).

    Returns:
        (B, C, H, W), in the dtype of x; computed in float32, or float64 for float64 input.
    """
    low, ((re, im),) = dtcwt2d(x)  # (1)
    low = low * gain  # (2)
    re, im = mix_channels(re, im, w1, b1, w2, b2)  # (3)
    return idtcwt2d(Pyramid(low, ((re, im),)), size=(x.shape[-2], x.shape[-1]))  # (5)


@chunked_groups(CHUNK_ELEMENTS, CHANNEL_GROUPS, MIN_CHANNELS)
@accept_empty_batch
@with_kernel("spectralvision.ops.triton.scattering")
@float32_island
def scattering_channel_token_mixing(
    x: Tensor,
    gain: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    v1: Tensor,
    c1: Tensor,
    v2: Tensor,
    c2: Tensor,
) -> Tensor:
    """Mix channels, then positions along the width, equations (1) to (5).

    Args:
        x, gain, w1, b1, w2, b2: as for `scattering_channel_mixing`.
        v1, v2: (2, h, w, w), real and imaginary part, rows, in and out.
        c1, c2: (2, h, w).

    Returns:
        (B, C, H, W), in the dtype of x; computed in float32, or float64 for float64 input.
    """
    low, ((re, im),) = dtcwt2d(x)  # (1)
    low = low * gain  # (2)
    re, im = mix_channels(re, im, w1, b1, w2, b2)  # (3)
    re, im = mix_width(re, im, v1, c1, v2, c2)  # (4)
    return idtcwt2d(Pyramid(low, ((re, im),)), size=(x.shape[-2], x.shape[-1]))  # (5)


def mix_channels(re: Tensor, im: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Parts:
    """Apply equation (3) to bands (B, C, K, h, w), best with channels last in memory."""
    re, im = re.movedim(1, -1), im.movedim(1, -1)
    re, im = complex_mlp_channels_last(re, im, w1, b1, w2, b2, torch.relu_)
    return re.movedim(-1, 1), im.movedim(-1, 1)
