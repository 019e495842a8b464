"""Train runs with the command line, and read what they recorded.

A finished run is not repeated and an interrupted one is resumed, so that a script that stops goes
on where it was.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from spectralvision.runs import read_json, write_json

J = TypeVar("J")
R = TypeVar("R")
COLUMNS = ("epoch", "train_loss", "train_top1", "val_top1", "images_per_second")
KEEP_MEMORY = os.environ | {
    # glibc keeps freed memory, which a training step asks for again
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}
ALONE = KEEP_MEMORY | {"OMP_NUM_THREADS": "1"}
"""For two runs at a time, on one core each."""


def command(*words: object, environment: Mapping[str, str] = KEEP_MEMORY) -> str:
    """Return what a command prints."""
    line = [sys.executable, "-m", "spectralvision.cli", *map(str, words)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def train(
    run: Path,
    *,
    recipe: str | None = None,
    environment: Mapping[str, str] = KEEP_MEMORY,
    **fields: object,
) -> Path:
    """Train a run with these options, or resume it; return its folder."""
    if not (run / "run.json").is_file():
        words = [f"--{name.replace('_', '-')}={value}" for name, value in fields.items()]
        recipes = [] if recipe is None else [recipe]
        command("train", *recipes, "--out", run, *words, environment=environment)
    elif read_json(run / "run.json")["status"] != "finished":
        command("train", "--resume", run, environment=environment)
    top1 = read_json(run / "run.json")["results"]["val_top1"]
    print(f"{run.name}: {100 * top1:.1f} % val", flush=True)
    return run


def in_pairs(function: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R]:
    """Yield the results of the jobs in their order, two at a time; use `ALONE` for their runs."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield from pool.map(function, jobs)


def read_run(run: Path) -> dict[str, Any]:
    """Return seed, accuracy, duration and learning curve of a finished run.

    The duration is the median of the epochs times their number, so that a run that was interrupted
    or disturbed counts as if it had not been.
    """
    record = read_json(run / "run.json")
    with (run / "metrics.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    ends = [0.0, *(float(row["seconds"]) for row in rows)]
    epoch = median(end - start for start, end in pairwise(ends))
    return {
        "seed": record["config"]["seed"],
        "val_top1": record["results"]["val_top1"],
        "minutes": round(epoch * len(rows) / 60, 1),
        "curve": [{name: float(row[name]) for name in COLUMNS} for row in rows],
    }


def evaluate(
    run: Path, data: str, split: str = "test", environment: Mapping[str, str] = KEEP_MEMORY
) -> dict[str, Any]:
    """Return the metrics of a run. A set is used once; the result is kept in the folder."""
    kept = run / f"{split}.json"
    if not kept.is_file():
        words = ("--model", run, "--data", data, "--split", split, "--workers", 0, "--json")
        write_json(kept, json.loads(command("evaluate", *words, environment=environment)))
    return dict(read_json(kept))
