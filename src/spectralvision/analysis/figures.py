"""What the pictures of an analysis have in common. Matplotlib is imported when one is drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 2.4
"""Side of a square panel in inches."""
FREQUENCY = "frequency (fraction of Nyquist)"


def new_figure(width: float, height: float, title: str = "") -> "Figure":
    """Return an empty figure of a size in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def panels(rows: int, columns: int, title: str = "", side: float = PANEL) -> tuple["Figure", Any]:
    """Return a figure and its (rows, columns) axes, square panels without ticks."""
    figure = new_figure(side * columns + 0.7, side * rows + 0.6, title)
    axes = figure.subplots(rows, columns, squeeze=False)
    for one in axes.flat:
        one.set_xticks([])
        one.set_yticks([])
    return figure, axes


def show(
    axes: "Axes",
    values: Tensor | np.ndarray,
    title: str = "",
    cmap: Any = "magma",
    limits: tuple[float, float] | None = None,
    extent: Sequence[float] | None = None,
    norm: Any = None,
) -> Any:
    """Draw an array (H, W) and return the image, for a color bar.

    `extent` are the coordinates of the left, right, bottom and top edge; `norm` is matplotlib's.
    """
    low, high = limits or (None, None)
    image = axes.imshow(
        np.asarray(values), cmap=cmap, norm=norm, vmin=low, vmax=high, interpolation="nearest",
        extent=None if extent is None else tuple(extent),  # type: ignore[arg-type]
    )  # fmt: skip
    axes.set_title(title, fontsize="small")
    return image


def add_color_bar(figure: "Figure", image: Any, axes: Any, label: str) -> None:
    """Add a color bar with the unit of its values beside one or several axes."""
    bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02)
    bar.set_label(label, fontsize="small")
    bar.ax.tick_params(labelsize="small")


def symmetric_limits(values: Tensor) -> tuple[float, float]:
    """Return (-m, m) with the largest absolute value m."""
    most = float(values.abs().max()) or 1.0
    return -most, most


def signed_log_norm(values: Tensor) -> Any:
    """Return a color scale around 0 that is logarithmic from a hundredth of the largest value."""
    from matplotlib.colors import SymLogNorm

    most = symmetric_limits(values)[1]
    return SymLogNorm(most / 100, vmin=-most, vmax=most)


def decibels(amplitude: Tensor, floor: float = 1e-6) -> Tensor:
    """Return 20 log10 of amplitudes."""
    return 20 * amplitude.clamp(min=floor).log10()


def style_axes(axes: "Axes", xlabel: str, ylabel: str, title: str = "") -> None:
    """Set labels, title and a light grid."""
    axes.set_xlabel(xlabel, fontsize="small")
    axes.set_ylabel(ylabel, fontsize="small")
    axes.set_title(title, fontsize="small")
    axes.tick_params(labelsize="small")
    axes.grid(alpha=0.3)
