"""Write the class of each pixel of images."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spectralvision.export.standalone.prepare_image import (
    name_outputs,
    open_image,
    prepare,
    read_config,
)


def segment(
    run: Callable[[np.ndarray], list[np.ndarray]], config: dict[str, Any], image: Image.Image
) -> np.ndarray:
    """Return the (H, W) class numbers of an image's pixels."""
    pixels, (height, width) = prepare(image, config)
    scores = run(pixels[None])[0][0][:, :height, :width]
    best = np.full((image.height, image.width), -np.inf, np.float32)
    classes = np.zeros((image.height, image.width), np.int64)
    for index, one in enumerate(scores):  # one at a time: all of them may not fit into memory
        resized = np.asarray(Image.fromarray(one).resize(image.size, Image.Resampling.BILINEAR))
        better = resized > best
        best[better], classes[better] = resized[better], index
    return classes


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
    try:
        outputs = name_outputs(options.images, Path(options.out), ".png")
    except ValueError as error:
        parser.error(str(error))
    run = load(folder, options.threads)
    for path, output in zip(options.images, outputs, strict=True):
        classes = segment(run, config, open_image(path))
        mask = Image.fromarray(np.array(config["mask_values"], np.uint16)[classes])
        mask.save(output)
        counts = np.bincount(classes.ravel(), minlength=len(config["labels"]))
        for index in np.argsort(-counts, kind="stable"):
            if counts[index]:
                fraction = counts[index] / classes.size
                print(f"{path}\t{config['labels'][index]}\t{fraction:.4f}")
