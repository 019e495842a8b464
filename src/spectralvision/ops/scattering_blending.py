"""Other ways to blend the bands of scattering mixers, for the ablation of SVT's paper.

A blending has four letters, for lowpass tokens, lowpass channels, highpass tokens and highpass
channels: T is a gain at each place (for tokens and channels together), E a network of two layers
with relu in between (Einstein blending), X nothing. With L the lowpass, D the bands,

    TT low:    L <- L * T                                                                     (1)
    EE low:    L <- W2 relu(W1 L + b1) + b2      real, over channels, block diagonal          (2)
               L <- V2 relu(V1 L + c1) + c2      real, along the width, one matrix per row    (3)
    TT high:   D <- D * S                        complex, shared by the orientations          (4)

E of the highpass is equation (3), over channels, and (4), along the width, of `ops/scattering.py`.
Letters: B batch, C channels, G groups, I features of a block, H W rows and columns, h w = H/2 W/2,
K = 6 orientations.
"""

import torch
from torch import Tensor

from spectralvision.ops.complex_linear import Parts, complex_product


def blend_lowpass_channels(low: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """Apply equation (2) to a lowpass (B, C, H, W); weights (G, I, I), biases (G, I)."""
    z = low.unflatten(1, (w1.shape[0], -1))  # (B, G, I, H, W)
    z = torch.einsum("bgihw,gio->bgohw", z, w1) + b1[:, :, None, None]
    z = torch.einsum("bgihw,gio->bgohw", z.relu(), w2) + b2[:, :, None, None]  # (2)
    return z.flatten(1, 2)


def blend_lowpass_width(low: Tensor, v1: Tensor, c1: Tensor, v2: Tensor, c2: Tensor) -> Tensor:
    """Apply equation (3) to a lowpass (B, C, H, W); weights (H, W, W), biases (H, W)."""
    z = torch.einsum("bchi,hio->bcho", low, v1) + c1
    return torch.einsum("bchi,hio->bcho", z.relu(), v2) + c2  # (3)


def scale_bands(re: Tensor, im: Tensor, gain: Tensor) -> Parts:
    """Apply equation (4) to bands (B, C, K, h, w) with a gain (2, C, h, w)."""
    gain_re, gain_im = (part.unsqueeze(1) for part in gain.unbind(0))
    return complex_product((re, im), (gain_re, gain_im))  # (4)
