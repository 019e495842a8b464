"""Print the size and the mean of the feature maps of images."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from spectralvision.export.standalone.prepare_image import (
    name_outputs,
    open_image,
    prepare,
    read_config,
)


def main(load: Callable[..., Callable[[np.ndarray], list[np.ndarray]]]) -> None:
    parser = argparse.ArgumentParser(
        description="Compute the feature maps of images; --out writes them as NumPy files."
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--out", metavar="DIR", help="folder for IMAGE.npz")
    parser.add_argument("--threads", type=int, help="number of CPU threads")
    options = parser.parse_args()
    folder = Path(__file__).resolve().parent
    config = read_config(folder)
    outputs: Sequence[Path | None] = [None] * len(options.images)
    if options.out:
        try:
            outputs = name_outputs(options.images, Path(options.out), ".npz")
        except ValueError as error:
            parser.error(str(error))
    run = load(folder, options.threads)
    for path, output in zip(options.images, outputs, strict=True):
        pixels, _ = prepare(open_image(path), config)
        maps = dict(zip(config["outputs"], run(pixels[None]), strict=True))
        for name, values in maps.items():
            print(f"{path}\t{name}\t{values.shape}\t{values.mean():.4f}")
        if output is not None:
            np.savez(output, **maps)
