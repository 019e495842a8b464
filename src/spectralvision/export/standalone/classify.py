"""Print the most probable classes of images."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spectralvision.export.standalone.prepare_image import open_image, prepare, read_config


def classify(
    run: Callable[[np.ndarray], list[np.ndarray]], config: dict[str, Any], path: Any
) -> np.ndarray:
    """Return the (K,) probabilities of the classes of an image."""
    pixels, _ = prepare(open_image(path), config)
    scores = run(pixels[None])[0][0].astype(np.float64)
    if config["output"] == "probabilities":
        return scores
    exponents = np.exp(scores - scores.max())
    found: np.ndarray = exponents / exponents.sum()
    return found


def main(load: Callable[..., Callable[[np.ndarray], list[np.ndarray]]]) -> None:
    parser = argparse.ArgumentParser(description="Classify images.")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--top-k", type=int, default=5, help="number of classes to print")
    parser.add_argument("--threads", type=int, help="number of CPU threads")
    options = parser.parse_args()
    folder = Path(__file__).resolve().parent
    config = read_config(folder)
    run = load(folder, options.threads)
    for path in options.images:
        probabilities = classify(run, config, path)
        for index in np.argsort(-probabilities, kind="stable")[: options.top_k]:
            print(f"{path}\t{config['labels'][index]}\t{probabilities[index]:.4f}")
