"""Fourier mixing: the token mixer of FNet (Lee-Thorp et al., NAACL 2022, arXiv 2105.03824).

It has no parameters; the equations are in `ops/fourier_mixing.py`.
"""

from torch import Tensor, nn

from spectralvision.ops.fourier_mixing import fourier_mixing
from spectralvision.ops.torchscript import reject_torchscript


class FourierMixing(nn.Module):
    """The real part of the Fourier transform over channels and positions, for maps of any size.

    Maps (B, C, H, W) to the same shape. Computed in float32 (float64 for float64 input), also under
    autocast; the result has the dtype of x.
    """

    __prepare_scriptable__ = reject_torchscript

    def forward(self, x: Tensor) -> Tensor:
        """Mix maps (B, C, H, W)."""
        return fourier_mixing(x)
