"""Measure the speed and memory of models: interleaved timing, peak memory, and forms to run in.

Contestants run in turn in one process, so that anything else the machine does affects all of them
alike. The ratio of two medians of one session is the result; a time alone holds for that machine on
that day.
"""

import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from timm.utils import reparameterize_model
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

Workload = Callable[[], object]
Form = Literal["eager", "fused", "compiled", "fused+compiled"]
FORMS: tuple[Form, ...] = ("eager", "fused", "compiled", "fused+compiled")
Precision = Literal["32", "bf16", "bf16-mixed"]


@dataclass(frozen=True)
class Timing:
    """Seconds per run: median and quartiles."""

    median: float
    low: float
    high: float


def time_interleaved(
    workloads: Mapping[str, Workload],
    rounds: int = 10,
    warmup: int = 2,
    device: str = "cpu",
    after: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
    show: Callable[[range], Iterable[int]] = iter,
) -> dict[str, Timing]:
    """Time the workloads, one after the other in every round.

    Before each timed run comes one that is not timed: memory and caches are then those of this
    workload, not of the one before.

    Args:
        workloads: Functions to time, by name.
        rounds: Number of timed runs of each.
        warmup: Number of rounds before, whose times are discarded.
        device: Device of the computation; an accelerator is synchronized.
        after: Called after each timed run, outside of the measured time.
        clock: Returns seconds.
        show: Iterates over all rounds; may show progress.
    """
    seconds: dict[str, list[float]] = {name: [] for name in workloads}
    synchronize = (lambda: None) if device == "cpu" else torch.accelerator.synchronize
    for number in show(range(warmup + rounds)):
        for name, workload in workloads.items():
            workload()
            synchronize()
            start = clock()
            workload()
            synchronize()
            if number >= warmup:
                seconds[name].append(clock() - start)
            after()
    return {name: _summarize(values) for name, values in seconds.items()}


def _summarize(values: list[float]) -> Timing:
    if len(values) == 1:
        return Timing(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4)
    return Timing(median, low, high)


def measure_peak_memory(workload: Workload, device: str = "cpu") -> int:
    """Return the peak of tensor bytes that one run allocates on top of those alive before.

    On CUDA it comes from the allocator, on the CPU from the profiler's record of allocations.
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        workload()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)

    # 1. Record the allocations
    with warnings.catch_warnings(), _silence_stderr():
        warnings.simplefilter("ignore")  # the profiler's own
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
            workload()

    # 2. Add them up in the order of time
    events: Any = record.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = [
        (event.start_ns(), event.nbytes())
        for event in events
        if event.name() == "[memory]" and event.device_type() == DeviceType.CPU
    ]
    live = 0
    peak = 0
    for _, change in sorted(changes, key=lambda timed: timed[0]):
        live += change
        peak = max(peak, live)
    return peak


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Discard standard error, also of native code: the profiler prints start-up notices there."""
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def apply_form(model: nn.Module, form: Form) -> nn.Module:
    """Return the model as it is ("eager"), with norms folded, compiled, or both.

    Folding calls the model's own `fuse()`, for models of timm `timm.utils.reparameterize_model`; it
    needs evaluation mode. Compiling calls `compile()` of a copy.
    """
    if "fused" in form:
        own: Any = getattr(model, "fuse", None)
        model = reparameterize_model(model) if own is None else own()
    if "compiled" in form:
        model = deepcopy(model)
        model.compile(dynamic=False)
    return model


def build_inference(model: nn.Module, images: Tensor, precision: Precision = "32") -> Workload:
    """Return a function that runs a forward pass without gradients.

    For precision "bf16", model and images must be bfloat16; "bf16-mixed" is autocast.
    """
    model.eval()

    def run() -> Tensor:
        with torch.inference_mode(), _autocast(images, precision):
            return model(images)

    return run


def build_training_step(model: nn.Module, images: Tensor, precision: Precision = "32") -> Workload:
    """Return a function that runs forward and backward of a cross-entropy and clears the gradients.

    There is no optimizer. Precision is as in `build_inference`.
    """
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
