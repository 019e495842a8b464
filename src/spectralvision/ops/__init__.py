"""Pure functions of tensors: Fourier and dual-tree wavelet transforms, complex layers, mixers."""

from spectralvision.ops.complex_linear import complex_linear
from spectralvision.ops.cosine import dct2, idct2
from spectralvision.ops.dtcwt import ORIENTATIONS, Pyramid, dtcwt2d, idtcwt2d
from spectralvision.ops.fourier import irfft2, rfft2
from spectralvision.ops.pytorch_wavelets_api import DTCWTForward, DTCWTInverse

__all__ = [
    "ORIENTATIONS",
    "DTCWTForward",
    "DTCWTInverse",
    "Pyramid",
    "complex_linear",
    "dct2",
    "dtcwt2d",
    "idct2",
    "idtcwt2d",
    "irfft2",
    "rfft2",
]
