"""Measure when data-loading workers make training on a CPU faster.

Command: `python benchmarks/workers.py`

affnet_et is trained on made photographs of several sizes with 0, 1 and 2 workers, in turn. Each row
has the time of reading an image and of a training step, as `train` measures them before it starts,
and the images per second of an epoch. Writes benchmarks/results/workers.json.
"""

import csv
import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from provenance import provenance
from training_runs import command, train

from spectralvision.runs import write_json

OUT = Path(__file__).parent / "results/workers.json"
SETS = {
    "64 x 64": {"side": (64, 64), "images": 2000, "input-size": 64},
    "128 x 128": {"side": (128, 128), "images": 600, "input-size": 128},
    "512 x 384": {"side": (512, 384), "images": 600, "input-size": 128},
    "1500 x 1000": {"side": (1500, 1000), "images": 600, "input-size": 128},
    "3000 x 2000": {"side": (3000, 2000), "images": 400, "input-size": 128},
}
WORKERS = (0, 1, 2)
ROUNDS = 2
EPOCHS = 3


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, one in SETS.items():
            rows.append({"photographs": name, **measure(one, Path(scratch) / name)})
            print(rows[-1], flush=True)
            write_json(OUT, {"provenance": provenance(), "sets": SETS, "rows": rows})


def measure(one: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the times per image, and the images per second with each number of workers."""
    write_photographs(folder / "photos", one["side"], one["images"])
    fields = {
        "data": folder / "photos", "model": "affnet_et", "pretrained": "none",
        "input-size": one["input-size"], "batch-size": 40, "epochs": EPOCHS, "val-fraction": 0.1,
    }  # fmt: skip
    words = [f"--{name}={value}" for name, value in fields.items()]
    trial = json.loads(
        command("train", *words, "--workers=0", "--out", folder / "trial", "--dry-run", "--json")
    )
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for turn in range(ROUNDS):
        for workers in WORKERS:
            run = train(folder / f"{workers}-{turn}", workers=workers, **fields)
            rates[workers] += read_rates(run)[1:]  # workers start in the first epoch
    return {
        "reading_ms": round(1e3 * trial["reading"], 2),
        "training_ms": round(1e3 / trial["images_per_second"], 2),
        "images_per_second": {str(one): round(median(rates[one]), 1) for one in WORKERS},
    }


def read_rates(run: Path) -> list[float]:
    with (run / "metrics.csv").open() as lines:
        return [float(row["images_per_second"]) for row in csv.DictReader(lines)]


def write_photographs(folder: Path, side: tuple[int, int], count: int) -> None:
    """Write smooth random colors with noise, as JPEG files of two classes."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 8, (side[1], side[0], 3))
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(side, Image.Resampling.BICUBIC))
        image = Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8))
        path = folder / str(index % 2) / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=90)


if __name__ == "__main__":
    main()
