"""Train affnet_et on other images from scratch and from the weights in the package.

Command: `python benchmarks/transfer.py RUNS [--flowers12 FOLDER] [--cifar10 FOLDER]
[--emoji PACKAGE] [--lite2 RUN]`

flowers12       train and test, 128 px
cifar10         train and test as parquet shards, 64 px: a tenth of its training images, and all
emoji           the unpacked npm package emoji-datasource-google: its 64 px pictures in nine
                categories, a quarter of them for testing
lite2           run folder of EfficientNet-Lite2 with ImageNet weights, as `teacher.py` writes it

1. Starts: on each set, with the settings that `train` chooses by itself from scratch, the same
   epochs for each start and two seeds. The best epoch is chosen on a held-out tenth; the test
   images are used once, for that epoch.
2. Settings for fine-tuning, on flowers12: learning rates and layer decays with the settings of
   `finetune`, from weights of the package and, as a control, from strong ones (lite2). They are
   judged by the best epoch on the held-out tenth.

Two runs are trained at a time, on one core each. Writes benchmarks/results/transfer.json after each
pair. RUNS keeps the run folders: finished runs are not repeated, interrupted ones are resumed.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pyarrow.parquet
from provenance import provenance
from training_runs import ALONE, evaluate, in_pairs, read_run, train

from spectralvision.runs import read_json, write_json

OUT = Path(__file__).parent / "results/transfer.json"
SEEDS = (0, 1)
STARTS = {
    "scratch": "none",
    "cifar10": "cifar10",
    "tiny_imagenet": "tiny_imagenet",
}
"""Of affnet_et, and the value of --pretrained."""
SETS: dict[str, dict[str, Any]] = {
    "flowers12": {"input-size": 128, "epochs": 40},
    "cifar10-tenth": {"input-size": 64, "epochs": 20},
    "cifar10": {"input-size": 64, "epochs": 4},
    "emoji": {"input-size": 64, "epochs": 40},
}
LEFT_OUT = {("cifar10-tenth", "cifar10"), ("cifar10", "cifar10")}
"""Sets and starts where the weights have seen the images."""
FIELDS = {"val-fraction": 0.1, "workers": 0}
GRID = list(product((5e-4, 1e-3, 2e-3), (0.75, 0.9, 1.0)))
"""Learning rates for a batch of 64 images, and layer decays."""
CONTROL = list(product((5e-4, 2e-3), (0.75, 1.0)))
"""Those of them that strong weights are tried with."""
GRID_EPOCHS = 15
TEST_FRACTION = 0.25


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--flowers12")
    parser.add_argument("--cifar10", type=Path)
    parser.add_argument("--emoji", type=Path)
    parser.add_argument("--lite2", type=Path)
    options = parser.parse_args()
    results = read_json(OUT) if OUT.is_file() else {"starts": {}, "settings": {}}
    results |= {"fields": FIELDS, "sets": SETS}
    options.runs.mkdir(parents=True, exist_ok=True)

    # 1. Starts
    folders: dict[str, str | Path] = {}
    if options.flowers12:
        folders["flowers12"] = options.flowers12
    if options.cifar10:
        folders["cifar10-tenth"] = write_tenth(options.cifar10, options.runs / "cifar10-tenth")
        folders["cifar10"] = options.cifar10
    if options.emoji:
        folders["emoji"] = write_emoji(options.emoji, options.runs / "emoji")
    for name, folder in folders.items():
        compare_starts(name, folder, options.runs, results)

    # 2. Settings for fine-tuning
    if options.flowers12:
        search_settings("affnet_et.tiny_imagenet", GRID, options.flowers12, options.runs, results)
        if options.lite2:
            search_settings(str(options.lite2), CONTROL, options.flowers12, options.runs, results)


def compare_starts(name: str, data: str | Path, runs: Path, results: dict[str, Any]) -> None:
    """Train each start on a set with each seed."""
    for start, pretrained in STARTS.items():
        if (name, start) in LEFT_OUT:
            continue

        def run(seed: int, start: str = start, pretrained: str = pretrained) -> dict[str, Any]:
            fields = {"data": data, "seed": seed, "pretrained": pretrained, **FIELDS, **SETS[name]}
            folder = runs / f"{name}-{start}-{seed}"
            train(folder, environment=ALONE, model="affnet_et", **fields)
            test = evaluate(folder, str(data), environment=ALONE)
            return {**read_run(folder), "test_top1": test["top1"]}

        found = list(in_pairs(run, SEEDS))
        tests = [one["test_top1"] for one in found]
        results["starts"].setdefault(name, {})[start] = {
            "provenance": provenance() | {"threads": 1},
            "test_top1": mean(tests),
            "spread": max(tests) - min(tests),
            "runs": found,
        }
        write_json(OUT, results)


def search_settings(
    model: str, grid: Sequence[Any], data: str, runs: Path, results: dict[str, Any]
) -> None:
    """Fine-tune a model with each learning rate and each layer decay."""
    name = Path(model).name

    def run(settings: tuple[float, float]) -> dict[str, Any]:
        rate, decay = settings
        folder = train(
            runs / f"flowers12-{name}-{rate:g}-{decay:g}", environment=ALONE, recipe="finetune",
            model=model, data=data, epochs=GRID_EPOCHS, lr=rate, seed=0,
            **{"layer-decay": decay, "input-size": 128, "batch-size": 64, **FIELDS},
        )  # fmt: skip
        return {"lr": rate, "layer_decay": decay, **read_run(folder)}

    results["settings"][name] = {
        "provenance": provenance() | {"threads": 1},
        "runs": list(in_pairs(run, grid)),
    }
    write_json(OUT, results)


def write_tenth(cifar10: Path, folder: Path) -> Path:
    """Write a folder with the first tenth of the training images, and all test images."""
    folder.mkdir(exist_ok=True)
    for split, part in (("train", 10), ("test", 1)):
        file = folder / f"{split}.parquet"
        if not file.is_file():
            table = pyarrow.parquet.read_table(cifar10 / f"{split}.parquet")
            pyarrow.parquet.write_table(table.slice(0, len(table) // part), file)
    return folder


def write_emoji(package: Path, folder: Path) -> Path:
    """Write a folder with train and test from the pictures of the package, by category."""
    if folder.is_dir():
        return folder
    emoji = [
        one
        for one in json.loads((package / "emoji.json").read_text())
        if one["category"] != "Component" and one["has_img_google"]
    ]
    is_test = np.random.default_rng(0).random(len(emoji)) < TEST_FRACTION
    partial = folder.with_name(f"{folder.name}.partial")
    for one, test in zip(emoji, is_test, strict=True):
        category = partial / ("test" if test else "train") / one["category"]
        category.mkdir(parents=True, exist_ok=True)
        shutil.copy(package / "img/google/64" / one["image"], category)
    partial.rename(folder)
    return folder


if __name__ == "__main__":
    main()
