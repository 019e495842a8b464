"""Draw docs/images/ship.png, which `make quickstart` classifies with `affnet_et.cifar10`."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE_PIXELS = 256
HORIZON_PIXELS = 150  # below the top


def main() -> None:
    # 1. Sky, sea and noise
    rows = np.linspace(0, 1, SIDE_PIXELS)[:, None]
    sky = (1 - rows) * (120, 165, 215) + rows * (235, 240, 245)
    sea = (1 - rows) * (95, 135, 165) + rows * (25, 60, 95)
    column = np.where(np.arange(SIDE_PIXELS)[:, None] < HORIZON_PIXELS, sky, sea)
    noise = np.random.default_rng(0).normal(0, 5, (SIDE_PIXELS, SIDE_PIXELS, 1))
    image = Image.fromarray((column[:, None] + noise).clip(0, 255).astype("uint8"))

    # 2. The ship, bottom to top
    draw = ImageDraw.Draw(image)
    draw.polygon([(28, 142), (232, 136), (212, 176), (50, 176)], fill=(45, 50, 60))  # hull
    draw.polygon([(40, 168), (216, 168), (212, 176), (50, 176)], fill=(140, 45, 40))
    draw.rectangle((70, 112, 178, 141), fill=(235, 235, 230))  # decks
    draw.rectangle((88, 92, 158, 112), fill=(225, 225, 220))
    for left in range(78, 172, 14):
        draw.rectangle((left, 121, left + 6, 128), fill=(60, 75, 95))
    draw.rectangle((112, 62, 130, 92), fill=(170, 60, 45))  # funnel
    draw.rectangle((112, 62, 130, 70), fill=(35, 35, 40))
    draw.line((190, 138, 190, 70), fill=(60, 60, 65), width=3)  # mast

    # 3. Soften the edges
    image.filter(ImageFilter.GaussianBlur(1)).save(
        Path(__file__).with_suffix(".png"), optimize=True
    )


if __name__ == "__main__":
    main()
