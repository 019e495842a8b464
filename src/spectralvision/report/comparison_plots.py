"""Draw the results of a comparison: accuracy, accuracy against cost, and speed against size."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spectralvision.analysis.figures import new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
MAX_LABEL = 24


def plot_accuracy(rows: Sequence[Row]) -> "Figure":
    """Draw the mean accuracy of each variant as a bar, and each seed as a dot.

    Args:
        rows: As `tasks.comparing.summarize` returns them.
    """
    from matplotlib.ticker import PercentFormatter

    figure = new_figure(8, 0.36 * len(rows) + 1.3)
    axes = figure.subplots()
    for place, row in enumerate(rows):
        axes.barh(place, row["top1"], color="C0", alpha=0.6, height=0.65)
        values = row["top1_of_seeds"]
        axes.plot(values, [place] * len(values), "o", color="black", markersize=4)
    axes.set_yticks(range(len(rows)), [_shorten(row["variant"]) for row in rows], fontsize="small")
    axes.invert_yaxis()
    lowest = min(min(row["top1_of_seeds"]) for row in rows)
    axes.set_xlim(left=max(0.0, lowest - 0.1))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    split = rows[0]["split"]
    style_axes(axes, f"top-1 accuracy on {split}; dots: seeds", "")
    return figure


def plot_costs(rows: Sequence[Row]) -> "Figure":
    """Draw accuracy against parameters, multiply-adds and speed at the smallest size."""
    from matplotlib.ticker import PercentFormatter

    size = next(iter(rows[0]["sizes"]))
    axes_of: dict[str, Any] = {
        "parameters (millions)": lambda row: row["parameters"] / 1e6,
        f"multiply-adds at {size} px (millions)": lambda row: _at(row, size, "gmacs", 1e3),
        f"images per second at {size} px": lambda row: _at(row, size, "images_per_second", 1),
    }
    figure = new_figure(13, 4.4)
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (label, value) in zip(panels, axes_of.items(), strict=True):
        for row in rows:
            x = value(row)
            if x:
                axes.plot(x, row["top1"], "o", color="C0")
                axes.annotate(
                    _shorten(row["variant"]), (x, row["top1"]), xytext=(3, 3),
                    textcoords="offset points", fontsize="x-small",
                )  # fmt: skip
        axes.set_xscale("log")
        style_axes(axes, label, "top-1 accuracy" if axes is panels[0] else "")
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def plot_growth(rows: Sequence[Row]) -> "Figure":
    """Draw the time of an image against the input size."""
    import matplotlib

    figure = new_figure(8, 4.8)
    axes = figure.subplots()
    colors = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]
    sizes: list[int] = []
    for number, row in enumerate(rows):
        points = [
            (int(size), 1e3 / one["images_per_second"])
            for size, one in row["sizes"].items()
            if "images_per_second" in one
        ]
        sizes += [size for size, _ in points]
        if points:
            axes.plot(
                *zip(*points, strict=True), marker="o", markersize=4,
                color=colors[number % len(colors)], label=_shorten(row["variant"]),
            )  # fmt: skip
    axes.set(xscale="log", yscale="log")
    ticks = sorted(set(sizes))
    axes.set_xticks(ticks, [str(size) for size in ticks])
    axes.minorticks_off()
    style_axes(axes, "input size (pixels)", "milliseconds per image")
    axes.legend(frameon=False, fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _at(row: Row, size: str, key: str, factor: float) -> float | None:
    value = row["sizes"][size].get(key)
    return None if value is None else factor * value


def _shorten(name: str) -> str:
    return name if len(name) <= MAX_LABEL else f"{name[: MAX_LABEL - 1]}…"
