"""How long a run will take and how much memory, from some training steps and some images read."""

import time
from typing import Any, NamedTuple

from torch.utils.data import DataLoader

from spectralvision.data.images import spread_indices
from spectralvision.engine.train_module import FitConfig, TrainModule
from spectralvision.engine.trial_steps import try_steps

VALIDATION_COST = 1 / 3
"""Of validating an image, relative to training on it."""
SAMPLE_IMAGES = 8


WORKERS_FROM = 1.0
"""Time of reading an image, relative to that of training on it, from which a CPU gets data-loading
workers. They made training slower up to 0.3, and no faster at 5 in epochs of three batches
(benchmarks/results/workers.json); nothing between was measured."""


class Cost(NamedTuple):
    """Seconds per image, and memory."""

    training: float
    """In training steps, on all devices together."""
    reading: float | None
    """Reading and transforming a training image in one process; None for a stream."""
    reading_val: float | None
    """The same of a validation image."""
    memory: int | None
    """Peak of a training step in bytes; on a CPU of the whole process."""

    def is_slower_with_workers(self) -> bool:
        """Return whether data-loading workers make training on a CPU slower."""
        return self.reading is not None and self.reading < WORKERS_FROM * self.training


class Projection(NamedTuple):
    """What a run will take."""

    seconds: float
    """Of the whole run."""
    images_per_second: float
    """In training steps, on all devices together, data loading excluded."""
    reading: float | None
    """Seconds of reading and transforming a training image in one process; None for a stream."""
    memory: int | None
    """Peak of a step in bytes; on a CPU of the whole process."""


def measure_cost(
    module: TrainModule,
    config: FitConfig,
    batch_size: int,
    train: DataLoader[Any],
    val: DataLoader[Any],
) -> Cost:
    """Take some training steps on a copy and read some images; no state is changed.

    Raises:
        UserError: A batch does not fit into memory.
    """
    trainer = config.trainer
    trial = try_steps(module, config, batch_size)
    training = trial.seconds / (batch_size // trainer.parts_per_batch) / trainer.world_size
    return Cost(training, _seconds_per_image(train), _seconds_per_image(val), trial.memory)


def project(
    cost: Cost, config: FitConfig, batch_size: int, train: DataLoader[Any], val: DataLoader[Any]
) -> Projection:
    """Return how long a run takes by its cost.

    Workers read while an accelerator computes, but share the cores of a CPU.
    """
    trainer = config.trainer
    images_per_step = batch_size // trainer.parts_per_batch
    total = 0.0
    for loader, computing, seconds in (
        (train, cost.training, cost.reading),
        (val, VALIDATION_COST * cost.training, cost.reading_val),
    ):
        reading = (seconds or 0.0) / max(1, loader.num_workers) / trainer.world_size
        is_parallel = loader.num_workers > 0 and config.device.accelerator != "cpu"
        per_image = max(computing, reading) if is_parallel else computing + reading
        total += len(loader) * images_per_step * trainer.world_size * per_image
    return Projection(max(config.epochs * total, 1.0), 1 / cost.training, cost.reading, cost.memory)


def _seconds_per_image(loader: DataLoader[Any]) -> float | None:
    """Return the seconds of reading and transforming an image in this process.

    None for a stream, which would lose its first images.
    """
    samples: Any = loader.dataset
    if not hasattr(samples, "images"):
        return None
    indices = spread_indices(len(samples), SAMPLE_IMAGES)
    samples[int(indices[0])]  # opens what stays open
    start = time.monotonic()
    for index in indices:
        samples[int(index)]
    return (time.monotonic() - start) / len(indices)
