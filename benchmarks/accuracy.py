"""Compare the accuracy of models by rules that are the same for all of them.

python benchmarks/accuracy.py CIFAR10 RUNS [--flowers12 FOLDER]

Writes benchmarks/results/accuracy.json.

CIFAR10 has train and test as parquet shards. All models have the same input size, epochs, batch
size, augmentation and regularization. The learning rate of each model is the best of three on a
held-out tenth after a short training. The model is then trained once per seed, the best epoch is
chosen on the held-out tenth, and the test set is used once, for that epoch.
FOLDER (train and test): affnet_et is trained from the weights of the first of these runs and from
scratch, with the same settings.

Two runs are trained at a time, on one core each. RUNS keeps the run folders: finished runs are not
repeated, interrupted ones are resumed.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

from provenance import provenance

from spectralvision.runs import read_json, write_json

OUT = Path(__file__).parent / "results/accuracy.json"
MODELS = ("affnet_et", "mobilevit_xxs")
RATES = (1e-3, 2e-3, 4e-3)
SEEDS = (0, 1)
SEARCH_EPOCHS, EPOCHS, FLOWERS_EPOCHS = 1, 9, 40
FIELDS = {
    "input-size": 64,
    "batch-size": 64,
    "val-fraction": 0.1,
    "auto-augment": "none",
    "color-jitter": 0,
    "min-scale": 0.5,
    "label-smoothing": 0.1,
    "weight-decay": 0.05,
    "workers": 0,
}
COLUMNS = ("epoch", "train_loss", "train_top1", "val_top1", "images_per_second")
ALONE = os.environ | {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}


def command(*words: object) -> str:
    """Return what a command prints."""
    line = [sys.executable, "-m", "spectralvision.cli", *map(str, words)]
    done = subprocess.run(line, env=ALONE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def train(run: Path, **fields: object) -> Path:
    """Train a run, or resume it; return its folder."""
    if not (run / "run.json").is_file():
        words = [f"--{name.replace('_', '-')}={value}" for name, value in fields.items()]
        command("train", "--out", run, *words)
    elif read_json(run / "run.json")["status"] != "finished":
        command("train", "--resume", run)
    print(
        f"{run.name}: {100 * read_json(run / 'run.json')['results']['val_top1']:.1f} % val",
        flush=True,
    )
    return run


def evaluate(run: Path, data: str) -> dict[str, Any]:
    """Return the metrics of a run. The test set is used once; its result is kept in the folder."""
    if not (run / "test.json").is_file():
        words = ("--model", run, "--data", data, "--split", "test", "--workers", 0, "--json")
        write_json(run / "test.json", json.loads(command("evaluate", *words)))
    record, test = read_json(run / "run.json"), read_json(run / "test.json")
    with (run / "metrics.csv").open() as lines:
        curve = [{name: float(row[name]) for name in COLUMNS} for row in csv.DictReader(lines)]
    return {
        "seed": record["config"]["seed"],
        "test_top1": test["top1"],
        "val_top1": record["results"]["val_top1"],
        "minutes": round(record["results"]["seconds"] / 60, 1),
        "curve": curve,
    }


def search_rates(pool: ThreadPoolExecutor, data: str, runs: Path) -> dict[str, dict[float, float]]:
    """Return val top-1 of each model at each learning rate."""
    jobs = {
        (model, rate): pool.submit(
            train, runs / f"search-{model}-{rate}",
            data=data, model=model, lr=rate, epochs=SEARCH_EPOCHS, seed=0, **FIELDS,
        )
        for model in MODELS for rate in RATES
    }  # fmt: skip
    scores = {
        key: read_json(job.result() / "run.json")["results"]["val_top1"]
        for key, job in jobs.items()
    }
    return {model: {rate: scores[model, rate] for rate in RATES} for model in MODELS}


def train_on_cifar10(pool: ThreadPoolExecutor, data: str, runs: Path) -> list[dict[str, Any]]:
    """Train each model at its best learning rate."""
    search = search_rates(pool, data, runs)
    best = {model: max(rates, key=rates.__getitem__) for model, rates in search.items()}
    jobs = {
        model: [
            pool.submit(
                train, runs / f"cifar10-{model}-{seed}",
                data=data, model=model, lr=best[model], epochs=EPOCHS, seed=seed, **FIELDS,
            )
            for seed in SEEDS
        ]
        for model in MODELS
    }  # fmt: skip
    return [
        row(
            "cifar10",
            model,
            [evaluate(job.result(), data) for job in jobs[model]],
            learning_rate=best[model],
            search={str(rate): top1 for rate, top1 in search[model].items()},
            epochs=EPOCHS,
        )
        for model in MODELS
    ]


def train_on_flowers12(pool: ThreadPoolExecutor, data: str, runs: Path) -> list[dict[str, Any]]:
    """Train from our CIFAR-10 weights and from scratch, both with the learning rate for scratch."""
    fields = {
        "data": data,
        "epochs": FLOWERS_EPOCHS,
        "lr": 1e-3,
        "input_size": 64,
        "val_fraction": 0.1,
        "workers": 0,
    }
    starts = {
        "from CIFAR-10 weights": runs / f"cifar10-affnet_et-{SEEDS[0]}",
        "from scratch": "affnet_et",
    }
    jobs = {
        start: [
            pool.submit(
                train,
                runs / f"flowers12-{start.replace(' ', '-')}-{seed}",
                model=model,
                seed=seed,
                **fields,
            )
            for seed in SEEDS
        ]
        for start, model in starts.items()
    }
    return [
        row(
            "flowers12",
            f"affnet_et {start}",
            [evaluate(job.result(), data) for job in jobs[start]],
            epochs=FLOWERS_EPOCHS,
        )
        for start in starts
    ]


def row(data: str, model: str, runs: Sequence[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    tests = [run["test_top1"] for run in runs]
    spread = max(tests) - min(tests)
    return {
        "data": data,
        "model": model,
        **facts,
        "test_top1": mean(tests),
        "spread": spread,
        "runs": list(runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cifar10")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--flowers12")
    options = parser.parse_args()
    with ThreadPoolExecutor(max_workers=2) as pool:
        rows = train_on_cifar10(pool, options.cifar10, options.runs)
        if options.flowers12:
            rows += train_on_flowers12(pool, options.flowers12, options.runs)
    write_json(OUT, {"provenance": provenance() | {"threads": 1}, "fields": FIELDS, "rows": rows})


if __name__ == "__main__":
    main()
