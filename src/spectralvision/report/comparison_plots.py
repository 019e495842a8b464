"""Draw the results of a comparison: accuracy, accuracy against cost, and speed against size."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spectralvision.analysis.figures import new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
MAX_LABEL = 24
LABEL_ROOM = 0.4
"""Of the width of a plot, for the names to the right of its dots."""
LABEL_OFFSETS = (0, -7, 7, -14, 14, -21, 21, -28, 28)
"""Of a name above its dot, in points; the first at which it overlaps nothing is used."""


def plot_accuracy(rows: Sequence[Row]) -> "Figure":
    """Draw the accuracy of each variant: seeds as dots, and their mean as a line.

    Args:
        rows: As `tasks.comparing.summarize` returns them.
    """
    from matplotlib.ticker import PercentFormatter

    figure = new_figure(8, 0.36 * len(rows) + 1.3)
    axes = figure.subplots()
    for place, row in enumerate(rows):
        values = row["top1_of_seeds"]
        axes.plot(values, [place] * len(values), "o", color="C0", markersize=5)
        axes.plot(row["top1"], place, "|", color="black", markersize=13, markeredgewidth=2)
    axes.set_yticks(range(len(rows)), [_shorten(row["variant"]) for row in rows], fontsize="small")
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    split = rows[0]["split"]
    style_axes(axes, f"top-1 accuracy on {split}", "")
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
    points_of: list[dict[str, tuple[float, float]]] = []
    for axes, (label, value) in zip(panels, axes_of.items(), strict=True):
        points = {row["variant"]: (x, row["top1"]) for row in rows if (x := value(row))}
        points_of.append(points)
        axes.plot([x for x, _ in points.values()], [y for _, y in points.values()], "o", color="C0")
        left, right = axes.get_xlim()
        axes.set_xlim(left, right + LABEL_ROOM * (right - left))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        style_axes(axes, label, "top-1 accuracy" if axes is panels[0] else "")
    figure.draw_without_rendering()  # the layout, on which it depends which names overlap
    for axes, points in zip(panels, points_of, strict=True):
        _label_dots(axes, points)
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


def _label_dots(axes: Any, points: Mapping[str, tuple[float, float]]) -> None:
    """Write the names of dots beside them, above or below where names would overlap."""
    from matplotlib.transforms import Bbox

    places = [axes.transData.transform(point) for point in points.values()]
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in places]
    for name, point in points.items():
        text = axes.annotate(
            _shorten(name), point, (5, 0), textcoords="offset points", fontsize="x-small",
            verticalalignment="center", in_layout=False,
        )  # fmt: skip
        for offset in LABEL_OFFSETS:
            text.set_position((5, offset))
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def _at(row: Row, size: str, key: str, factor: float) -> float | None:
    value = row["sizes"][size].get(key)
    return None if value is None else factor * value


def _shorten(name: str) -> str:
    return name if len(name) <= MAX_LABEL else f"{name[: MAX_LABEL - 1]}…"
