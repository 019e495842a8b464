"""Benchmark models on several runtimes side by side: latency of a batch and size of the file."""

import functools
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spectralvision.analysis.speed import Workload, time_interleaved
from spectralvision.engine.progress import track
from spectralvision.export.base import Network, Runner, Target
from spectralvision.export.prepare import prepare
from spectralvision.export.registry import TARGETS
from spectralvision.export.verify import smooth_images
from spectralvision.export.write import size_of, write
from spectralvision.runs import UserError

ModelBuilder = Callable[[int], nn.Module]
"""The side of the square input in pixels -> a model."""
EAGER = "eager"
"""PyTorch as it is, beside the runtimes."""
MAX_ERROR_CHARACTERS = 100


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """What all contestants have in common."""

    size: int
    batch_size: int = 1
    threads: int | None = None
    rounds: int = 20


def available_runtimes() -> list[str]:
    """Return the runtimes that this machine has and can run, and eager PyTorch."""
    return [EAGER, *(name for name, target in TARGETS.items() if _is_available(target))]


def benchmark_runtimes(
    models: Mapping[str, ModelBuilder], runtimes: Sequence[str], config: RuntimeConfig
) -> dict[str, Any]:
    """Time each model on each runtime, all interleaved.

    Args:
        models: Name -> function that builds the model.
        runtimes: Names of `registry.TARGETS`, or `EAGER`.
        config: What they have in common.

    Returns:
        `rows` and `machine`. A row has model, runtime, input_size, bytes (of the file),
        milliseconds with quartiles, difference (to PyTorch, relative to the largest value),
        against_first (its time relative to that of the first model on the same runtime),
        against_eager (relative to the same model in eager PyTorch); or error.
    """
    threads = torch.get_num_threads()
    images = smooth_images((config.size, config.size), config.batch_size)
    with TemporaryDirectory() as folder:
        try:
            torch.set_num_threads(config.threads or threads)
            rows, workloads = _prepare(models, runtimes, images, Path(folder), config)
            timings = time_interleaved(
                workloads, config.rounds, show=lambda rounds: track(rounds, "Timing", unit="")
            )
            machine = _describe_machine(config)
        finally:
            torch.set_num_threads(threads)
    for key, timing in timings.items():
        rows[int(key)] |= {
            "milliseconds": round(1e3 * timing.median, 3),
            "quartiles": [round(1e3 * timing.low, 3), round(1e3 * timing.high, 3)],
        }
    return {"rows": _with_ratios(rows), "machine": machine}


def _prepare(
    models: Mapping[str, ModelBuilder],
    runtimes: Sequence[str],
    images: Tensor,
    folder: Path,
    config: RuntimeConfig,
) -> tuple[list[dict[str, Any]], dict[str, Workload]]:
    """Return a row for each contestant, and by its number what is timed of those that run."""
    rows: list[dict[str, Any]] = []
    workloads: dict[str, Workload] = {}
    pairs = [(name, runtime) for name in models for runtime in runtimes]
    for name, runtime in track(pairs, "Converting", unit=""):
        row: dict[str, Any] = {"model": name, "runtime": runtime, "input_size": config.size}
        place = folder / str(len(rows))
        place.mkdir()
        try:
            network, run = _load(models[name](config.size), runtime, images, place, config)
            row |= {"bytes": size_of(place) or None}
            row |= {"difference": _difference(network, run, images)}
            workloads[str(len(rows))] = functools.partial(run, images.numpy())
        except Exception as error:  # converters fail in any way
            row["error"] = " ".join(str(error).split())[:MAX_ERROR_CHARACTERS]
        rows.append(row)
    return rows, workloads


def _load(
    model: nn.Module, runtime: str, images: Tensor, folder: Path, config: RuntimeConfig
) -> tuple[Network, Runner]:
    """Return a model as it is, and ready to run on a runtime."""
    network = Network(module=model.eval(), example=images, outputs=("logits",))
    if runtime == EAGER:
        return network, lambda batch: network.run(torch.from_numpy(batch))
    target = TARGETS[runtime]
    prepared = Network(module=prepare(model, images), example=images, outputs=("logits",))
    write(target, prepared, folder)
    return network, target.load(folder, config.threads)


def _difference(network: Network, run: Runner, images: Tensor) -> float:
    (expected,), (found,) = network.run(images), run(images.numpy())
    return float(np.abs(expected - found).max() / max(np.abs(expected).max(), 1e-12))


def _with_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with their times relative to others."""
    first: dict[str, float] = {}
    eager = {row["model"]: row.get("milliseconds") for row in rows if row["runtime"] == EAGER}
    for row in rows:
        if "milliseconds" not in row:
            continue
        own = row["milliseconds"]
        first.setdefault(row["runtime"], own)
        row["against_first"] = round(own / first[row["runtime"]], 3)
        known = eager.get(row["model"])
        row["against_eager"] = round(own / known, 3) if known else None
    return rows


def _describe_machine(config: RuntimeConfig) -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "batch_size": config.batch_size,
        "rounds": config.rounds,
    }


def _is_available(target: Target) -> bool:
    try:
        target.require()
    except UserError:
        return False
    return target.runs_here() and target.name != "web"
