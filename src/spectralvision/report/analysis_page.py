"""Write the pictures of an analysis: PNG files, and one HTML page with all of them inside."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectralvision.report.page import Card, Section, note, render_page
from spectralvision.report.text import escape
from spectralvision.runs import atomic_write, write_json, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
PAGE, NUMBERS = "analysis.html", "analysis.json"


@dataclass(frozen=True)
class Picture:
    """A figure with the name of its file and what is to be seen on it."""

    name: str
    title: str
    figure: "Figure"
    caption: str


@dataclass(frozen=True)
class Chapter:
    """A part of the page: what it is about, tables as HTML, pictures, and the numbers as JSON.

    Numbers that are not finite become None, since JSON has neither NaN nor infinity.
    """

    id: str
    title: str
    text: str
    pictures: Sequence[Picture] = ()
    html: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", _finite(self.numbers))


def write_analysis(
    folder: Path, title: str, subtitle: str, cards: Sequence[Card], chapters: Sequence[Chapter]
) -> list[str]:
    """Write analysis.html, analysis.json and a PNG for each picture; return the files' names."""
    names = write_pages(folder, PAGE, title, subtitle, cards, chapters)
    write_json(folder / NUMBERS, {chapter.id: chapter.numbers for chapter in chapters})
    return [*names, NUMBERS]


def write_pages(
    folder: Path,
    page: str,
    title: str,
    subtitle: str,
    cards: Sequence[Card],
    chapters: Sequence[Chapter],
) -> list[str]:
    """Write an HTML page with all pictures inside, and each as a PNG; return the files' names."""
    sections, names = [], [page]
    for chapter in chapters:
        figures = []
        for picture in chapter.pictures:
            png = _render(picture.figure)
            with atomic_write(folder / f"{picture.name}.png") as path:
                path.write_bytes(png)
            names.append(f"{picture.name}.png")
            figures.append(_figure(picture, png))
        text = note(chapter.text) if chapter.text else ""
        html = text + chapter.html + "\n".join(figures)
        sections.append(Section(chapter.id, chapter.title, html))
    write_text(folder / page, render_page(title, subtitle, cards, sections))
    return names


def _finite(value: Any) -> Any:
    """Return lists and dictionaries of numbers with None for those that are not finite."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _render(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _figure(picture: Picture, png: bytes) -> str:
    """Return the picture in its own proportions, with its title above and the caption below."""
    uri = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    width = round(picture.figure.get_figwidth() * DPI)
    return (
        f'<figure class="plot"><h3>{escape(picture.title)}</h3><div class="scroll">'
        f'<img src="{uri}" alt="{escape(picture.title)}" width="{width}"></div>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )
