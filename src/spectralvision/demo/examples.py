"""Draw pictures to try a model with, where no images are at hand."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 256


def write_examples(folder: Path) -> list[Path]:
    """Write the pictures as PNG; return their paths."""
    found = []
    for name, image in (
        ("ship", _ship()),
        ("flower", _flower()),
        ("zone-plate", _zone_plate()),
    ):
        path = folder / f"{name}.png"
        image.save(path)
        found.append(path)
    return found


def _sky_over(ground: tuple[int, int, int], horizon: int, seed: int) -> Image.Image:
    """Return a sky above a ground, with a little noise."""
    rows = np.linspace(0, 1, SIDE)[:, None]
    sky = (1 - rows) * (110, 160, 215) + rows * (235, 240, 245)
    below = (1 - rows) * (np.array(ground) + 45) + rows * np.array(ground)
    column = np.where(np.arange(SIDE)[:, None] < horizon, sky, below)
    noise = np.random.default_rng(seed).normal(0, 5, (SIDE, SIDE, 1))
    return Image.fromarray((column[:, None] + noise).clip(0, 255).astype("uint8"))


def _ship() -> Image.Image:
    image = _sky_over((25, 60, 95), 150, seed=0)
    draw = ImageDraw.Draw(image)
    draw.polygon([(28, 142), (232, 136), (212, 176), (50, 176)], fill=(45, 50, 60))
    draw.polygon([(40, 168), (216, 168), (212, 176), (50, 176)], fill=(140, 45, 40))
    draw.rectangle((70, 112, 178, 141), fill=(235, 235, 230))
    draw.rectangle((88, 92, 158, 112), fill=(225, 225, 220))
    draw.rectangle((112, 62, 130, 92), fill=(170, 60, 45))
    return image.filter(ImageFilter.GaussianBlur(1))


def _flower() -> Image.Image:
    image = _sky_over((35, 95, 40), 90, seed=1)
    draw = ImageDraw.Draw(image)
    draw.line((128, 120, 134, 256), fill=(50, 120, 45), width=7)
    for turn in np.linspace(0, 2 * np.pi, 14, endpoint=False):
        x, y = 128 + 52 * np.cos(turn), 112 + 52 * np.sin(turn)
        draw.ellipse(
            (x - 26, y - 26, x + 26, y + 26), fill=(250, 248, 240), outline=(215, 210, 200)
        )
    draw.ellipse((96, 80, 160, 144), fill=(240, 190, 40))
    return image.filter(ImageFilter.GaussianBlur(1))


def _zone_plate() -> Image.Image:
    """Return rings whose frequency grows from 0 in the middle to the highest at the edges."""
    place = np.arange(SIDE) - SIDE / 2
    phase = np.pi * (place[:, None] ** 2 + place[None] ** 2) / SIDE
    return Image.fromarray((127.5 * (1 + np.cos(phase))).astype("uint8")).convert("RGB")
