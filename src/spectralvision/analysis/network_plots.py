"""Draw what a whole network computes and costs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spectralvision.analysis.costs import Cost
from spectralvision.analysis.figures import (
    FREQUENCY,
    add_color_bar,
    new_figure,
    panels,
    show,
    style_axes,
)
from spectralvision.analysis.frequencies import CORNER, DepthSpectrum, FrequencyCurves
from spectralvision.analysis.receptive_field import ReceptiveField

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST = 1e-6
"""Relative energy of the darkest color."""
COLORS = ("#f2a65a", "#7a1f5c")
"""Of the pixels that hold most of the energy, and half of it."""


def plot_spectrum_by_depth(spectrum: DepthSpectrum, title: str = "") -> "Figure":
    """Draw the spectra of the features after each block, and their high frequencies by depth."""
    import matplotlib

    figure = new_figure(10, 3.8, title)
    left, right = figure.subplots(1, 2)
    count = len(spectrum.names)
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.95, max(count, 1)))
    for color, values in zip(colors, spectrum.log_amplitude, strict=True):
        known = values.isfinite()
        left.plot(spectrum.frequencies[known], values[known], color=color)
    style_axes(left, FREQUENCY, "log amplitude relative to frequency 0", "features after a block")
    scale = matplotlib.cm.ScalarMappable(
        matplotlib.colors.Normalize(1, max(count, 2)), matplotlib.colors.ListedColormap(colors)
    )
    add_color_bar(figure, scale, left, "number of the block")
    highest = [float(values[values.isfinite()][-1]) for values in spectrum.log_amplitude]
    right.plot(np.arange(1, count + 1), highest, marker="o", color="C0")
    right.xaxis.get_major_locator().set_params(integer=True)
    style_axes(
        right, "number of the block", "log amplitude relative to frequency 0",
        "highest frequencies of each map",
    )  # fmt: skip
    return figure


def plot_receptive_field(field: ReceptiveField, title: str = "") -> "Figure":
    """Draw the effective receptive field, and the pixels that hold most of its energy."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    # 1. The energy, in a logarithmic scale
    energy = field.energy / field.energy.max()
    figure = new_figure(10, 4.4, title)
    left, right = figure.subplots(1, 2)
    decades = energy.clamp(min=SMALLEST).log10()
    drawn = show(left, decades, "energy of the gradient", "magma", (np.log10(SMALLEST), 0.0))
    add_color_bar(figure, drawn, left, "log10, relative to its maximum")

    # 2. The fewest pixels that hold a fraction of it
    ordered = field.energy.flatten().sort(descending=True).values
    values = torch.zeros(field.energy.shape)
    handles: list[Patch] = []
    for (fraction, area), color in zip(sorted(field.areas.items())[::-1], COLORS, strict=False):
        values[field.energy >= ordered[area - 1]] = len(handles) + 1
        part = area / field.energy.numel()
        text = f"{fraction:.0%} of the energy: {area} pixels, {part:.1%} of the image"
        handles.append(Patch(color=color, label=text))
    colors = ListedColormap(["0.92", *COLORS[: len(handles)]])
    show(right, values, "the fewest pixels that hold", colors, (0, max(len(handles), 1)))
    right.legend(handles=handles[::-1], loc="upper center", bbox_to_anchor=(0.5, -0.14),
                 frameon=False, fontsize="small")  # fmt: skip
    for axes in (left, right):
        axes.set(xlabel="column (pixels)", ylabel="row (pixels)")
    return figure


def plot_frequency_curves(curves: FrequencyCurves, title: str = "") -> "Figure":
    """Draw the accuracy on images without low or high frequencies, and with noise."""
    from matplotlib.ticker import PercentFormatter

    figure = new_figure(10, 3.8, title)
    left, right = figure.subplots(1, 2, sharey=True)
    measured = "agreement with itself" if curves.is_agreement else "accuracy"
    left.plot(curves.cutoffs, curves.low, marker="o", label="only frequencies up to the cutoff")
    left.plot(curves.cutoffs, curves.high, marker="s", label="only frequencies from the cutoff")
    style_axes(left, f"cutoff {FREQUENCY}", measured, "frequencies removed")
    middles = [sum(band) / 2 for band in curves.bands]
    widths = [0.9 * (high - low) for low, high in curves.bands]
    right.bar(middles, curves.noise, widths, color="C2", label="noise in this band")
    name = f"noise with {curves.noise_scale:g} times the images' standard deviation"
    style_axes(right, FREQUENCY, "", name)
    for axes in (left, right):
        axes.axhline(curves.unchanged, color="black", linestyle=":", label="unchanged images")
        axes.set(xlim=(0, CORNER), ylim=(0, 1.02))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(frameon=False, fontsize="small")
    return figure


def plot_loss(steps: Sequence[float], losses: Sequence[float], title: str = "") -> "Figure":
    """Draw the loss along a line through the weights."""
    figure = new_figure(5.6, 3.6, title)
    axes = figure.subplots()
    axes.plot(steps, losses, marker=".")
    axes.set_yscale("log")
    axes.axvline(0, color="black", linestyle=":", linewidth=1, label="the network")
    style_axes(axes, "step along a random, filter-normalized direction", "loss")
    axes.legend(frameon=False, fontsize="small")
    return figure


def plot_pictures(pairs: Sequence[tuple[Any, Any, str]], title: str = "") -> "Figure":
    """Draw images above their class activation maps, each with a caption."""
    figure, axes = panels(2, len(pairs), title)
    for column, (image, overlay, caption) in enumerate(pairs):
        axes[0, column].imshow(np.asarray(image))
        axes[1, column].imshow(np.asarray(overlay))
        axes[0, column].set_title(caption, fontsize="small")
    return figure


def plot_costs(costs: Sequence[Cost], title: str = "") -> "Figure":
    """Draw parameters, multiply-adds and time of each part; published multiply-adds beside."""
    timed = all(cost.seconds is not None for cost in costs)
    figure = new_figure(11, 0.24 * len(costs) + 1.6, title)
    columns = figure.subplots(1, 3 if timed else 2, sharey=True)
    places = np.arange(len(costs))
    names = [cost.name for cost in costs]
    columns[0].barh(places, [cost.parameters / 1e6 for cost in costs], color="C0")
    style_axes(columns[0], "parameters (millions)", "")
    full = [cost.macs / 1e6 for cost in costs]
    columns[1].barh(places, full, color="C1", label="in full")
    columns[1].barh(
        places, [cost.module_macs / 1e6 for cost in costs], color="none", edgecolor="black",
        linewidth=0.8, label="convolutions and linear layers only",
    )  # fmt: skip
    style_axes(columns[1], "multiply-adds (millions)", "")
    columns[1].legend(frameon=False, fontsize="x-small")
    if timed:
        columns[2].barh(places, [1e3 * float(cost.seconds or 0) for cost in costs], color="C2")
        style_axes(columns[2], "time of a pass (ms)", "")
    columns[0].set_yticks(places, names, fontsize="x-small")
    columns[0].invert_yaxis()
    return figure
