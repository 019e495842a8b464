"""Train affnet_et on Tiny ImageNet with and without a teacher, with the same budget.

Command: `python benchmarks/tiny_imagenet.py TINYIMAGENET RUNS [--only NAME ...]`

TINYIMAGENET has train and val as parquet shards; RUNS has the teacher of `teacher.py`. Three ways:

    maps    soft distillation from the teacher's map, cut to each view (`--teacher-cache`)
    pooled  the same with one fixed answer an image: the mean over the teacher's map
    labels  the labels alone

and then

    larger  the run with maps, trained on with larger images and the same teacher

NAME is one of them and a seed, such as maps-0. Writes benchmarks/results/tiny_imagenet.json after
each run; finished runs are not repeated, interrupted ones are resumed.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from provenance import provenance
from safetensors.torch import load_file
from training_runs import ALONE, KEEP_MEMORY, command, in_pairs, read_run, train

from spectralvision.runs import read_json, write_json
from spectralvision.tasks.classification.token_labels.storage import (
    LabelMap,
    read_index,
    shard_path,
    write_shard,
)
from spectralvision.tasks.classification.token_labels.targets import scatter_to_classes

OUT = Path(__file__).parent / "results/tiny_imagenet.json"
WAYS = ("maps", "labels", "pooled", "larger")
SEEDS = (0, 1)
FIELDS = {
    "model": "affnet_et",
    "pretrained": "none",
    "input-size": 64,
    "epochs": 18,
    "batch-size": 128,
    "lr": 4e-3,
    "auto-augment": "none",
    "color-jitter": 0,
    "min-scale": 0.35,
    "ema": 0.999,
    "workers": 0,
}
LARGER: dict[str, Any] = {"input-size": 128, "epochs": 10, "lr": 2e-3, "threads": 2}
"""In place of these."""
POOLED_CLASSES = 20
"""Kept of the mean over 16 positions with 5 classes each."""
DISTILLATION = {"distillation-weight": 0.8}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tinyimagenet")
    parser.add_argument("runs", type=Path)
    names = [f"{way}-{seed}" for seed in SEEDS for way in WAYS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    options = parser.parse_args()
    results = read_json(OUT) if OUT.is_file() else {"runs": {}}
    results |= {"fields": FIELDS, "larger": LARGER, "distillation": DISTILLATION}

    # 1. The teacher's predictions
    teacher = options.runs / "teacher"
    if any(not name.startswith("labels") for name in options.only):
        results["labelling"] = write_maps(teacher, options.tinyimagenet, options.runs)

    # 2. The students, two at a time on one core each; the larger images alone
    def run(name: str, environment: Mapping[str, str] = ALONE) -> Path:
        way, _, seed = name.partition("-")
        fields: dict[str, Any] = {"data": options.tinyimagenet, "seed": int(seed), **FIELDS}
        if way != "labels":
            cache = options.runs / ("pooled" if way == "pooled" else "maps")
            fields |= {"teacher": teacher, "teacher-cache": cache, **DISTILLATION}
        if way == "larger":
            fields |= {"model": options.runs / f"maps-{seed}", **LARGER}
        return train(options.runs / name, environment=environment, **fields)

    def keep(name: str, folder: Path, threads: int) -> None:
        made = provenance() | {"threads": threads}
        results["runs"][name] = {"provenance": made, **read_run(folder)}
        write_json(OUT, results)

    larger = [name for name in options.only if name.startswith("larger")]
    small = [name for name in options.only if name not in larger]
    for name, folder in zip(small, in_pairs(run, small), strict=True):
        keep(name, folder, 1)
    for name in larger:
        keep(name, run(name, KEEP_MEMORY), LARGER["threads"])


def write_maps(teacher: Path, data: str, runs: Path) -> dict[str, Any]:
    """Write the maps of the training images and their means; return what was said of them."""
    maps, said = runs / "maps", runs / "maps.json"
    if not said.is_file():
        words = ("--teacher", teacher, "--data", data, "--out", maps, "--json")
        result = json.loads(command("token-labels", *words))
        write_json(said, {key: result[key] for key in ("shape", "labeled", "agreement", "seconds")})
    pool_maps(maps, runs / "pooled")
    return dict(read_json(said))


def pool_maps(maps: Path, out: Path) -> None:
    """Write the mean over each map as a map with one position."""
    index = read_index(maps)
    classes = len(index.classes)
    pooled = replace(index, shape=[POOLED_CLASSES, 1, 1])
    if (out / "label_maps.json").is_file():
        return
    out.mkdir(parents=True)
    for number in range(index.num_shards()):
        shard = LabelMap(**load_file(shard_path(maps, number)))
        mean = scatter_to_classes(shard.values, shard.indices, classes).mean(dim=(2, 3))
        best = mean.topk(POOLED_CLASSES, dim=1)
        values, indices = (one[:, :, None, None] for one in (best.values, best.indices))
        write_shard(out, pooled, number, LabelMap(values.half(), indices.to(torch.int16)))
    pooled.write(out)


if __name__ == "__main__":
    main()
