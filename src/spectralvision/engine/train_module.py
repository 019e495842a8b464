"""What a task hands to the engine: a model with its loss and metrics, and the metric to watch."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from spectralvision.data.seeding import temporary_seed
from spectralvision.engine.devices import Device
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.engine.trainer_config import TrainerConfig

DRAWS = 2
"""The random draws of a model, beside others with the same seed."""


class Monitor(NamedTuple):
    """The metric that chooses the best epoch."""

    metric: str
    """A column of metrics.csv, such as val_top1."""
    mode: Literal["max", "min"] = "max"
    tie: str | None = None
    """A column that decides between equals, lower is better, such as val_loss."""
    title: str = ""
    """What to call the metric in messages, such as val top-1."""
    is_fraction: bool = True
    """Whether the metric is shown in per cent."""

    def format(self, value: float) -> str:
        """Return a value of the metric for messages."""
        return f"{value:.2%}" if self.is_fraction else f"{value:.4g}"

    def key(self, row: dict[str, Any]) -> tuple[float, float]:
        """Return a sort key of a row of metrics.csv: the smallest is the best."""
        value = float(row[self.metric])
        return (-value if self.mode == "max" else value, float(row[self.tie]) if self.tie else 0.0)


class Step(NamedTuple):
    """Where a training step stands: everything its randomness may depend on."""

    epoch: int
    """From 0."""
    update: int
    """Optimizer updates before this one."""
    batch: int
    """Number of this rank's batch in the epoch; accumulation steps count."""
    rank: int
    total_images: int
    """Images of the whole update, over all ranks and accumulation steps."""


@contextmanager
def seeded_draws(seed: int, step: Step) -> Iterator[None]:
    """Make random draws inside the block, of any device, depend on the seed and the step alone."""
    with temporary_seed(seed, DRAWS, step.update, step.rank, step.batch):
        torch.manual_seed(torch.initial_seed())  # seeds the accelerator's generator too
        yield


class TrainModule(nn.Module):
    """A model with its training loss and its validation metrics.

    Attributes:
        model: What is trained and saved.
        metrics: Of validation; the engine computes and resets them.
        forward_methods: Methods of the model besides `forward` that `training_step` calls.
    """

    model: nn.Module
    metrics: MetricCollection
    forward_methods: tuple[str, ...] = ()

    def training_step(self, batch: Any, step: Step) -> dict[str, Tensor]:
        """Return "loss" and other scalars, each a mean over the images of the batch."""
        raise NotImplementedError

    def forward(self, images: Any) -> Any:
        """Return the outputs of the model for (B, 3, H, W) images."""
        return self.model(images)

    def update_metrics(self, outputs: Any, targets: Any) -> None:
        """Update `metrics` with outputs and the targets of the same images."""
        raise NotImplementedError

    def eval_step(self, batch: Any) -> None:
        """Update `metrics` with the model's outputs on a batch (images, targets)."""
        images, targets = batch
        self.update_metrics(self(images), targets)

    def take_validation(self, values: Mapping[str, float]) -> None:
        """Take the metrics of an epoch, on all ranks, before its weights are saved."""
        return None

    def example_batch(self, count: int) -> Any:
        """Return a batch of random images with valid targets, for trial steps."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How to train a `TrainModule`."""

    epochs: int
    early_stop: int | None = None
    """Epochs without a better one after which training stops."""
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    device: Device
    monitor: Monitor
    save: Callable[[nn.Module, Path], None]
    """Write the weights of the best epoch into the run folder."""
