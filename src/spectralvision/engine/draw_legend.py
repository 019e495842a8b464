"""Text on pictures: a font with the letters of most languages, and legends of classes."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from spectralvision.runs import printable

MAX_NAME_CHARACTERS = 30
TEXT_PIXELS = 14
PADDING = 6


def font_file() -> str:
    """Return the path of a font with the letters of most languages: that of matplotlib."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


def shorten_name(name: str) -> str:
    """Return a class name that fits into a picture."""
    text = printable(name)
    return text if len(text) <= MAX_NAME_CHARACTERS else text[: MAX_NAME_CHARACTERS - 1] + "…"


def add_legend(
    image: Image.Image, entries: Sequence[tuple[str, tuple[int, int, int]]]
) -> Image.Image:
    """Return an RGB image with a legend below: names in their colors, in as many lines as needed.

    Args:
        image: RGB.
        entries: Names with red, green and blue from 0 to 255.
    """
    font = ImageFont.truetype(font_file(), TEXT_PIXELS)
    line = TEXT_PIXELS + PADDING
    places: list[tuple[int, int]] = []
    left = top = PADDING
    for name, _ in entries:
        width = line + round(font.getlength(shorten_name(name))) + 2 * PADDING
        if left > PADDING and left + width > image.width:
            left, top = PADDING, top + line
        places.append((left, top))
        left += width
    if not entries:
        return image
    page = Image.new("RGB", (image.width, image.height + top + line), "white")
    page.paste(image, (0, 0))
    draw = ImageDraw.Draw(page)
    for (name, color), (x, y) in zip(entries, places, strict=True):
        y += image.height
        draw.rectangle((x, y, x + TEXT_PIXELS, y + TEXT_PIXELS), fill=color, outline="black")
        draw.text((x + line, y - 1), shorten_name(name), fill="black", font=font)
    return page
