"""Whole networks side by side: each at several input sizes and in several forms, in interleaved runs of one process."""

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from spectralvision.analysis.macs import count_macs
from spectralvision.analysis.speed import (
    Form,
    Precision,
    Run,
    in_form,
    inference,
    interleaved,
    peak_memory,
    training_step,
)
from spectralvision.runs import UserError, replacing
from spectralvision.tasks.fitting import choose_device
from spectralvision.tasks.loading import default_size, find_model, load_model


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all contestants have in common."""

    batch_size: int = 8
    train: bool = False
    memory_format: str = "channels_last"
    device: str = "auto"
    precision: Precision = "32"
    threads: int | None = None
    rounds: int = 10


def compare(models: Sequence[str], forms: Sequence[Form], sizes: Sequence[int], setting: Setting) -> dict[str, Any]:
    """Images per second of each model in each form at each size, and how each compares with the first of its size.

    Args:
        models: Run folders, or names of models.
        forms: See `in_form`.
        sizes: Sides of the square input, pixels; none: what the first model is made for.
        setting: What they have in common.

    Returns:
        rows and machine. A row holds model, form, input_size, images_per_second with its quartiles, milliseconds,
        gmacs, peak_memory (bytes) and against_first; or an error where the model does not run at that size.

    Raises:
        UserError: There is no such model or device.
    """
    for name in models:
        find_model(name)
    device, _ = choose_device(setting.device)
    threads = torch.get_num_threads()
    rows: list[dict[str, Any]] = []
    try:
        torch.set_num_threads(setting.threads or threads)
        for size in sizes or [default_size(models[0])]:
            rows += _at_size(models, forms, size, setting, device)
        machine = {
            "device": torch.cuda.get_device_name() if device == "cuda" else device,
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "batch_size": setting.batch_size,
            "precision": setting.precision,
            "memory_format": setting.memory_format,
            "train": setting.train,
            "rounds": setting.rounds,
        }
    finally:
        torch.set_num_threads(threads)
    return {"rows": rows, "machine": machine}


def _at_size(
    models: Sequence[str], forms: Sequence[Form], size: int, setting: Setting, device: str
) -> list[dict[str, Any]]:
    memory = torch.channels_last if setting.memory_format == "channels_last" else torch.contiguous_format
    dtype = torch.bfloat16 if setting.precision == "bf16" else torch.float32
    images = torch.rand(setting.batch_size, 3, size, size).to(device, dtype, memory_format=memory)
    rows: list[dict[str, Any]] = []
    runs: dict[str, Run] = {}
    pairs = [(name, form) for name in models for form in forms]
    for name, form in track(
        pairs, f"Preparing {size} px", console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ):
        row: dict[str, Any] = {"model": name, "form": form, "input_size": size}
        rows.append(row)
        try:
            model = _built(name, size).to(device, dtype, memory_format=memory)  # type: ignore[call-overload]
            row["gmacs"] = _gmacs(model, size)
            run = _run(model.train(setting.train), form, images, setting)
            run()  # compiles, and shows whether it runs at all
            row["peak_memory"] = peak_memory(run, device)
            runs[str(len(rows) - 1)] = run
        except Exception as error:  # a model may refuse a size, and a compiler a model, in many ways
            row["error"] = " ".join(str(error).split())[:100] or type(error).__name__
    with Console(stderr=True).status(f"Timing {size} px"):
        timings = interleaved(runs, setting.rounds, device=device)
    first = next(iter(timings.values()), None)
    for number, timing in timings.items():
        assert first is not None
        speed = [setting.batch_size / seconds for seconds in (timing.median, timing.high, timing.low)]
        rows[int(number)] |= {
            "images_per_second": speed[0],
            "images_per_second_quartiles": speed[1:],
            "milliseconds": 1e3 * timing.median,
            "against_first": first.median / timing.median,
        }
    return rows


def _run(model: nn.Module, form: Form, images: Tensor, setting: Setting) -> Run:
    model = in_form(model, form)
    return (training_step if setting.train else inference)(model, images, setting.precision)


def _built(name: str, size: int) -> nn.Module:
    """With its own weights if it is a run, else with random ones: a weight's value costs no time."""
    return load_model(name, pretrained=False, img_size=size)


def _gmacs(model: nn.Module, size: int) -> float | None:
    try:
        return count_macs(model, (3, size, size)) / 1e9
    except Exception:  # some model of timm's may compute what the meta device cannot
        return None


def draw(result: dict[str, Any], path: str) -> str:
    """Images per second against the input size, a line a model and form; returns the path.

    Raises:
        UserError: The file cannot be written, or its name ends in no format that is drawn.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    lines: dict[str, list[tuple[int, float]]] = {}
    for row in result["rows"]:
        if "error" not in row:
            point = (row["input_size"], row["images_per_second"])
            lines.setdefault(f"{row['model']}, {row['form']}", []).append(point)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, points in lines.items():
        points.sort()
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    sizes = sorted({row["input_size"] for row in result["rows"]})
    axes.set(xscale="log", yscale="log", xlabel="input side (pixels)", ylabel="images per second", xticks=sizes)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    machine = result["machine"]
    work = "training step" if machine["train"] else "inference"
    precision = {"32": "float32", "bf16": "bfloat16"}.get(machine["precision"], machine["precision"])
    threads = f"{machine['threads']} thread{'' if machine['threads'] == 1 else 's'}"
    axes.set_title(
        f"{work}, batch {machine['batch_size']}, {precision}, {machine['device']}, {threads}", fontsize="medium"
    )
    try:
        with replacing(Path(path)) as beside:
            figure.savefig(beside, format=Path(path).suffix.lstrip(".") or "png", dpi=150)
    except (OSError, ValueError) as error:
        raise UserError(f"--plot {path} cannot be written ({' '.join(str(error).split())[:120]}).") from None
    return path
