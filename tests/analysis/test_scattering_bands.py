"""Bands of scattering mixers and the wavelets."""

import pytest
import torch

from spectralvision.analysis.scattering_bands import (
    amplitude,
    band_energies,
    lowpass_energy,
    wavelet_bands,
    wavelet_spectra,
    wavelets,
)
from spectralvision.mixers import ScatteringMixer
from spectralvision.ops import ORIENTATIONS, dtcwt2d, idtcwt2d
from tests.helpers.tolerances import DOUBLE


@pytest.mark.parametrize("mixing", ["channel", "channel_token"])
@pytest.mark.parametrize("size", [(8, 8), (7, 12)])
def test_the_blended_bands_invert_to_the_output(mixing, size):
    mixer = ScatteringMixer(16, (8, 8), mixing).double()
    for parameter in mixer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    bands = wavelet_bands(mixer, x)
    scattered = x if mixing == "channel" else x[:, 8:]
    torch.testing.assert_close(bands.before, dtcwt2d(scattered), atol=DOUBLE, rtol=0)
    with torch.no_grad():
        y = mixer.scatter(scattered)
    torch.testing.assert_close(idtcwt2d(bands.after, size=size), y, atol=DOUBLE, rtol=0)


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("qshift", ["qshift_b", "qshift_a"])
def test_energies_add_up_to_that_of_the_frame(levels, qshift):
    """<x, A^T A x>, with the transposed transform from automatic differentiation."""
    x = torch.randn(2, 3, 24, 32, dtype=torch.float64, requires_grad=True)
    pyramid = dtcwt2d(x, levels, qshift=qshift)
    bands = [pyramid.lowpass, *(part for level in pyramid.highpass for part in level)]
    (adjoint,) = torch.autograd.grad(bands, x, [band.detach() for band in bands])
    frame = (x * adjoint).sum(dim=(1, 2, 3))
    energies = band_energies(pyramid)
    assert energies.shape == (2, levels, 6)
    total = lowpass_energy(pyramid) + energies.sum(dim=(1, 2))
    torch.testing.assert_close(total, frame)
    ratio = (total / x.square().sum(dim=(1, 2, 3))).detach()
    assert (ratio > 0.8).all()
    assert (ratio < 1.5).all()


def test_amplitudes_are_those_of_the_complex_bands():
    pyramid = dtcwt2d(torch.randn(1, 2, 16, 16), 2)
    for level, band in enumerate(pyramid.complex()):
        torch.testing.assert_close(amplitude(pyramid, level), band.abs())


def test_wavelets_add_up_to_the_map():
    """Synthesis of one coefficient is the wavelet at its place."""
    filters = wavelets(2, 32)
    assert filters.shape == (2, 6, 32, 32)
    pyramid = dtcwt2d(torch.zeros(1, 1, 32, 32, dtype=torch.float64), 2)
    re, im = (band.clone() for band in pyramid.highpass[1])
    re[0, 0, 2, 4, 4], im[0, 0, 2, 4, 4] = 3.0, -2.0
    x = idtcwt2d(pyramid._replace(highpass=(pyramid.highpass[0], (re, im))))[0, 0]
    expected = 3 * filters[1, 2].real - 2 * filters[1, 2].imag
    torch.testing.assert_close(x, expected, atol=DOUBLE, rtol=0)


def test_wavelets_are_oriented_and_one_sided():
    """The spectrum of a level has its peak in one quadrant, at the angle in its name."""
    spectra = wavelet_spectra(wavelets(3, 64)[2])
    frequency = torch.fft.fftshift(torch.fft.fftfreq(64)).double()
    for spectrum, orientation in zip(spectra, ORIENTATIONS, strict=True):
        energy = spectrum.square() / spectrum.square().sum()
        rows = (energy.sum(dim=1) * frequency).sum()
        columns = (energy.sum(dim=0) * frequency).sum()
        # an edge at an angle to the horizontal has its frequencies at right angles to it
        angle = torch.rad2deg(torch.atan2(rows, columns)).item()
        assert (
            abs((orientation + 90 - angle + 90) % 180 - 90) < 5
            or abs((orientation - 90 + angle + 90) % 180 - 90) < 5
        ), (orientation, angle)
        assert spectrum.square().sum() > 2 * (spectrum * spectrum.flip(0, 1)).sum()
