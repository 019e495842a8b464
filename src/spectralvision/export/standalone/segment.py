"""Write the class of each pixel of images."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spectralvision.export.standalone.prepare_image import open_image, prepare, read_config


def segment(
    run: Callable[[np.ndarray], list[np.ndarray]], config: dict[str, Any], image: Image.Image
) -> np.ndarray:
    """Return the (H, W) class numbers of an image's pixels."""
    pixels, (height, width) = prepare(image, config)
    scores = run(pixels[None])[0][0][:, :height, :width]
    maps = [Image.fromarray(one).resize(image.size, Image.Resampling.BILINEAR) for one in scores]
    found: np.ndarray = np.stack([np.asarray(one) for one in maps]).argmax(axis=0)
    return found


def main(load: Callable[..., Callable[[np.ndarray], list[np.ndarray]]]) -> None:
    parser = argparse.ArgumentParser(
        description="Write a mask for each image, and print the fractions of the classes."
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--out", default="masks", metavar="DIR", help="folder for IMAGE.png")
    parser.add_argument("--threads", type=int, help="number of CPU threads")
    options = parser.parse_args()
    folder = Path(__file__).resolve().parent
    config = read_config(folder)
    run = load(folder, options.threads)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    for path in options.images:
        classes = segment(run, config, open_image(path))
        mask = Image.fromarray(np.array(config["mask_values"], np.uint16)[classes])
        mask.save(out / f"{Path(path).stem}.png")
        counts = np.bincount(classes.ravel(), minlength=len(config["labels"]))
        for index in np.argsort(-counts, kind="stable"):
            if counts[index]:
                fraction = counts[index] / classes.size
                print(f"{path}\t{config['labels'][index]}\t{fraction:.4f}")
