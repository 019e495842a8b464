"""Benchmark whole models side by side, at several input sizes and in several forms.

All contestants run interleaved in one process, so that their ratios hold whatever else the machine
does. Charts of the result: `spectralvision.report.throughput_plot`.
"""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spectralvision.analysis.macs import count_macs
from spectralvision.analysis.speed import (
    Form,
    Precision,
    Timing,
    Workload,
    apply_form,
    build_inference,
    build_training_step,
    measure_peak_memory,
    time_interleaved,
)
from spectralvision.engine.progress import track

ModelBuilder = Callable[[int], nn.Module]  # from the side of the square input, pixels
MEMORY_FORMATS = {
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}
MAX_ERROR = 100  # characters


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What all contestants have in common."""

    batch_size: int = 8
    train: bool = False
    memory_format: str = "channels_last"
    device: str = "cpu"
    precision: Precision = "32"
    threads: int | None = None
    rounds: int = 10


@dataclass
class _Contestant:
    """A model in one form, its row of the result, and what is timed, if it runs."""

    build: ModelBuilder
    form: Form
    row: dict[str, Any]
    workload: Workload | None = None


def benchmark_models(
    models: Sequence[tuple[str, ModelBuilder]],
    forms: Sequence[Form],
    sizes: Sequence[int],
    config: BenchmarkConfig,
) -> dict[str, Any]:
    """Time each model in each form at each input size.

    Args:
        models: Names and functions that build the model for an input size. Random weights are
            enough: they do not change the time.
        forms: See `apply_form`.
        sizes: Sides of the square input, pixels.
        config: What the contestants have in common.

    Returns:
        `rows` and `machine`. A row has model, form, input_size, images_per_second with its
        quartiles, milliseconds, gmacs, peak_memory (bytes) and against_first, its speed relative to
        the first row of the same size that runs; or error if the model does not run at that size.
    """
    threads = torch.get_num_threads()
    rows: list[dict[str, Any]] = []
    try:
        torch.set_num_threads(config.threads or threads)
        for size in sizes:
            rows += _benchmark_size(models, forms, size, config)
        return {"rows": rows, "machine": _describe_machine(config)}
    finally:
        torch.set_num_threads(threads)


def _describe_machine(config: BenchmarkConfig) -> dict[str, Any]:
    cuda = config.device == "cuda"
    return {
        "device": torch.cuda.get_device_name() if cuda else config.device,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "batch_size": config.batch_size,
        "precision": config.precision,
        "memory_format": config.memory_format,
        "train": config.train,
        "rounds": config.rounds,
    }


def _benchmark_size(
    models: Sequence[tuple[str, ModelBuilder]],
    forms: Sequence[Form],
    size: int,
    config: BenchmarkConfig,
) -> list[dict[str, Any]]:
    # 1. Build and warm up every model in every form
    contestants = [
        _Contestant(build, form, {"model": name, "form": form, "input_size": size})
        for name, build in models
        for form in forms
    ]
    images = _random_images(size, config)
    for contestant in track(contestants, f"Preparing {size} px", unit=""):
        _prepare(contestant, images, config)

    # 2. Time those that run
    running = [contestant for contestant in contestants if contestant.workload]
    workloads = {str(number): one.workload for number, one in enumerate(running) if one.workload}
    timings = time_interleaved(
        workloads,
        config.rounds,
        device=config.device,
        show=lambda rounds: track(rounds, f"Timing {size} px", unit=""),
    )

    # 3. Fill in their rows
    for contestant, timing in zip(running, timings.values(), strict=True):
        contestant.row |= _speed(timing, timings["0"], config.batch_size)
    return [contestant.row for contestant in contestants]


def _random_images(size: int, config: BenchmarkConfig) -> Tensor:
    images = torch.rand(config.batch_size, 3, size, size)
    memory_format = MEMORY_FORMATS[config.memory_format]
    return images.to(config.device, _dtype(config), memory_format=memory_format)


def _dtype(config: BenchmarkConfig) -> torch.dtype:
    return torch.bfloat16 if config.precision == "bf16" else torch.float32


def _prepare(contestant: _Contestant, images: Tensor, config: BenchmarkConfig) -> None:
    """Build the model, run it once and measure its memory; an error becomes part of the row."""
    size = images.shape[-1]
    build_workload = build_training_step if config.train else build_inference
    try:
        model: Any = contestant.build(size)
        memory_format = MEMORY_FORMATS[config.memory_format]
        model = model.to(config.device, _dtype(config), memory_format=memory_format)
        contestant.row["gmacs"] = _count_gmacs(model, size)
        model = apply_form(model.train(config.train), contestant.form)
        workload = build_workload(model, images, config.precision)
        workload()  # compiles, and shows whether it runs at all
        contestant.row["peak_memory"] = measure_peak_memory(workload, config.device)
        contestant.workload = workload
    except Exception as error:  # models and compilers reject a size in many ways
        reason = " ".join(str(error).split())[:MAX_ERROR]
        contestant.row["error"] = reason or type(error).__name__


def _count_gmacs(model: nn.Module, size: int) -> float | None:
    try:
        return count_macs(model, (3, size, size)) / 1e9
    except Exception:  # some models of timm compute what the meta device cannot
        return None


def _speed(timing: Timing, first: Timing, batch_size: int) -> dict[str, Any]:
    return {
        "images_per_second": batch_size / timing.median,
        "images_per_second_quartiles": [batch_size / timing.high, batch_size / timing.low],
        "milliseconds": 1e3 * timing.median,
        "against_first": first.median / timing.median,
    }
