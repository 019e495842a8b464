"""Training steps on a copy of a module: how long a run takes, and whether it fits.

Neither the module nor any random generator is touched: a run after a trial equals one without.
"""

import sys
import time
from copy import deepcopy
from typing import NamedTuple

import torch

from spectralvision.data.seeding import temporary_seed
from spectralvision.engine.devices import Device
from spectralvision.engine.errors import is_out_of_memory
from spectralvision.engine.optimizer import build_optimizer
from spectralvision.engine.train_module import FitConfig, Step, TrainModule
from spectralvision.runs import UserError

AUTOCAST_DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
MAX_TRIAL_SECONDS = 5.0
"""No further step is taken after so long."""


class Trial(NamedTuple):
    """The cost of a training step."""

    seconds: float
    """Of the fastest step."""
    memory: int | None
    """Peak in bytes: of the accelerator, on a CPU of the process; None: unknown."""


def try_steps(module: TrainModule, config: FitConfig, batch_size: int, steps: int = 3) -> Trial:
    """Take at most `steps` training steps on one part of a batch, without loading data.

    Raises:
        UserError: It does not fit into memory; the sentence names the batch size that does.
    """
    trial = _try(module, config, batch_size // config.trainer.parts_per_batch, steps)
    if trial is None:
        raise UserError(f"{describe_too_large(module, config, batch_size)}.")
    return trial


def describe_too_large(module: TrainModule, config: FitConfig, batch_size: int) -> str:
    """Return the sentence for a batch that does not fit, with a power of two that does."""
    parts = config.trainer.parts_per_batch
    device = config.device.accelerator
    smaller = 1 << (batch_size // parts - 1).bit_length() - 1
    while smaller >= 2:
        if _try(module, config, smaller, steps=1) is not None:
            return (
                f"a batch of {batch_size} does not fit into the memory of {device}, but "
                f"{smaller * parts} does: use --batch-size {smaller * parts} or --accumulate"
            )
        smaller //= 2
    return (
        f"not even a batch of {2 * parts} fits into the memory of {device}: use a smaller "
        "--input-size or a smaller --model"
    )


def _try(module: TrainModule, config: FitConfig, images: int, steps: int) -> Trial | None:
    """Return the cost of steps on so many images; None where memory does not suffice."""
    is_cuda = config.device.accelerator == "cuda"
    devices = range(torch.cuda.device_count()) if is_cuda else []
    try:
        with temporary_seed(0), torch.random.fork_rng(devices):
            if is_cuda:
                torch.cuda.reset_peak_memory_stats()
            seconds = min(_time_steps(module, config, images, steps))
            memory = torch.cuda.max_memory_allocated() if is_cuda else _resident(config.device)
            return Trial(seconds, memory)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    finally:
        if is_cuda:
            torch.cuda.empty_cache()
    return None


def _resident(device: Device) -> int | None:
    """Return the most bytes that this process has held on a CPU."""
    if device.accelerator != "cpu" or sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _time_steps(module: TrainModule, config: FitConfig, images: int, steps: int) -> list[float]:
    """Return the seconds of each step on a copy of the module."""
    device = torch.device(config.device.accelerator)
    dtype = AUTOCAST_DTYPES.get(config.device.precision)
    copy = deepcopy(module).to(device).train()
    optimizer = build_optimizer(copy.model, config.optimizer)

    def time_step(images: int) -> float:
        batch = _to_device(copy.example_batch(images), device)
        start = time.monotonic()
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            loss = copy.training_step(batch, Step(0, 0, 0, 0, images))["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        return time.monotonic() - start

    time_step(2)  # the first step of a process prepares much
    seconds: list[float] = []
    while len(seconds) < steps and sum(seconds) < MAX_TRIAL_SECONDS:
        seconds.append(time_step(images))
    return seconds


def _to_device(batch: object, device: torch.device) -> object:
    from lightning.fabric.utilities import move_data_to_device

    return move_data_to_device(batch, device)
