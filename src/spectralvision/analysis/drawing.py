"""Pictures for a page that stands alone: images as `data:` addresses, line charts and maps as inline SVG.

Colours come from the page's style sheet (classes `series0`, `series1`, ...), so that they follow light and dark.
"""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

Points = Sequence[tuple[float, float]]
NAMED = 120  # classes up to which a map names its rows and columns
INK = np.array([[255, 255, 255], [189, 210, 245], [37, 99, 235], [15, 23, 80]])  # from none to all, RGB


def escape(text: object) -> str:
    """Text for HTML, in attributes too. File names whose bytes are no text keep a question mark in their place."""
    return html.escape(str(text).encode("utf-8", "replace").decode("utf-8"), quote=True)


def shortened(text: str, limit: int) -> str:
    """The text, or its two ends with an ellipsis between: long names often differ at their end."""
    return text if len(text) <= limit else f"{text[: limit - limit // 2 - 1]}…{text[-(limit // 2) :]}"


def data_uri(image: Image.Image, side: int = 144) -> str:
    """A thumbnail that fits into side x side pixels, as a `data:` address; small images stay exact (PNG)."""
    small = max(image.size) <= 64
    image = image.convert("RGB")
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "PNG" if small else "JPEG", **({} if small else {"quality": 80}))
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def line_chart(title: str, series: Mapping[str, Points], mark: float | None = None, percent: bool = False) -> str:
    """An SVG of lines over epochs. Values that are not finite are left out; `mark` draws an upright line."""
    series = {name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in series.items()}
    every = [point for points in series.values() for point in points]
    if not every:
        return ""
    width, height, left, right, top, bottom = 420, 250, 46, 10, 34, 40
    ticks = _ticks(min(y for _, y in every), max(y for _, y in every), 5)
    first, last = min(x for x, _ in every), max(x for x, _ in every)
    span = (last - first) or 1.0

    def across(x: float) -> float:
        return left + (width - left - right) * ((x - first) / span if last > first else 0.5)

    def up(y: float) -> float:
        return height - bottom - (height - top - bottom) * (y - ticks[0]) / (ticks[-1] - ticks[0])

    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">']
    for tick in ticks:
        label = f"{round(100 * tick, 6):g}%" if percent else f"{tick:g}"
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{up(tick) + 4:.1f}" text-anchor="end">{label}</text>')
    for x in _whole_ticks(first, last):
        parts.append(f'<text x="{across(x):.1f}" y="{height - bottom + 16}" text-anchor="middle">{x}</text>')
    parts.append(f'<text x="{(left + width - right) / 2}" y="{height - 6}" text-anchor="middle">epoch</text>')
    if mark is not None:
        parts.append(
            f'<line class="mark" x1="{across(mark):.1f}" x2="{across(mark):.1f}" y1="{top}" y2="{height - bottom}"/>'
        )
    for number, (name, points) in enumerate(series.items()):
        line = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        parts.append(f'<polyline class="series{number}" points="{line}"/>')
        if len(points) <= 20:
            parts += [
                f'<circle class="series{number}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="3"/>' for x, y in points
            ]
        parts.append(f'<line class="series{number}" x1="{left + 120 * number}" x2="{left + 24 + 120 * number}" y1="14" '
                     f'y2="14"/><text x="{left + 30 + 120 * number}" y="18">{escape(name)}</text>')  # fmt: skip
    return "".join([*parts, "</svg>"])


def confusion_map(confusion: np.ndarray, classes: Sequence[str]) -> str:
    """An SVG of a (K, K) matrix of counts as a map, each row by its own sum; names at its edges if they fit."""
    num, cell = len(classes), 10
    shares = np.sqrt(confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1))  # the root shows the rare
    levels = np.linspace(0, 1, len(INK))
    pixels = np.stack([np.interp(shares, levels, INK[:, channel]) for channel in range(3)], axis=-1)
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    uri = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    named = num <= NAMED
    names = [shortened(name, 18) for name in classes] if named else [str(number + 1) for number in range(num)]
    shown = range(num) if named else range(0, num, max(1, num // 20))
    size = num * cell
    font = 8.5 if named else size / 60
    edge = font * (0.62 * max(len(names[number]) for number in shown) + 1)
    whole, widths = f"{size + edge:.0f}", f"min-width:{min(size + 80, 1050)}px;max-width:{2 * size}px"
    parts = [
        f'<svg class="map" viewBox="0 0 {whole} {whole}" style="{widths}" '
        f'role="img" aria-label="Confusion matrix of {num} classes"><g font-size="{font:.1f}">',
        f'<image href="{uri}" x="{edge:.1f}" y="{edge:.1f}" width="{size}" height="{size}"/>',
        f'<rect class="frame" x="{edge:.1f}" y="{edge:.1f}" width="{size}" height="{size}"/>',
    ]
    for number in range(10, num, 10):  # every tenth, to follow a row or a column
        line = edge + number * cell
        parts.append(f'<path class="frame" d="M{edge:.1f} {line:.1f}h{size}M{line:.1f} {edge:.1f}v{size}"/>')
    for number in shown:
        at, name = edge + (number + 0.5) * cell, escape(names[number])
        parts.append(f'<text x="{edge - font / 3:.1f}" y="{at + font / 3:.1f}" text-anchor="end">{name}</text>')
        parts.append(
            f'<text transform="translate({at + font / 3:.1f} {edge - font / 3:.1f}) rotate(-90)">{name}</text>'
        )
    return "".join([*parts, "</g></svg>"])


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers that enclose low..high."""
    if high <= low:
        low, high = low - 0.05, high + 0.05
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999) * power
    start, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(start, end + 1)]


def _whole_ticks(first: float, last: float) -> list[int]:
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if (last - first) / s <= 10)
    return sorted(
        {int(first), *(x for x in range(int(first), int(last) + 1) if x % step == 0 and x - first >= step / 2)}
    )
