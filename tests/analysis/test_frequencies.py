"""Filtered images, spectra of features, and accuracy by frequency."""

import math

import pytest
import torch
from torch import nn

from spectralvision.analysis.frequencies import (
    NOISE_EDGES,
    add_noise,
    filter_images,
    frequency_curves,
    radial_frequency,
    spectrum_by_depth,
)
from tests.helpers.tolerances import SINGLE


def wave(cycles, side=32):
    """(1, 1, side, side): a cosine along the columns with so many cycles a side."""
    columns = torch.arange(side) / side
    return torch.cos(2 * math.pi * cycles * columns).expand(1, 1, side, side)


def test_frequencies_are_fractions_of_nyquist():
    radius = radial_frequency(8, 32)
    assert radius[0, 0] == 0
    assert radius[0, 16] == radius[4, 0] == 1
    assert radius[4, 16] == pytest.approx(2**0.5)
    assert radius[0, 4] == 0.25


def test_filters_keep_and_remove_waves():
    images = 5 + wave(4) + wave(12)  # 0.25 and 0.75 of Nyquist
    torch.testing.assert_close(filter_images(images, 0.5, "low"), 5 + wave(4), atol=SINGLE, rtol=0)
    torch.testing.assert_close(
        filter_images(images, 0.5, "high"), 5 + wave(12), atol=SINGLE, rtol=0
    )
    torch.testing.assert_close(filter_images(images, 2.0, "low"), images, atol=SINGLE, rtol=0)
    torch.testing.assert_close(filter_images(images, 0.0, "high"), images, atol=SINGLE, rtol=0)


def test_noise_has_its_band_and_its_deviation():
    images = torch.rand(4, 3, 32, 32)
    noise = add_noise(images, 0.4, 0.6, 0.5, torch.Generator().manual_seed(1)) - images
    spectrum = torch.fft.fft2(noise.double()).abs().mean(dim=(0, 1))
    radius = radial_frequency(32, 32)
    outside = (radius < 0.4) | (radius > 0.6)
    assert spectrum[outside].max() < 1e-3 * spectrum[~outside].mean()
    wanted = 0.5 * images.std(dim=(1, 2, 3))
    torch.testing.assert_close(noise.std(dim=(1, 2, 3)), wanted, atol=1e-3, rtol=0)
    assert torch.equal(add_noise(images, 0.0, 0.001, 0.5), images)


def tell_waves(images):
    """Logits of two classes: the wave with 4 cycles, or that with 12."""
    spectrum = torch.fft.fft2(images).abs().mean(dim=1)
    return torch.stack([spectrum[:, 0, 4], spectrum[:, 0, 12]], dim=1)


def test_curves_of_a_network_whose_frequencies_are_known():
    images = torch.cat([wave(4), wave(12)]) * torch.ones(1, 3, 1, 1)
    images = images + 0.01 * torch.cat([wave(12), wave(4)])
    labels = torch.tensor([0, 1])
    cutoffs = (0.1, 0.5, 1.0)
    curves = frequency_curves(tell_waves, [(images, labels)], cutoffs)
    assert curves.unchanged == 1
    assert not curves.is_agreement
    assert curves.low == [0.5, 0.5, 1]  # without both waves a coin, with the low one class 0
    assert curves.high[0] == 1
    assert curves.high[1] == 0.5
    assert len(curves.noise) == len(curves.bands) == len(NOISE_EDGES) - 1
    own = frequency_curves(tell_waves, [(images[:1], None), (images[1:], None)], cutoffs)
    assert (own.low, own.high, own.is_agreement) == (curves.low, curves.high, True)
    wrong = frequency_curves(tell_waves, [(images, 1 - labels)], cutoffs)
    assert wrong.unchanged == 0


def test_no_images_are_rejected():
    with pytest.raises(ValueError, match="at least one image"):
        frequency_curves(tell_waves, [])


def test_noise_matters_only_where_the_network_looks():
    images = torch.cat([wave(4), wave(12)]).repeat(32, 3, 1, 1)
    labels = torch.tensor([0, 1]).repeat(32)
    curves = frequency_curves(tell_waves, [(images, labels)], (0.5,), noise_scale=20.0)
    by_band = dict(zip(curves.bands, curves.noise, strict=True))
    assert by_band[(0.0, 0.1)] == 1
    assert by_band[(0.2, 0.3)] < 0.9
    assert by_band[(0.6, 0.8)] < 0.9


def test_spectra_of_features():
    """A block that returns a wave has its amplitude in that bin; small maps are left out."""
    model = nn.Sequential(nn.Identity(), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2))
    blocks = dict(model.named_children())
    images = 1 + 0.5 * wave(12)
    spectrum = spectrum_by_depth(model, lambda: model(images), blocks)
    assert spectrum.names == ["0", "1"]
    whole = spectrum.log_amplitude[0]
    peak = int(whole.nan_to_num(-100).argmax())
    assert float(spectrum.frequencies[peak]) == pytest.approx(0.75, abs=1 / 12)
    # averaged over the entries of its bin; 0.25 on each side of the spectrum against 1
    radius = radial_frequency(32, 32)
    inside = ((radius * 12).floor() == peak).sum()
    assert float(whole[peak].exp()) == pytest.approx(float(2 * 0.25 / inside), rel=1e-3)
    folded = int(spectrum.log_amplitude[1].nan_to_num(-100).argmax())  # 12 of 16 cycles are 4
    assert float(spectrum.frequencies[folded]) == pytest.approx(0.5, abs=1 / 12)
