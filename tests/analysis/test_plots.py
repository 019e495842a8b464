"""Every picture is drawn without warnings, and names its axes and scales."""

import warnings

import numpy as np
import pytest
import torch

from spectralvision.analysis import filter_plots, network_plots, wavelet_plots
from spectralvision.analysis.costs import Cost
from spectralvision.analysis.filter_spectra import filter_masks
from spectralvision.analysis.frequencies import DepthSpectrum, FrequencyCurves
from spectralvision.analysis.receptive_field import ReceptiveField
from spectralvision.analysis.scattering_bands import wavelet_bands, wavelets
from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer


def masks(size=(9, 8), images=3):
    torch.manual_seed(0)
    mixer = AdaptiveFrequencyFilter(16, threshold=0.0)
    for parameter in mixer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return filter_masks(mixer, torch.randn(images, 16, *size))


def bands():
    torch.manual_seed(0)
    return wavelet_bands(ScatteringMixer(16, (8, 8)), torch.randn(2, 16, 8, 8))


def spectrum():
    values = torch.randn(4, 12)
    values[2:, :5] = torch.nan
    return DepthSpectrum(list("abcd"), torch.linspace(0.04, 0.96, 12), values)


def curves(is_agreement):
    return FrequencyCurves(
        (0.1, 0.5, 1.0), [0.1, 0.5, 0.9], [0.9, 0.4, 0.1], [(0.0, 0.5), (0.5, 1.4)], [0.2, 0.8],
        0.25, 0.95, is_agreement,
    )  # fmt: skip


def field():
    energy = torch.rand(16, 20, dtype=torch.float64)
    return ReceptiveField(energy / energy.sum(), {0.5: 90, 0.95: 260})


def costs(seconds):
    return [Cost(name, "Block", 10_000, 5_000_000, 4_000_000, seconds) for name in "abc"]


PICTURES = [np.zeros((8, 8, 3)), np.ones((8, 8, 3)), np.ones((8, 8, 3))]
ALL = {
    "masks": lambda: filter_plots.plot_masks(masks(), title="layer"),
    "masks_of_a_channel": lambda: filter_plots.plot_masks(masks(), 1, [0]),
    "groups": lambda: filter_plots.plot_groups(masks()),
    "masks_of_images": lambda: filter_plots.plot_masks_of_images(masks(), PICTURES),
    "adaptivity": lambda: filter_plots.plot_adaptivity({"a": masks(), "b": masks((4, 4))}),
    "adaptivity_of_one_image": lambda: filter_plots.plot_adaptivity({"a": masks(images=1)}),
    "kernels": lambda: filter_plots.plot_kernels(masks(), limit=5),
    "bands": lambda: wavelet_plots.plot_bands(bands(), 1),
    "gain": lambda: wavelet_plots.plot_gain(torch.randn(8, 6, 6)),
    "band_energies": lambda: wavelet_plots.plot_band_energies({"a": bands(), "b": bands()}),
    "level_energies": lambda: wavelet_plots.plot_level_energies(torch.rand(3, 6)),
    "wavelets": lambda: wavelet_plots.plot_wavelets(wavelets(2, 32)),
    "spectrum_by_depth": lambda: network_plots.plot_spectrum_by_depth(spectrum()),
    "receptive_field": lambda: network_plots.plot_receptive_field(field()),
    "frequency_curves": lambda: network_plots.plot_frequency_curves(curves(True)),
    "accuracy_curves": lambda: network_plots.plot_frequency_curves(curves(False)),
    "loss": lambda: network_plots.plot_loss((-1, 0, 1), (3.0, 1.0, 4.0)),
    "pictures": lambda: network_plots.plot_pictures([(PICTURES[0], PICTURES[1], "cat, 90%")]),
    "costs": lambda: network_plots.plot_costs(costs(0.01)),
    "costs_without_time": lambda: network_plots.plot_costs(costs(None)),
}
BARS = {
    "masks": ["dB", "radians", "weight"] * 3,
    "groups": ["mean amplitude, dB"],
    "masks_of_images": ["amplitude relative to the mean, dB"],
    "bands": ["mean over channels", "mean amplitude"] * 2,
    "gain": ["gain", "gain"],
    "band_energies": ["% of the layer's energy"],
    "wavelets": ["weight", "weight", "dB"] * 2,
    "spectrum_by_depth": ["number of the block"],
    "receptive_field": ["log10, relative to its maximum"],
}
"""Labels of the color bars."""


@pytest.mark.parametrize("name", ALL)
def test_pictures(name, tmp_path):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = ALL[name]()
        figure.savefig(tmp_path / "picture.png", dpi=40)
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"]
    if name in BARS:
        assert sorted(labels) == sorted(BARS[name])
    for axes in figure.axes:
        if axes.get_label() != "<colorbar>" and (axes.lines or axes.patches):
            assert axes.get_xlabel(), f"{name}: an axis without a label"


def test_values_are_drawn_where_they_belong():
    """The amplitude of zero frequency is in the middle, with coordinates 0, 0."""
    found = masks()
    figure = filter_plots.plot_masks(found, 0, [5])
    image = figure.axes[0].images[0]
    values = np.asarray(image.get_array())
    assert values.shape == (9, 8)
    left, right, bottom, top = image.get_extent()
    column = int((0 - left) / (right - left) * 8)
    row = int((0 - top) / (bottom - top) * 9)
    expected = 20 * found.mask[0, 5, 4, 4].abs().log10()
    assert values[row, column] == pytest.approx(float(expected), abs=1e-4)


def test_the_pixels_that_hold_half_of_the_energy_are_marked():
    figure = network_plots.plot_receptive_field(field())
    marked = np.asarray(figure.axes[1].images[0].get_array())
    assert (marked == 2).sum() == 90
    assert (marked >= 1).sum() == 260
    texts = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert texts[0] == "50% of the energy: 90 pixels, 28.1% of the image"
