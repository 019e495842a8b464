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


class Projection(NamedTuple):
    """What a run will take."""

    seconds: float
    """Of the whole run."""
    images_per_second: float
    """In training steps, on all devices together, data loading excluded."""
    memory: int | None
    """Peak of a step in bytes; on a CPU of the whole process."""


def project(
    module: TrainModule,
    config: FitConfig,
    batch_size: int,
    train: DataLoader[Any],
    val: DataLoader[Any],
) -> Projection:
    """Take some training steps on a copy and read some images; no state is changed.

    Workers read while an accelerator computes, but share the cores of a CPU.

    Raises:
        UserError: A batch does not fit into memory.
    """
    trainer = config.trainer
    images_per_step = batch_size // trainer.parts_per_batch
    trial = try_steps(module, config, batch_size)
    computing = trial.seconds / images_per_step / trainer.world_size
    total = 0.0
    for loader, cost in ((train, 1.0), (val, VALIDATION_COST)):
        reading = _seconds_per_image(loader) / max(1, loader.num_workers) / trainer.world_size
        is_parallel = loader.num_workers > 0 and config.device.accelerator != "cpu"
        per_image = max(cost * computing, reading) if is_parallel else cost * computing + reading
        total += len(loader) * images_per_step * trainer.world_size * per_image
    return Projection(max(config.epochs * total, 1.0), 1 / computing, trial.memory)


def _seconds_per_image(loader: DataLoader[Any]) -> float:
    """Return the seconds of reading and transforming an image in this process.

    0 for a stream, which would lose its first images.
    """
    samples: Any = loader.dataset
    if not hasattr(samples, "images"):
        return 0.0
    indices = spread_indices(len(samples), SAMPLE_IMAGES)
    samples[int(indices[0])]  # opens what stays open
    start = time.monotonic()
    for index in indices:
        samples[int(index)]
    return (time.monotonic() - start) / len(indices)
