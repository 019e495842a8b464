"""Draw what adaptive frequency filters compute: masks, kernels and how much they adapt."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from spectralvision.analysis.figures import (
    PANEL,
    add_color_bar,
    decibels,
    new_figure,
    panels,
    show,
    signed_log_norm,
    style_axes,
    symmetric_limits,
)
from spectralvision.analysis.filter_spectra import FilterMasks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_COLUMNS = 4


def strongest_channels(masks: FilterMasks, count: int) -> list[int]:
    """Return the channels whose masks have the most energy, in their order."""
    energy = masks.mask.abs().square().sum(dim=(0, 2, 3))
    return sorted(energy.topk(min(count, len(energy))).indices.tolist())


def plot_masks(
    masks: FilterMasks, image: int = 0, channels: Sequence[int] | None = None, title: str = ""
) -> "Figure":
    """Draw amplitude, phase and kernel of the mask for an image; a row per channel.

    Args:
        masks: Of a layer.
        image: Its index.
        channels: By default those whose masks have the most energy.
        title: Of the figure.
    """
    chosen = strongest_channels(masks, 3) if channels is None else list(channels)
    figure, axes = panels(len(chosen), 3, title)
    extent = _frequency_extent(masks.mask)
    loudest = decibels(masks.mask[image, chosen].abs())
    limits = (float(loudest.min()), float(loudest.max()))
    for row, channel in zip(axes, chosen, strict=True):
        mask, kernel = masks.mask[image, channel], masks.kernel[image, channel]
        name = f"channel {channel}"
        drawn = show(row[0], decibels(mask.abs()), f"{name}: amplitude", "magma", limits, extent)
        add_color_bar(figure, drawn, row[0], "dB")
        drawn = show(row[1], mask.angle(), f"{name}: phase", "twilight", (-np.pi, np.pi), extent)
        add_color_bar(figure, drawn, row[1], "radians")
        drawn = show(row[2], kernel, f"{name}: kernel", "RdBu_r", norm=signed_log_norm(kernel))
        add_color_bar(figure, drawn, row[2], "weight")
    _label_frequencies(axes[:, :2], extent)
    return figure


def plot_groups(masks: FilterMasks, image: int = 0, title: str = "") -> "Figure":
    """Draw the mean amplitude of the masks in each group of channels, for an image."""
    groups = masks.by_group()[image]
    columns = min(len(groups), MAX_COLUMNS)
    rows = -(-len(groups) // columns)
    figure, axes = panels(rows, columns, title)
    values = decibels(groups)
    extent = _frequency_extent(groups)
    limits = (float(values.min()), float(values.max()))
    drawn = None
    for number, one in enumerate(axes.flat):
        if number < len(groups):
            drawn = show(one, values[number], f"group {number}", "magma", limits, extent)
        else:
            one.set_axis_off()
    _label_frequencies(axes[-1:, :1], extent)
    add_color_bar(figure, drawn, axes, "mean amplitude, dB")
    return figure


def plot_masks_of_images(
    masks: FilterMasks, images: Sequence[Any], title: str = "", limit: int = 4
) -> "Figure":
    """Draw, for some images, how the amplitudes of their masks differ from the mean over all.

    Args:
        masks: Of a layer.
        images: Pictures that matplotlib can draw, in the order of the masks.
        title: Of the figure.
        limit: Number of images that are drawn.
    """
    amplitude = masks.mask.abs().mean(dim=1)
    difference = decibels(amplitude) - decibels(amplitude.mean(dim=0))
    count = min(limit, len(images))
    figure, axes = panels(2, count, title)
    extent = _frequency_extent(difference)
    limits = symmetric_limits(difference[:count])
    drawn = None
    for number in range(count):
        axes[0, number].imshow(np.asarray(images[number]))
        axes[0, number].set_title(f"image {number}", fontsize="small")
        drawn = show(axes[1, number], difference[number], "", "RdBu_r", limits, extent)
    _label_frequencies(axes[1:, :1], extent)
    add_color_bar(figure, drawn, axes, "amplitude relative to the mean, dB")
    return figure


def plot_adaptivity(layers: Mapping[str, FilterMasks]) -> "Figure":
    """Draw for each layer how much of the masks varies by image, and how much is set to 0.

    With one image, only the second panel is drawn.
    """
    names, places = list(layers), np.arange(len(layers))
    parts = ["varying", "zeroed"] if len(next(iter(layers.values())).mask) > 1 else ["zeroed"]
    figure = new_figure(4.6 * len(parts) + (0 if len(parts) > 1 else 2), 0.34 * len(names) + 1.5)
    axes = dict(
        zip(parts, figure.subplots(1, len(parts), sharey=True, squeeze=False)[0], strict=True)
    )
    for place, masks in zip(places, layers.values(), strict=True):
        if "varying" in axes:
            by_channel = masks.adaptivity()
            by_channel = by_channel[by_channel.isfinite()]
            height = np.full(len(by_channel), place)
            axes["varying"].barh(place, 100 * masks.mean_adaptivity(), color="C0", height=0.6)
            axes["varying"].plot(100 * by_channel, height, "|", color="black", alpha=0.35)
        axes["zeroed"].barh(place, 100 * float(masks.zeroed.mean()), color="C1", height=0.6)
    if "varying" in axes:
        label = "energy of the masks that varies by image, % (ticks: channels)"
        style_axes(axes["varying"], label, "", "How much the masks vary by image")
    label = "real and imaginary parts, %"
    style_axes(axes["zeroed"], label, "", "What the softshrink sets to 0")
    axes[parts[0]].set_yticks(places, names)
    axes[parts[0]].invert_yaxis()
    for one in axes.values():
        one.set_xlim(left=0)
    return figure


def plot_kernels(masks: FilterMasks, image: int = 0, title: str = "", limit: int = 8) -> "Figure":
    """Draw the kernels of the strongest channels for an image, each in its own scale."""
    chosen = strongest_channels(masks, limit)
    columns = min(len(chosen), MAX_COLUMNS)
    figure, axes = panels(-(-len(chosen) // columns), columns, title, PANEL)
    for number, one in enumerate(axes.flat):
        if number >= len(chosen):
            one.set_axis_off()
            continue
        kernel = masks.kernel[image, chosen[number]]
        drawn = show(
            one, kernel, f"channel {chosen[number]}", "RdBu_r", norm=signed_log_norm(kernel)
        )
        add_color_bar(figure, drawn, one, "weight")
    return figure


def _frequency_extent(spectrum: Tensor) -> tuple[float, float, float, float]:
    """Return the edges of a centered spectrum as fractions of the Nyquist frequency."""
    height, width = spectrum.shape[-2], spectrum.shape[-1]
    columns = 2 * torch.fft.fftshift(torch.fft.fftfreq(width))
    rows = 2 * torch.fft.fftshift(torch.fft.fftfreq(height))
    half = (1 / width, 1 / height)
    return (
        float(columns[0]) - half[0],
        float(columns[-1]) + half[0],
        float(rows[-1]) + half[1],
        float(rows[0]) - half[1],
    )


def _label_frequencies(axes: Any, extent: Sequence[float]) -> None:
    """Put ticks at multiples of half the Nyquist frequency."""
    ticks = [-1, -0.5, 0, 0.5]
    for one in axes.flat:
        one.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize="x-small")
        one.set_yticks(ticks, [f"{tick:g}" for tick in ticks], fontsize="x-small")
        one.set_xlim(extent[0], extent[1])
        one.set_ylim(extent[2], extent[3])
        one.set_xlabel("frequency / Nyquist", fontsize="x-small")
