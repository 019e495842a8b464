"""What a scattering mixer computes: its bands before and after blending, and the wavelets.

The energy of a band is the sum of its squared amplitudes. The transform is a frame, and not a tight
one: the energies of all bands add up to <x, A^T A x> with the matrix A of the transform.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from spectralvision.mixers import ScatteringMixer
from spectralvision.ops import ORIENTATIONS, Pyramid, dtcwt2d, idtcwt2d


class Bands(NamedTuple):
    """The bands of a scattering mixer for B images of C channels, before and after blending."""

    before: Pyramid
    after: Pyramid


@torch.no_grad()
def wavelet_bands(mixer: ScatteringMixer, x: Tensor) -> Bands:
    """Return the bands of a mixer for its input x (B, dim, H, W)."""
    before, after = mixer.bands(x)
    return Bands(before, after)


def band_energies(pyramid: Pyramid) -> Tensor:
    """Return the energy (B, levels, 6) of each band, summed over channels and positions."""
    levels = [re.square() + im.square() for re, im in pyramid.highpass]
    return torch.stack([level.sum(dim=(1, 3, 4)) for level in levels], dim=1)


def lowpass_energy(pyramid: Pyramid) -> Tensor:
    """Return the energy (B,) of the lowpass."""
    return pyramid.lowpass.square().sum(dim=(1, 2, 3))


def amplitude(pyramid: Pyramid, level: int = 0) -> Tensor:
    """Return the amplitudes (B, C, 6, h, w) of the bands of a level, counted from 0."""
    re, im = pyramid.highpass[level]
    return torch.hypot(re, im)


def wavelets(
    levels: int = 3, side: int = 64, biort: str = "near_sym_b", qshift: str = "qshift_b"
) -> Tensor:
    """Return the wavelets (levels, 6, side, side) that synthesis adds up, complex, centered.

    The real part answers a 1 in the real part of a band, the imaginary part one in the imaginary
    part. `side` is a multiple of 2^levels.
    """
    zeros = dtcwt2d(torch.zeros(1, 1, side, side, dtype=torch.float64), levels, biort, qshift)
    found = torch.zeros(levels, len(ORIENTATIONS), side, side, dtype=torch.complex128)
    for level in range(levels):
        for orientation in range(len(ORIENTATIONS)):
            parts = []
            for part in range(2):
                highpass = [[re.clone(), im.clone()] for re, im in zeros.highpass]
                band = highpass[level][part][0, 0, orientation]
                band[band.shape[0] // 2, band.shape[1] // 2] = 1
                pyramid = Pyramid(zeros.lowpass, tuple((re, im) for re, im in highpass))
                parts.append(idtcwt2d(pyramid, biort, qshift)[0, 0])
            found[level, orientation] = torch.complex(*parts)
    return found


def wavelet_spectra(filters: Tensor) -> Tensor:
    """Return the amplitudes of the spectra of wavelets (..., H, W), zero frequency centered."""
    return torch.fft.fftshift(torch.fft.fft2(filters).abs(), dim=(-2, -1))
