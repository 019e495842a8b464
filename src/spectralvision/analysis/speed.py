"""How fast networks and their parts run: interleaved runs, medians and quartiles, peak memory, and the forms to run in.

Contestants take turns in one process, so that whatever else the machine does falls on all of them alike. What counts is
the ratio of two medians of one session; a figure by itself is that machine's, on that day.
"""

import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from timm.utils import reparameterize_model
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

Run = Callable[[], object]
Form = Literal["eager", "fused", "compiled", "fused+compiled"]
FORMS: tuple[Form, ...] = ("eager", "fused", "compiled", "fused+compiled")
Precision = Literal["32", "bf16", "bf16-mixed"]


@dataclass(frozen=True)
class Timing:
    """Seconds of one run: the median, and the quartiles around it."""

    median: float
    low: float
    high: float


def interleaved(
    runs: Mapping[str, Run],
    rounds: int = 10,
    warmup: int = 2,
    device: str = "cpu",
    after: Callable[[], object] = lambda: None,
) -> dict[str, Timing]:
    """Times each of `runs`, one after the other in every round.

    A turn begins with a run that is not timed: memory and caches are then those of this contestant, not the one before.

    Args:
        runs: What to run, by name.
        rounds: How often each is timed.
        warmup: How often each is run before.
        device: Where they compute; an accelerator is waited for.
        after: Called after each run, outside of the time.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    wait = (lambda: None) if device == "cpu" else torch.accelerator.synchronize
    for number in range(warmup + rounds):
        for name, run in runs.items():
            run()
            wait()
            start = time.perf_counter()
            run()
            wait()
            if number >= warmup:
                seconds[name].append(time.perf_counter() - start)
            after()
    return {name: _timing(values) for name, values in seconds.items()}


def _timing(values: list[float]) -> Timing:
    low, median, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return Timing(median, low, high)


def peak_memory(run: Run, device: str = "cpu") -> int:
    """Largest sum of live tensor bytes above those alive before, while `run` runs once.

    On the CPU from the profiler's record of allocations, on CUDA from the allocator.
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    with warnings.catch_warnings(), _silent():
        warnings.simplefilter("ignore")  # the profiler's own
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
            run()
    events: Any = record.profiler.kineto_results.events()  # type: ignore[union-attr]
    steps = [(one.start_ns(), one.nbytes()) for one in events
             if one.name() == "[memory]" and one.device_type() == DeviceType.CPU]  # fmt: skip
    live = peak = 0
    for _, change in sorted(steps, key=lambda step: step[0]):
        live += change
        peak = max(peak, live)
    return peak


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing gets to standard error, not even what a library writes past Python: the profiler's start-up notices."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def in_form(model: nn.Module, form: Form) -> nn.Module:
    """The model as it is, with norms folded, compiled, or both.

    Folding is the model's own `fuse()`, for timm's models `timm.utils.reparameterize_model`; it needs evaluation mode.
    Compiling is `model.compile()` of a copy.
    """
    if "fused" in form:
        model = model.fuse() if hasattr(model, "fuse") else reparameterize_model(model)  # type: ignore[operator]
    if "compiled" in form:
        model = deepcopy(model)
        model.compile(dynamic=False)
    return model


def inference(model: nn.Module, images: Tensor, precision: Precision = "32") -> Run:
    """A forward pass without gradients; for "bf16" model and images are in bfloat16, "bf16-mixed" is autocast."""
    model.eval()

    def run() -> Tensor:
        with torch.inference_mode(), _autocast(images, precision):
            return model(images)

    return run


def training_step(model: nn.Module, images: Tensor, precision: Precision = "32") -> Run:
    """Forward, backward of a cross-entropy, and clearing of the gradients; no optimiser."""
    model.train()

    def run() -> None:
        with _autocast(images, precision):
            logits = model(images)
        labels = torch.arange(len(images), device=images.device) % logits.shape[1]
        nn.functional.cross_entropy(logits.float(), labels).backward()
        model.zero_grad(set_to_none=True)

    return run


@contextmanager
def _autocast(images: Tensor, precision: Precision) -> Iterator[None]:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
        yield
