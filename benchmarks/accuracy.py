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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

from provenance import provenance
from training_runs import ALONE, evaluate, read_run, train

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
    "pretrained": "none",
}


def search_rates(pool: ThreadPoolExecutor, data: str, runs: Path) -> dict[str, dict[float, float]]:
    """Return val top-1 of each model at each learning rate."""
    jobs = {
        (model, rate): pool.submit(
            train, runs / f"search-{model}-{rate}",
            environment=ALONE, data=data, model=model, lr=rate, epochs=SEARCH_EPOCHS, seed=0,
            **FIELDS,
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
                environment=ALONE, data=data, model=model, lr=best[model], epochs=EPOCHS,
                seed=seed, **FIELDS,
            )
            for seed in SEEDS
        ]
        for model in MODELS
    }  # fmt: skip
    return [
        row(
            "cifar10",
            model,
            [test(job.result(), data) for job in jobs[model]],
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
        "pretrained": "none",
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
                environment=ALONE,
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
            [test(job.result(), data) for job in jobs[start]],
            epochs=FLOWERS_EPOCHS,
        )
        for start in starts
    ]


def test(run: Path, data: str) -> dict[str, Any]:
    """Return what a run recorded, and its accuracy on the test set."""
    top1 = evaluate(run, data, environment=ALONE)["top1"]
    return {**read_run(run), "test_top1": top1}


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
