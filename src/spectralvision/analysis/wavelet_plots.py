"""Draw what scattering mixers compute: bands, blending, gain, energies, and the wavelets."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from spectralvision.analysis.figures import (
    add_color_bar,
    decibels,
    new_figure,
    panels,
    show,
    style_axes,
    symmetric_limits,
)
from spectralvision.analysis.scattering_bands import (
    Bands,
    amplitude,
    band_energies,
    lowpass_energy,
    wavelet_spectra,
)
from spectralvision.ops import ORIENTATIONS, Pyramid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_bands(bands: Bands, image: int = 0, title: str = "") -> "Figure":
    """Draw lowpass and bands of a mixer before and after blending, the mean over channels."""
    figure, axes = panels(2, 1 + len(ORIENTATIONS), title, 1.9)
    for row, (name, pyramid) in zip(
        axes, (("before", bands.before), ("after", bands.after)), strict=True
    ):
        low = pyramid.lowpass[image].mean(dim=0)
        drawn = show(row[0], low, f"lowpass, {name}", "RdBu_r", symmetric_limits(low))
        add_color_bar(figure, drawn, row[0], "mean over channels")
        levels = amplitude(pyramid)[image].mean(dim=0)
        limits = (0.0, float(levels.max()) or 1.0)
        for number, orientation in enumerate(ORIENTATIONS):
            drawn = show(
                row[1 + number], levels[number], f"{orientation} degrees, {name}", "magma", limits
            )
        add_color_bar(figure, drawn, row[1:], "mean amplitude")
    return figure


def plot_orientation(bands: Bands, orientation: int, image: int = 0, title: str = "") -> "Figure":
    """Draw one orientation before and after blending: amplitude, and phase of a channel.

    Args:
        bands: Of a mixer.
        orientation: Its number, from 0 to 5.
        image: Its index.
        title: Of the figure.
    """
    figure, axes = panels(2, 3, title)
    name = f"{ORIENTATIONS[orientation]} degrees"
    for row, (side, pyramid) in zip(
        axes, (("before", bands.before), ("after", bands.after)), strict=True
    ):
        re, im = (part[image, :, orientation] for part in pyramid.highpass[0])
        channel = int(torch.hypot(re, im).square().sum(dim=(1, 2)).argmax())
        drawn = show(row[0], torch.hypot(re, im).mean(dim=0), f"{name}, {side}: amplitude")
        add_color_bar(figure, drawn, row[0], "mean over channels")
        drawn = show(row[1], torch.hypot(re[channel], im[channel]), f"channel {channel}: amplitude")
        add_color_bar(figure, drawn, row[1], "amplitude")
        phase = torch.atan2(im[channel], re[channel])
        drawn = show(row[2], phase, f"channel {channel}: phase", "twilight", (-np.pi, np.pi))
        add_color_bar(figure, drawn, row[2], "radians")
    return figure


def plot_gain(gain: Tensor, title: str = "") -> "Figure":
    """Draw the gain T (C, H, W) of the lowpass: mean and deviation over channels, distribution."""
    gain = gain.detach().float().cpu()
    figure = new_figure(10.5, 3.2, title)
    mean, deviation, values = figure.subplots(1, 3, width_ratios=(1, 1, 1.2))
    drawn = show(
        mean, gain.mean(dim=0), "mean over channels", "RdBu_r", symmetric_limits(gain.mean(dim=0))
    )
    add_color_bar(figure, drawn, mean, "gain")
    drawn = show(deviation, gain.std(dim=0), "standard deviation over channels")
    add_color_bar(figure, drawn, deviation, "gain")
    for one in (mean, deviation):
        one.set(xlabel="column", ylabel="row")
    values.hist(gain.flatten().numpy(), bins=60, color="C0")
    values.axvline(0, color="black", linewidth=0.8)
    style_axes(values, "gain", "number of weights", "distribution")
    return figure


def plot_band_energies(layers: Mapping[str, Bands]) -> "Figure":
    """Draw the energy of each band of each layer before and after blending."""
    names = list(layers)
    figure = new_figure(9.6, 0.42 * len(names) + 1.6)
    axes = figure.subplots(1, 2, sharey=True)
    columns = ["lowpass", *map(str, ORIENTATIONS)]
    tables = [
        torch.stack([_fractions(getattr(bands, side)) for bands in layers.values()])
        for side in ("before", "after")
    ]
    drawn = None
    brightest = float(max(table[:, 1:].max() for table in tables))
    for one, values, side in zip(axes, tables, ("before", "after"), strict=True):
        drawn = one.imshow(
            100 * values.numpy(), cmap="viridis", aspect="auto", vmin=0, vmax=100 * brightest
        )
        for row, column in np.ndindex(*values.shape):
            text = f"{100 * float(values[row, column]):.0f}"
            color = "black" if values[row, column] > 0.6 * brightest else "white"
            one.text(column, row, text, ha="center", va="center", fontsize="x-small", color=color)
        one.set_xticks(range(len(columns)), columns, fontsize="small")
        one.set_yticks(range(len(names)), names, fontsize="small")
        one.set_title(f"energy by band, {side} blending", fontsize="small")
        one.set_xlabel("lowpass, and bands by orientation in degrees", fontsize="small")
    add_color_bar(figure, drawn, axes, "% of the layer's energy")
    return figure


def _fractions(pyramid: Pyramid) -> Tensor:
    """Return the fraction of energy (1 + 6,) of the lowpass and of the bands of level 1."""
    low = lowpass_energy(pyramid).mean()
    high = band_energies(pyramid)[:, 0].mean(dim=0)
    energies = torch.cat([low[None], high])
    return energies / energies.sum().clamp(min=1e-30)


def plot_level_energies(energies: Tensor, title: str = "") -> "Figure":
    """Draw the energy (levels, 6) of the bands by orientation, a line per level."""
    figure = new_figure(6, 3.4, title)
    axes = figure.subplots()
    for level, values in enumerate(energies):
        axes.plot(ORIENTATIONS, values, marker="o", label=f"level {level + 1}")
    axes.set_yscale("log")
    axes.set_xticks(ORIENTATIONS)
    style_axes(axes, "orientation (degrees)", "energy per image")
    axes.legend(frameon=False, fontsize="small")
    return figure


def plot_wavelets(filters: Tensor, title: str = "") -> "Figure":
    """Draw wavelets (levels, 6, H, W): real part, imaginary part and spectrum of each level."""
    rows = [
        (f"level {level + 1}", kind)
        for level in range(len(filters))
        for kind in ("real part", "imaginary part", "spectrum")
    ]
    figure, axes = panels(len(rows), len(ORIENTATIONS), title, 1.5)
    for row, (name, kind), level in zip(axes, rows, np.arange(len(rows)) // 3, strict=True):
        values = filters[int(level)]
        extent = None
        if kind == "spectrum":
            values = decibels(wavelet_spectra(values) / wavelet_spectra(values).max(), 1e-2)
            limits, cmap, label, extent = (-40.0, 0.0), "magma", "dB", (-1.0, 1.0, 1.0, -1.0)
        else:
            values = _crop(values.real if kind == "real part" else values.imag, int(level))
            limits, cmap, label = symmetric_limits(values), "RdBu_r", "weight"
        for number, orientation in enumerate(ORIENTATIONS):
            text = f"{orientation} degrees" if kind == "real part" else ""
            drawn = show(row[number], values[number], text, cmap, limits, extent)
        row[0].set_ylabel(f"{name}\n{kind}", fontsize="small")
        add_color_bar(figure, drawn, row, label)
    return figure


def _crop(values: Tensor, level: int) -> Tensor:
    """Return the middle of wavelets (..., H, W), where they are not 0."""
    side = values.shape[-1]
    kept = min(side, 20 * 2**level)
    start = (side - kept) // 2
    return values[..., start : start + kept, start : start + kept]
