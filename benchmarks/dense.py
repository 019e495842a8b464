"""Segmentation, detection and instance masks on real data, each run within one budget of time.

python benchmarks/dense.py DATA RUNS [--minutes 30] [--threads 2] [--only NAME ...]

Writes benchmarks/results/dense.json after each run.

DATA has the folders camvid (images and masks, 240 x 180), bccd and dsb2018 (COCO annotations). For
each entry of `ENTRIES` the learning rate is the best of three, each after a tenth of the budget;
the epochs are as many as the budget allows at the speed that `--dry-run` measures, or fixed by the
entry. The best epoch is chosen on val, and the split that is reported is used once. Peers of a data
set have the same settings. RUNS keeps the run folders: finished runs are not repeated, interrupted
ones are resumed, both with the epochs that they were started with.

The peer of bccd is torchvision's ssdlite320_mobilenet_v3_large, which `PEER` puts in place of ours.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from provenance import provenance

from spectralvision.runs import read_json, write_json

OUT = Path(__file__).parent / "results/dense.json"
RATES = (5e-4, 1e-3, 2e-3)
SEARCH_FRACTION = 0.1
TRIAL_EPOCHS = 10
VIEWS = ("--flip", "--scales", 0.75, 1, 1.25)
"""Of a second evaluation of segmentation: three scales, each mirrored too."""
PEER = """
import sys
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from spectralvision.cli import main
from spectralvision.tasks.detection import detectors

def build(network, num_classes, channels, size):
    return ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=num_classes
    )

