"""Build the optimizer, the schedule and the weight average of a training run."""

from typing import Any

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from spectralvision.engine.optimizer_config import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return timm's optimizer over the weights of a model."""
    assert not isinstance(config.lr, str), "resolve against the data first"
    return create_optimizer_v2(
        model,
        opt=config.opt,
        lr=config.lr,
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay,
    )


def build_schedule(
    optimizer: torch.optim.Optimizer, config: OptimizerConfig, epochs: int, updates_per_epoch: int
) -> Any:
    """Return timm's schedule, to be stepped with `step_update`; None for `none`."""
    assert not isinstance(config.lr, str), "resolve against the data first"
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched=config.sched,
        num_epochs=epochs,
        warmup_epochs=config.warmup_epochs,  # type: ignore[arg-type]
        warmup_lr=config.lr * config.warmup_start,
        min_lr=config.lr * config.min_lr,
        step_on_epochs=False,
        updates_per_epoch=max(1, updates_per_epoch),
    )
    return schedule


def build_average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """Return a moving average of a model's weights and buffers; None without decay."""
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
