"""Draw thumbnails as `data:` URIs and line charts as inline SVG, for a page without external files.

Colors come from the page's style sheet (classes `series0`, `series1`), so that charts follow the
light and dark color schemes.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from spectralvision.report.text import escape

Points = Sequence[tuple[float, float]]
MAX_MARKED_POINTS = 20  # longer series are drawn without a dot at each point
MAX_PNG_SIDE_PIXELS = 64  # images up to this size are stored exactly
LEGEND_STEP_PIXELS = 120
THUMBNAIL_SIDE = 144  # pixels


def data_uri(image: Image.Image, side: int = THUMBNAIL_SIDE) -> str:
    """Return a thumbnail of at most side x side pixels as a `data:` URI.

    Images of up to `MAX_PNG_SIDE_PIXELS` are stored exactly, as PNG; larger ones as JPEG.
    """
    small = max(image.size) <= MAX_PNG_SIDE_PIXELS
    image = image.convert("RGB")
    image.thumbnail((side, side))
    if small:
        return _encode(image, "PNG")
    return _encode(image, "JPEG", quality=80)


def png_uri(image: Image.Image) -> str:
    """Return an image as a PNG `data:` URI, at its own size."""
    return _encode(image, "PNG")


def _encode(image: Image.Image, kind: str, **options: int) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


@dataclass(frozen=True)
class _Axes:
    """The plot area of a chart and the ranges of its axes."""

    first: float
    last: float
    low: float
    high: float
    width: int = 420
    height: int = 250
    left: int = 46
    right: int = 10
    top: int = 34
    bottom: int = 40

    @property
    def right_edge(self) -> int:
        return self.width - self.right

    @property
    def bottom_edge(self) -> int:
        return self.height - self.bottom

    def x(self, value: float) -> float:
        """Return the horizontal position of a value; a single value is centred."""
        fraction = 0.5
        if self.last > self.first:
            fraction = (value - self.first) / (self.last - self.first)
        return self.left + (self.right_edge - self.left) * fraction

    def y(self, value: float) -> float:
        """Return the vertical position of a value."""
        fraction = (value - self.low) / (self.high - self.low)
        return self.bottom_edge - (self.bottom_edge - self.top) * fraction


def line_chart(
    title: str, series: Mapping[str, Points], mark: float | None = None, percent: bool = False
) -> str:
    """Return an SVG of lines over epochs, or an empty string if there is nothing to draw.

    Args:
        title: Label for screen readers.
        series: (epoch, value) pairs by name; values that are not finite are left out.
        mark: Epoch at which a vertical line is drawn.
        percent: Whether values are fractions, labelled in per cent.
    """
    finite = {
        name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in series.items()
    }
    points = [point for line in finite.values() for point in line]
    if not points:
        return ""

    # 1. Choose the axes
    values = [y for _, y in points]
    epochs = [x for x, _ in points]
    ticks = _round_ticks(min(values), max(values), 5)
    least = 0 if min(values) >= 0 else ticks[0]
    most = 1 if percent and max(values) <= 1 else ticks[-1]
    ticks = [tick for tick in ticks if least <= tick <= most]
    axes = _Axes(min(epochs), max(epochs), ticks[0], ticks[-1])

    # 2. Draw the grid, the mark and the lines
    parts = [
        f'<svg class="chart" viewBox="0 0 {axes.width} {axes.height}" role="img" '
        f'aria-label="{escape(title)}">',
        *_grid(axes, ticks, percent),
    ]
    if mark is not None:
        parts.append(
            f'<line class="mark" x1="{axes.x(mark):.1f}" x2="{axes.x(mark):.1f}" '
            f'y1="{axes.top}" y2="{axes.bottom_edge}"/>'
        )
    for number, (name, line) in enumerate(finite.items()):
        parts += _line(axes, number, name, line)
    return "".join([*parts, "</svg>"])


def _grid(axes: _Axes, ticks: Sequence[float], percent: bool) -> list[str]:
    parts = []
    for tick in ticks:
        y = axes.y(tick)
        label = f"{round(100 * tick, 6):g}%" if percent else f"{tick:g}"
        parts += [
            f'<line class="grid" x1="{axes.left}" x2="{axes.right_edge}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/>',
            f'<text x="{axes.left - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>',
        ]
    for epoch in _epoch_ticks(axes.first, axes.last):
        parts.append(
            f'<text x="{axes.x(epoch):.1f}" y="{axes.bottom_edge + 16}" '
            f'text-anchor="middle">{epoch}</text>'
        )
    middle = (axes.left + axes.right_edge) / 2
    parts.append(f'<text x="{middle}" y="{axes.height - 6}" text-anchor="middle">epoch</text>')
    return parts


def _line(axes: _Axes, number: int, name: str, points: Points) -> list[str]:
    """Return the polyline of a series, its dots, and its entry in the legend; nothing if empty."""
    if not points:
        return []
    kind = f"series{number}"
    places = [(f"{axes.x(x):.1f}", f"{axes.y(y):.1f}") for x, y in points]
    parts = [f'<polyline class="{kind}" points="{" ".join(",".join(place) for place in places)}"/>']
    if len(points) <= MAX_MARKED_POINTS:
        parts += [f'<circle class="{kind}" cx="{x}" cy="{y}" r="3"/>' for x, y in places]
    start = axes.left + LEGEND_STEP_PIXELS * number
    return [
        *parts,
        f'<line class="{kind}" x1="{start}" x2="{start + 24}" y1="14" y2="14"/>',
        f'<text x="{start + 30}" y="18">{escape(name)}</text>',
    ]


def _round_ticks(low: float, high: float, about: int) -> list[float]:
    """Return `about` round numbers that enclose low..high."""
    if high - low <= 1e-3 * max(abs(low), abs(high)):  # equal but for rounding
        low, high = low - 0.05, high + 0.05
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999) * power
    start = math.floor(low / step + 1e-9)
    end = math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(start, end + 1)]


def _epoch_ticks(first: float, last: float) -> list[int]:
    """Return the first epoch and about ten multiples of a round step."""
    steps = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9)
    step = next(step for step in steps if (last - first) / step <= 10)
    multiples = [
        epoch
        for epoch in range(int(first), int(last) + 1)
        if epoch % step == 0 and epoch - first >= step / 2
    ]
    return sorted({int(first), *multiples})
