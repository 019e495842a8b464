"""Adaptive frequency filter: the token mixer of AFFNet (Huang et al., ICCV 2023, arXiv 2307.14008).

    X = rfft2(x)                                                                              (1)
    M = softshrink(W2 act(W1 X + b1) + b2, threshold)     the mask                            (2)
    y = irfft2(M * X) + x                                                                     (3)

W1 and W2 are complex, block diagonal over the channels and shared by all frequencies; act and
softshrink apply to real and imaginary parts separately. By the convolution theorem (3) is a
circular convolution of x with an input-dependent kernel as large as x,

    y = kernel (*) x + x,        kernel = irfft2(M) / sqrt(H W)                               (4)

The skip in (3) is in the authors' code, not in the paper's figure: `inner_skip=False` omits it.
Letters: B batch, C channels, G groups, H W rows and columns, U V frequencies.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from spectralvision.ops.chunking import chunked_groups
from spectralvision.ops.complex_linear import Activation, Parts, complex_mlp
from spectralvision.ops.empty_batch import accept_empty_batch
from spectralvision.ops.fourier import fourier_filter
from spectralvision.ops.kernel_choice import with_kernel
from spectralvision.ops.precision import float32_island

CHUNK_ELEMENTS = 160 << 10  # of x: 640 KiB in float32, and what is computed from them


@chunked_groups(CHUNK_ELEMENTS, {"w1": 1, "b1": 1, "w2": 1, "b2": 1})
@accept_empty_batch
@with_kernel("spectralvision.ops.triton.adaptive_filter")
@float32_island
def adaptive_frequency_filter(
    x: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: Activation,
    threshold: float,
    inner_skip: bool,
) -> Tensor:
    """Filter maps x by the mask computed from their spectrum, equations (1) to (3).

    Args:
        x: (B, C, H, W), any H and W.
        w1, w2: (2, G, C / G, C / G), real and imaginary part, in and out.
        b1, b2: (2, G, C / G).
        act: activation of the mask network.
        threshold: of the softshrink, at least 0.
        inner_skip: whether to add x.

    Returns:
        (B, C, H, W), in the dtype of x; computed in float32, or float64 for float64 input.
    """

    def mask(re: Tensor, im: Tensor) -> Parts:
        return adaptive_frequency_mask(re, im, w1, b1, w2, b2, act, threshold)  # (2)

    grouped = x.unflatten(1, (w1.shape[1], -1))  # (B, G, C / G, H, W)
    y = fourier_filter(grouped, mask).flatten(1, 2)  # (1) (3): irfft2(mask(X) * X), X = rfft2(x)
    return y.add_(x) if inner_skip else y


def adaptive_frequency_mask(
    re: Tensor,
    im: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    act: Activation,
    threshold: float,
) -> Parts:
    """Return the mask (re, im), equation (2), for a spectrum (re, im), each (B, G, C / G, U, V)."""
    mask_re, mask_im = complex_mlp(re, im, w1, b1, w2, b2, act)
    return softshrink(mask_re, threshold), softshrink(mask_im, threshold)  # (2)


def softshrink(x: Tensor, threshold: float) -> Tensor:
    """Return x moved towards zero by `threshold`; traced as operators that all runtimes have."""
    if torch.jit.is_tracing():
        return x - x.clamp(-threshold, threshold)
    return F.softshrink(x, threshold)
