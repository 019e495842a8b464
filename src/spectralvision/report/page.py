"""Build the HTML page of a report from cards and sections; knows no task and no run.

The page is one file without scripts and without links to anything outside of it. Text arguments are
escaped here. Arguments named `html` or ending in `_html` and the cells of tables are HTML already:
the caller escapes what comes from data with `escape` or `short_name`.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from spectralvision.report.text import MAX_NAME, escape, shorten

MAX_LISTED_CLASSES = 20  # at both ends of a table
MAX_LEGEND_CLASSES = 40
MAX_VALUE = 300  # characters of a setting
HASH = re.compile("[0-9a-f]{16,}")


@dataclass(frozen=True)
class Card:
    """A number at the top of the page, with what it means below; the main one is larger."""

    value: str
    caption: str
    main: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page: anchor, heading and HTML. An empty heading draws none."""

    id: str
    title: str
    html: str


def render_page(
    title: str, subtitle: str, cards: Sequence[Card], sections: Sequence[Section]
) -> str:
    """Return the whole HTML document."""
    style = files("spectralvision.report").joinpath("report.css").read_text(encoding="utf-8")
    written = time.strftime("%Y-%m-%d %H:%M")
    about = f"{subtitle} · written {written}" if subtitle else f"Written {written}"
    body = [
        f'<header><h1>{escape(title)}</h1><p class="soft">{escape(about)}</p></header>',
        f'<div class="cards">{"".join(map(_card, cards))}</div>' if cards else "",
        *map(_section, sections),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def _card(card: Card) -> str:
    kind = "card main" if card.main else "card"
    caption = f"<span>{escape(card.caption)}</span>"
    return f'<div class="{kind}"><b>{escape(card.value)}</b>{caption}</div>'


def _section(section: Section) -> str:
    heading = f"<h2>{escape(section.title)}</h2>\n" if section.title else ""
    return f'<section id="{escape(section.id)}">{heading}{section.html}</section>'


def short_name(text: str, limit: int = MAX_NAME) -> str:
    """Return a name, shortened, with the whole of it as a tooltip."""
    return f'<span title="{escape(text)}">{escape(shorten(text, limit))}</span>'


def legend(classes: Sequence[str], colors: Iterable[Sequence[int]]) -> str:
    """Return a line with the color of each class: red, green and blue from 0 to 255."""
    marks = []
    for name, color in zip(classes[:MAX_LEGEND_CLASSES], colors, strict=False):
        square = f'<span style="color:rgb({",".join(map(str, color))})">&#9632;</span>'
        marks.append(f"{square}&nbsp;{escape(shorten(name, 24))}")
    rest = len(classes) - MAX_LEGEND_CLASSES
    text = " &ensp;".join(marks) + (f" and {rest} more" if rest > 0 else "")
    return f'<p class="soft">{text}</p>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[int] = ()) -> str:
    """Return a table that scrolls sideways on narrow screens.

    Args:
        head: Cells of the header as HTML; none: no header.
        rows: Cells as HTML.
        numeric: Columns aligned to the right.
    """
    right = set(numeric)

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = ["n" if column in right else "long" for column in range(len(row))]
        return "".join(
            f'<{tag} class="{kind}">{cell}</{tag}>' for kind, cell in zip(kinds, row, strict=True)
        )

    top = f"<thead><tr>{cells('th', head)}</tr></thead>" if head else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def ranked_classes(order: Sequence[int], build: Callable[[Iterable[int]], str], metric: str) -> str:
    """Return a table of classes, or of the best and the worst where there are many.

    Args:
        order: The classes, best first.
        build: Returns a table of some of them.
        metric: By which they are ordered.
    """
    if len(order) <= 2 * MAX_LISTED_CLASSES:
        return build(order)
    worst, best = build(order[::-1][:MAX_LISTED_CLASSES]), build(order[:MAX_LISTED_CLASSES])
    html = f"<h3>Lowest {metric}</h3>{worst}\n<h3>Highest {metric}</h3>{best}\n"
    return html + details(f"All {len(order)} classes, by {metric}", build(order))


def facts_table(values: Mapping[str, Any], hidden: Iterable[str] = ()) -> str:
    """Return a table of names and values without the `hidden` names and without hashes.

    Nested mappings become `outer.inner`; None and empty lists become `none`.
    """
    flat = _flatten(values, set(hidden))
    rows = [[escape(key), escape(value)] for key, value in flat.items()]
    return table([], rows) if rows else ""


def _flatten(values: Mapping[str, Any], hidden: set[str], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if key in hidden or (isinstance(value, str) and HASH.fullmatch(value)):
            continue
        if isinstance(value, Mapping):
            flat |= _flatten(value, hidden, f"{prefix}{key}.")
        else:
            text = "none" if value is None or value == [] else str(value)
            flat[f"{prefix}{key}"] = shorten(text, MAX_VALUE)
    return flat


def columns(blocks: Mapping[str, str], kind: str) -> str:
    """Return blocks of HTML with their headings, side by side where the screen is wide enough.

    `kind` is "charts", up to three in a row, or "facts", tables that fill two columns.
    """
    parts = [f"<div><h3>{escape(title)}</h3>{html}</div>" for title, html in blocks.items() if html]
    return f'<div class="{kind}">{"".join(parts)}</div>' if parts else ""


def bar(fraction: float, low: float, high: float) -> str:
    """Return a horizontal bar of a fraction, with its interval as a thin line."""
    interval = f"left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"
    return (
        f'<span class="bar"><i style="width:{100 * fraction:.1f}%"></i>'
        f'<u style="{interval}"></u></span>'
    )


def image(uri: str, alt: str) -> str:
    """Return an image; PNG thumbnails are small and are enlarged without smoothing."""
    tiny = ' class="tiny"' if uri.startswith("data:image/png") else ""
    return f'<img{tiny} src="{escape(uri)}" alt="{escape(alt)}">'


def figure(images: Sequence[str], caption_html: str) -> str:
    """Return images side by side with one caption."""
    pictures = "".join(images)
    if len(images) > 1:
        pictures = f'<div class="row">{pictures}</div>'
    return f"<figure>{pictures}<figcaption>{caption_html}</figcaption></figure>"


def tiles(figures: Sequence[str], wide: bool = False) -> str:
    """Return figures as a grid that fills the width."""
    return f'<div class="{"tiles wide" if wide else "tiles"}">{"".join(figures)}</div>'


def picture_rows(rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return pictures side by side for each (name, URIs)."""
    figures = [
        figure([image(uri, name) for uri in uris], short_name(name, 60)) for name, uris in rows
    ]
    return tiles(figures, wide=True)


def note(text: str) -> str:
    """Return a paragraph of explanation."""
    return f'<p class="soft">{escape(text)}</p>\n'


def details(summary: str, html: str) -> str:
    """Return a block that opens on a click."""
    return f"<details><summary>{escape(summary)}</summary>{html}</details>"