detectors.BUILDERS["ssdlite"] = build
sys.exit(main())
"""
CAMVID = {
    "input-size": 224, "short-side": 288, "batch-size": 4, "min-scale": 0.5, "max-scale": 1.5,
    "distortion": 1, "drop-path": 0.1, "class-weights": 0.5, "lovasz": 0.5, "ema": 0.995,
    "precision": "bf16-mixed", "pretrained": "none",
}  # fmt: skip
DEEPLABV3 = {"decoder": "deeplabv3", "output-stride": 8} | CAMVID
BCCD = {"input-size": 320, "batch-size": 8, "precision": "bf16-mixed", "pretrained": "none"}
DSB2018 = {
    "input-size": 256, "batch-size": 4, "fpn-channels": 64, "precision": "bf16-mixed",
    "pretrained": "none",
}  # fmt: skip


class Entry(NamedTuple):
    """A model on a data set."""

    data: str
    task: str
    fields: dict[str, Any]
    metric: str
    """Of `evaluate`; with val_ in front the one that chooses epoch and learning rate."""
    split: str
    target: float | None = None
    is_peer: bool = False
    """Whether `PEER` runs it."""
    epochs: int | None = None
    """Instead of as many as the budget allows."""


ENTRIES = {
    "camvid-affnet_t-deeplabv3": Entry(
        "camvid",
        "segmentation",
        {"model": "affnet_t"} | DEEPLABV3,
        "miou",
        "test",
        0.52,
    ),
    "camvid-mobilenetv2-unet": Entry(
        "camvid",
        "segmentation",
        {"model": "mobilenetv2_100", "decoder": "unet"} | CAMVID,
        "miou",
        "test",
    ),
    "camvid-affnet_et-scratch": Entry(
        "camvid",
        "segmentation",
        {"model": "affnet_et"} | DEEPLABV3,
        "miou",
        "test",
        epochs=9,
    ),
    "camvid-affnet_et.cifar10": Entry(
        "camvid",
        "segmentation",
        {"model": "affnet_et.cifar10"} | DEEPLABV3,
        "miou",
        "test",
        epochs=9,
    ),
    "bccd-affnet_t-fcos": Entry(
        "bccd",
        "detection",
        {"model": "affnet_t", "detector": "fcos", "fpn-channels": 128} | BCCD,
        "map_50",
        "test",
        0.82,
    ),
    "bccd-torchvision-ssdlite": Entry(
        "bccd",
        "detection",
        {"model": "mobilenetv3_large_100", "detector": "ssdlite"} | BCCD,
        "map_50",
        "test",
        is_peer=True,
    ),
    "dsb2018-affnet_t-mask_rcnn": Entry(
        "dsb2018",
        "detection",
        {"model": "affnet_t", "detector": "mask_rcnn"} | DSB2018,
        "mask_map_50",
        "val",
        0.50,
    ),
}


def command(entry: Entry, *words: object) -> str:
    """Return what a command prints on standard output."""
    program = ["-c", PEER] if entry.is_peer else ["-m", "spectralvision.cli"]
    line = [sys.executable, *program, *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line[3:])}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def words_of(entry: Entry, data: Path, rate: float, epochs: int) -> list[str]:
    """Return the words after `train` of a run."""
    fields = entry.fields | {"data": data / entry.data, "lr": rate, "epochs": epochs, "workers": 0}
    return [entry.task, *(f"--{name}={value}" for name, value in fields.items())]


def train(entry: Entry, run: Path, words: list[str]) -> float:
    """Train a run, or resume it; return its metric on val."""
    if not (run / "run.json").is_file():
        command(entry, "train", *words, "--out", run)
    elif read_json(run / "run.json")["status"] != "finished":
        command(entry, "train", "--resume", run)
    with (run / "metrics.csv").open() as lines:
        best = max(float(row[f"val_{entry.metric}"]) for row in csv.DictReader(lines))
    print(f"{run.name}: {best:.3f} on val in {minutes_of(run):.1f} minutes", flush=True)
    return best


def minutes_of(run: Path) -> float:
    """Return the time of all epochs of a run, however often it was resumed."""
    with (run / "metrics.csv").open() as lines:
        return max(float(row["seconds"]) for row in csv.DictReader(lines)) / 60


def evaluate(entry: Entry, run: Path, data: Path, *options: object) -> dict[str, Any]:
    """Return the metrics on the split that is reported, computed once."""
    path = run / ("views.json" if options else "held_out.json")
    if not path.is_file():
        words = ["--model", run, "--data", data / entry.data, "--split", entry.split, *options]
        words += ["--workers", 0, "--json", "--per-class"]
        write_json(path, json.loads(command(entry, "evaluate", *words)))
    found: dict[str, Any] = read_json(path)
    return found


def measure(name: str, entry: Entry, data: Path, runs: Path, minutes: float) -> dict[str, Any]:
    """Search the learning rate, train once, and evaluate once."""
    # 1. The epochs that the budget allows
    epochs = entry.epochs or 0
    if not epochs:
        words = words_of(entry, data, 1e-3, TRIAL_EPOCHS)
        trial = json.loads(command(entry, "train", *words, "--dry-run", "--json"))
        epochs = max(1, int(60 * minutes * TRIAL_EPOCHS / trial["seconds"]))
    search_epochs = max(1, round(SEARCH_FRACTION * epochs))

    # 2. The learning rate
    search = {
        rate: train(entry, runs / f"{name}-{rate}", words_of(entry, data, rate, search_epochs))
        for rate in RATES
    }
    rate = max(search, key=search.__getitem__)
    searched = read_json(runs / f"{name}-{rate}" / "run.json")

    # 3. The run
    run = runs / name
    val = train(entry, run, words_of(entry, data, rate, epochs))
    held_out = evaluate(entry, run, data)
    views = evaluate(entry, run, data, *VIEWS) if entry.task == "segmentation" else None
    record = read_json(run / "run.json")
    return {
        "name": name,
        "metric": entry.metric,
        "split": entry.split,
        "value": held_out[entry.metric],
        "value_of_views": views and views[entry.metric],
        "target": entry.target,
        "val": val,
        "learning_rate": rate,
        "search": {str(one): value for one, value in search.items()},
        "search_epochs": searched["config"]["epochs"],
        "epochs": record["config"]["epochs"],
        "budget_minutes": None if entry.epochs else minutes,
        "minutes": round(minutes_of(run), 1),
        "fields": entry.fields,
        "held_out": held_out | {"model": name},
        "views": views and views | {"model": name},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", nargs="+", choices=ENTRIES, default=list(ENTRIES))
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    rows = read_json(OUT)["rows"] if OUT.is_file() else []
    for name in options.only:
        entry = ENTRIES[name]
        entry = entry._replace(fields=entry.fields | {"threads": options.threads})
        row = measure(name, entry, options.data, options.runs, options.minutes)
        row["provenance"] = provenance() | {"threads": options.threads}
        rows = [one for one in rows if one["name"] != name] + [row]
        write_json(OUT, {"rows": rows})


if __name__ == "__main__":
    main()
