"""Draw a confusion matrix: a table of numbers for few classes, an SVG map for more."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from spectralvision.report.svg import png_uri
from spectralvision.report.text import escape, shorten

MAX_TABLE_CLASSES = 20  # more are drawn as a map
MAX_MAP_CLASSES = 120  # no matrix of more is drawn
CELL_UNITS = 10  # side of a map's cell, SVG units
MAX_TABLE_NAME = 24  # characters
MAX_MAP_NAME = 18
MAP_COLOUR = (46, 110, 240)  # RGB; visible on light and dark backgrounds


def confusion_matrix(confusion: np.ndarray, classes: Sequence[str]) -> str:
    """Return HTML of a (K, K) matrix of counts: rows are true classes, columns predicted ones.

    K is at most `MAX_MAP_CLASSES`.
    """
    small = len(classes) <= MAX_TABLE_CLASSES
    drawn = confusion_table(confusion, classes) if small else confusion_map(confusion, classes)
    legend = (
        "Cells are numbers of images."
        if small
        else "The stronger the color, the larger the fraction of the row; empty cells are zero."
    )
    return (
        '<p class="soft">Rows are true classes, columns are predicted classes; the diagonal is '
        f'correct. {legend}</p>\n<div class="scroll">{drawn}</div>'
    )


def confusion_table(confusion: np.ndarray, classes: Sequence[str]) -> str:
    """Return an HTML table of numbers: correct predictions on green, wrong ones on red."""
    names = [escape(shorten(name, MAX_TABLE_NAME)) for name in classes]
    titles = [escape(name) for name in classes]
    head = "".join(
        f'<th scope="col" title="{title}"><span>{name}</span></th>'
        for title, name in zip(titles, names, strict=True)
    )
    rows = []
    for truth, counts in enumerate(confusion):
        total = max(counts.sum(), 1)
        cells = [
            _table_cell(int(number), number / total, "good" if truth == predicted else "bad")
            for predicted, number in enumerate(counts)
        ]
        label = f'<th scope="row" title="{titles[truth]}">{names[truth]}</th>'
        rows.append(f"<tr>{label}{''.join(cells)}</tr>")
    kind = "matrix flat" if max(map(len, classes)) <= 3 else "matrix"
    return (
        f'<table class="{kind}"><thead><tr><th class="soft">true ↓ predicted →</th>{head}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _table_cell(number: int, fraction: float, color: str) -> str:
    if not number:
        return '<td class="none">·</td>'
    tint = f"color-mix(in srgb,var(--{color}) {15 + 60 * math.sqrt(fraction):.0f}%,var(--card))"
    return f'<td style="background:{tint}">{number}</td>'


def confusion_map(confusion: np.ndarray, classes: Sequence[str]) -> str:
    """Return an SVG of a (K, K) matrix of counts, each row normalized by its sum."""
    # 1. Choose the labels and the sizes
    num = len(classes)
    labels = [shorten(name, MAX_MAP_NAME) for name in classes]
    size = num * CELL_UNITS
    font = 8.5
    edge = font * (0.62 * max(map(len, labels)) + 1)

    # 2. Draw the cells as one image, then the frame and the labels
    uri = png_uri(Image.fromarray(_map_pixels(confusion)))
    box = f"0 0 {size + edge:.0f} {size + edge:.0f}"
    width = f"min-width:{min(size + 80, 1050)}px;max-width:{2 * size}px"
    place = f'x="{edge:.1f}" y="{edge:.1f}" width="{size}" height="{size}"'
    parts = [
        f'<svg class="map" viewBox="{box}" style="{width}" role="img" '
        f'aria-label="Confusion matrix of {num} classes"><g font-size="{font:.1f}">',
        f'<rect class="frame" {place}/>',
        f'<image href="{uri}" {place}/>',
    ]
    for number in range(10, num, 10):  # every tenth, to follow a row or a column
        at = edge + number * CELL_UNITS
        parts.append(
            f'<path class="frame" d="M{edge:.1f} {at:.1f}h{size}M{at:.1f} {edge:.1f}v{size}"/>'
        )
    for number, label in enumerate(labels):
        parts.append(_map_label(escape(label), edge, edge + (number + 0.5) * CELL_UNITS, font))
    return "".join([*parts, "</g></svg>"])


def _map_pixels(confusion: np.ndarray) -> np.ndarray:
    """Return (K, K, 4) RGBA: opacity is the root of a row's fractions, so that small ones show."""
    fractions = np.sqrt(confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1))
    pixels = np.empty((*confusion.shape, 4), np.uint8)
    pixels[..., :3] = MAP_COLOUR
    pixels[..., 3] = np.round(255 * fractions)
    return pixels


def _map_label(label: str, edge: float, at: float, font: float) -> str:
    """Return the label of a row and of the column of the same number."""
    near = edge - font / 3
    middle = at + font / 3
    return (
        f'<text x="{near:.1f}" y="{middle:.1f}" text-anchor="end">{label}</text>'
        f'<text transform="translate({middle:.1f} {near:.1f}) rotate(-90)">{label}</text>'
    )
