"""What a training run tells the user: what was found, what is trained, and how long it takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from spectralvision.analysis import count_macs
from spectralvision.data.images import estimate_median_side
from spectralvision.data.splits import Data
from spectralvision.data.workers import count_cores
from spectralvision.engine.auto_settings import MAX_CPU_SECONDS
from spectralvision.engine.devices import Device
from spectralvision.engine.find_learning_rate import STEPS
from spectralvision.engine.model_io import architecture, data_config
from spectralvision.engine.projection import WORKERS_FROM, Projection
from spectralvision.engine.starting_weights import (
    describe_weights,
    format_weights,
    has_strong_weights,
)
from spectralvision.runs import format_bytes, format_count, format_duration, format_rate
from spectralvision.tasks.base import Task
from spectralvision.tasks.train_config import TrainConfig

PRECISIONS = {
    "32-true": "float32",
    "bf16-mixed": "mixed bfloat16",
    "16-mixed": "mixed float16",
}
NO_RATE_FOUND = (
    "note   the loss hardly falls in the trial steps, at any learning rate: using that of --lr auto"
)
MAX_DATA_WAIT = 0.1
"""Fraction of the training time spent waiting for data above which a change is advised."""


def describe_data_and_model(
    config: TrainConfig, data: Data, model: nn.Module, input_size: str
) -> Iterator[str]:
    """Yield lines: the data found, the model with its size and cost, and the weights it has."""
    counts = ", ".join(f"{format_count(len(split))} {name}" for name, split in data.splits.items())
    divided = data.facts.get("val_split")
    origin = ""
    if divided:
        origin = f" (val: {_held_out(divided, data)} of {divided['from']}, seed {divided['seed']})"
    yield f"data   {data.name}: {len(data.classes)} classes; {counts} images{origin}"
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    weights = describe_weights(config.model, config.pretrained)
    origin = "pretrained weights" if weights else "from scratch"
    yield (
        f"model  {architecture(model)}: {millions:.2f} M parameters, {_macs(model)}, {origin}, "
        + input_size
    )
    if weights:
        yield format_weights(weights)


def describe_training(config: Any, device: Device, projection: Projection) -> str:
    """Return the line about the settings and the expected duration."""
    trainer = config.trainer
    processes = f", {trainer.world_size} processes" if trainer.world_size > 1 else ""
    plural = "" if config.epochs == 1 else "s"
    precision = PRECISIONS.get(device.precision, device.precision)
    return (
        f"train  {config.epochs} epoch{plural}, batch {config.batch_size}, learning rate "
        f"{config.optimizer.lr:g}, on {device.accelerator} in {precision}{processes}, about "
        f"{format_duration(projection.seconds)}"
    )


def describe_threads(threads: int, usual: int, resume: Path | None) -> list[str]:
    """Return the line about computing with other than the usual number of threads, if so."""
    if threads == usual:
        return []
    count = "1 thread" if threads == 1 else f"{threads} threads"
    if resume is not None:
        return [f"note   computing with {count}, as when the run was started"]
    if threads > usual:
        return []
    return [
        f"note   computing with {count}, because other programs are using the machine: --threads "
        f"{usual} uses all cores, and is slower while they run"
    ]


def advise_on_duration(
    task: Task, first: Any, config: Any, first_seconds: float, seconds: float
) -> Iterator[str]:
    """Yield a line if a run on a CPU takes over an hour, or would have: what was done, what helps.

    Args:
        task: Its task.
        first: The settings before anything was reduced.
        config: The settings of the run.
        first_seconds, seconds: What the run takes with each.
    """
    reduced = [
        f"{getattr(config, name)} instead of {getattr(first, name)} {what}"
        for name, what in (("input_size", "pixels"), ("epochs", "epochs"))
        if getattr(config, name) < getattr(first, name)
    ]
    if reduced:
        yield (
            f"note   {' and '.join(reduced)}, as it would take {format_duration(first_seconds)} on "
            "this CPU: --input-size and --epochs override this"
        )
    if seconds > MAX_CPU_SECONDS or reduced:
        cures = ["a GPU"]
        if not has_strong_weights(config.model, config.pretrained):
            cures.append(task.small_model)
        smallest = task.smallest_sizes[0]
        if seconds > MAX_CPU_SECONDS and config.input_size > smallest:
            cures.append(f"--input-size {smallest}")
        if seconds > MAX_CPU_SECONDS:
            cures.append("fewer --epochs")
        yield f"note   for less time, or better results in the same time: {', '.join(cures)}"


def describe_range_test(batch_size: int, projection: Projection | None) -> str:
    """Return the line about the search for a learning rate."""
    duration = ""
    if projection is not None:
        seconds = STEPS * batch_size / projection.images_per_second
        duration = f", at most {format_duration(seconds)} of computing"
    return f"find   learning rate, in {STEPS} trial steps{duration}"


def describe_trial(projection: Projection) -> str:
    """Return the line about the measured training steps."""
    memory = ""
    if projection.memory is not None:
        memory = f", peak memory {format_bytes(projection.memory)} per process"
    return (
        f"trial  {format_rate(projection.images_per_second)} in training steps{memory}, "
        f"{format_duration(projection.seconds)} in total"
    )


def advise_on_data_wait(
    fraction: float, config: Any, data: Data, workers: int, device: Device
) -> str | None:
    """Return what to change if training has waited for data too long; None if it has not."""
    if fraction <= MAX_DATA_WAIT:
        return None
    start = f"note   {fraction:.0%} of the training time was spent waiting for images: "
    cores = count_cores() // int(config.trainer.devices)
    is_cpu = device.accelerator == "cpu"
    is_slow_to_read = fraction > WORKERS_FROM * (1 - fraction)
    if workers == 0 and cores > 1 and (is_slow_to_read or not is_cpu):
        return f"{start}--workers {cores} loads them in the background"
    if is_cpu:
        return f"{start}loading and computing share the CPU, so smaller files or a GPU help"
    if workers < cores:
        return f"{start}more --workers help (now {workers}, with {cores} cores per device)"
    side = estimate_median_side(data.split("train"))
    if side > 2 * float(config.input_size):
        return (
            f"{start}smaller files help ({side:.0f} pixels on the shorter side, but the model "
            f"takes {config.input_size})"
        )
    return f"{start}faster storage, parquet shards or a machine with more cores help"


def _held_out(divided: dict[str, Any], data: Data) -> str:
    if divided["fold"]:
        return f"fold {divided['fold'][0]} of {divided['fold'][1]}"
    val, train = len(data.split("val")), len(data.split("train"))
    return f"{val / (val + train):.0%}"


def _macs(model: nn.Module) -> str:
    size = tuple(data_config(model)["input_size"])
    try:
        return f"{count_macs(model, size) / 1e9:.3g} GMACs"
    except Exception:  # some model of timm's may compute what the meta device cannot
        return "unknown GMACs"
