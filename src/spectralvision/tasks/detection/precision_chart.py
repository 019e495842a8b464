"""A chart of precision over recall, as inline SVG in the colors of the page."""

from collections.abc import Mapping

import numpy as np

from spectralvision.report.text import escape

WIDTH, HEIGHT = 430, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 410, 34, 210
LEGEND_STEP = 120
TICKS = (0, 0.25, 0.5, 0.75, 1)


def precision_chart(title: str, lines: Mapping[str, np.ndarray]) -> str:
    """Return an SVG with a line by name: precision at evenly spaced recalls from 0 to 1."""
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">',
        *(text for tick in TICKS for text in _tick(tick)),
        f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">recall</text>',
    ]
    for number, (name, values) in enumerate(lines.items()):
        recalls = np.linspace(0, 1, len(values))
        points = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in zip(recalls, values, strict=True))
        start, kind = LEFT + LEGEND_STEP * number, f"series{number}"
        parts += [
            f'<polyline class="{kind}" points="{points}"/>',
            f'<line class="{kind}" x1="{start}" x2="{start + 24}" y1="14" y2="14"/>',
            f'<text x="{start + 30}" y="18">{escape(name)}</text>',
        ]
    return "".join([*parts, "</svg>"])


def _tick(tick: float) -> list[str]:
    """Return the lines and labels of a value on both axes."""
    x, y = _x(tick), _y(tick)
    return [
        f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.0%}</text>',
        f'<text x="{x:.1f}" y="{BOTTOM + 16}" text-anchor="middle">{tick:.0%}</text>',
    ]


def _x(recall: float) -> float:
    return LEFT + (RIGHT - LEFT) * recall


def _y(precision: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * precision
