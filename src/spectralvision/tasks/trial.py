"""Training steps on a copy of the model, to tell beforehand what a run takes: its time, and whether it fits.

Neither the model nor any random generator is touched, so that a run after a trial is the run without it.
"""

import sys
import time
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from timm.optim import create_optimizer_v2
from torch import nn
from torch.nn.functional import cross_entropy

from spectralvision.data.loading import seeded
from spectralvision.runs import UserError
from spectralvision.tasks.loading import data_config
from spectralvision.tasks.optimisation import Optimisation

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
PATIENCE = 5.0  # seconds after which no further step is taken


def make_optimizer(model: nn.Module, fields: Optimisation) -> torch.optim.Optimizer:
    """timm's optimiser over the weights of a model."""
    assert not isinstance(fields.lr, str), "resolve against the data first"
    return create_optimizer_v2(
        model,
        opt=fields.opt,
        lr=fields.lr,
        weight_decay=fields.weight_decay,
        layer_decay=fields.layer_decay,
    )


class Trial(NamedTuple):
    """Of some training steps."""

    seconds: float  # of the fastest
    memory: int | None  # bytes at the peak: of the accelerator, else of the whole process; None: not known


def try_step(model: nn.Module, fields: Optimisation, batch: int, engine: dict[str, str], steps: int = 3, parts: int = 1,
             teacher: Any = None) -> Trial:  # fmt: skip
    """At most `steps` training steps on one of the `parts` of a batch of so many images, data loading left out.

    A `Teacher` looks at the images too.

    Raises:
        UserError: It does not fit into memory; the sentence names the batch size that does.
    """
    trial = _steps(model, fields, batch // parts, engine, steps, teacher)
    if trial is None:
        raise UserError(too_large(model, fields, batch, engine, parts, teacher))
    return trial


def too_large(
    model: nn.Module, fields: Optimisation, batch: int, engine: dict[str, str], parts: int = 1, teacher: Any = None
) -> str:
    """The sentence for a batch of which a part does not fit, with the next smaller power of two that does."""
    smaller = 1 << (batch // parts - 1).bit_length() - 1
    while smaller >= 2:
        if _steps(model, fields, smaller, engine, 1, teacher) is not None:
            return f"a batch of {batch} does not fit into the memory of {engine['accelerator']}: {smaller * parts} " \
                   f"does, see --batch-size {smaller * parts} or --accumulate."  # fmt: skip
        smaller //= 2
    return f"not even a batch of {2 * parts} fits into the memory of {engine['accelerator']}: see --input-size, or a " \
           "model that is smaller."  # fmt: skip


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, on whichever device."""
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)
    )


def _steps(model: nn.Module, fields: Optimisation, batch: int, engine: dict[str, str], steps: int,
           teacher: Any) -> Trial | None:  # fmt: skip
    """None where memory does not suffice."""
    cuda = engine["accelerator"] == "cuda"
    try:
        with seeded(0), torch.random.fork_rng(range(torch.cuda.device_count()) if cuda else []):
            if cuda:
                torch.cuda.reset_peak_memory_stats()
            seconds = min(_timed(model, fields, batch, engine, steps, teacher))
            return Trial(seconds, torch.cuda.max_memory_allocated() if cuda else _resident(engine["accelerator"]))
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    finally:
        if cuda:
            torch.cuda.empty_cache()
    return None


def _resident(accelerator: str) -> int | None:
    """Bytes that this process has held at most on a CPU."""
    if accelerator != "cpu" or sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _timed(model: nn.Module, fields: Optimisation, batch: int, engine: dict[str, str], steps: int,
           teacher: Any) -> list[float]:  # fmt: skip
    device, dtype = torch.device(engine["accelerator"]), AUTOCAST.get(engine["precision"])
    twin = deepcopy(model).to(device).train()
    optimizer = make_optimizer(twin, fields)
    size: Any = data_config(model)["input_size"]
    classes: Any = model.num_classes
    if teacher is not None:
        teacher.to(device)

    def step(images: torch.Tensor) -> float:
        start = time.monotonic()
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            if teacher is not None:
                teacher(images)
            loss = cross_entropy(twin(images).float(), torch.arange(len(images), device=device) % classes)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        return time.monotonic() - start

    step(torch.rand(2, *size, device=device))  # the first step of a process prepares much
    images = torch.rand(batch, *size, device=device)
    seconds: list[float] = []
    while len(seconds) < steps and sum(seconds) < PATIENCE:
        seconds.append(step(images))
    return seconds
