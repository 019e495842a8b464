"""What networks compute and cost: spectra, kernels, receptive fields, multiply-adds, speed.

Functions return arrays and numbers; those named `plot_...` draw them with matplotlib. None of them
knows a run.
"""

from spectralvision.analysis.class_activation import draw_activation_maps
from spectralvision.analysis.costs import cost_by_part, time_by_part
from spectralvision.analysis.filter_plots import (
    plot_adaptivity,
    plot_groups,
    plot_kernels,
    plot_masks,
    plot_masks_of_images,
)
from spectralvision.analysis.filter_spectra import FilterMasks, filter_masks
from spectralvision.analysis.frequencies import (
    add_noise,
    filter_images,
    frequency_curves,
    spectrum_by_depth,
)
from spectralvision.analysis.layers import find_blocks, find_layers, record_inputs, record_outputs
from spectralvision.analysis.loss_landscape import loss_along_line
from spectralvision.analysis.macs import count_macs
from spectralvision.analysis.network_plots import (
    plot_costs,
    plot_frequency_curves,
    plot_loss,
    plot_pictures,
    plot_receptive_field,
    plot_spectrum_by_depth,
)
from spectralvision.analysis.receptive_field import effective_receptive_field
from spectralvision.analysis.scattering_bands import (
    band_energies,
    wavelet_bands,
    wavelet_spectra,
    wavelets,
)
from spectralvision.analysis.wavelet_plots import (
    plot_band_energies,
    plot_bands,
    plot_gain,
    plot_level_energies,
    plot_wavelets,
)

__all__ = [
    "FilterMasks",
    "add_noise",
    "band_energies",
    "cost_by_part",
    "count_macs",
    "draw_activation_maps",
    "effective_receptive_field",
    "filter_images",
    "filter_masks",
    "find_blocks",
    "find_layers",
    "frequency_curves",
    "loss_along_line",
    "plot_adaptivity",
    "plot_band_energies",
    "plot_bands",
    "plot_costs",
    "plot_frequency_curves",
    "plot_gain",
    "plot_groups",
    "plot_kernels",
    "plot_level_energies",
    "plot_loss",
    "plot_masks",
    "plot_masks_of_images",
    "plot_pictures",
    "plot_receptive_field",
    "plot_spectrum_by_depth",
    "plot_wavelets",
    "record_inputs",
    "record_outputs",
    "spectrum_by_depth",
    "time_by_part",
    "wavelet_bands",
    "wavelet_spectra",
    "wavelets",
]
