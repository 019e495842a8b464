"""Build the optimizer, the schedule and the weight average of a training run."""

from typing import Any

import torch
from timm.optim import create_optimizer_v2, param_groups_weight_decay
from timm.scheduler import create_scheduler_v2
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.runs import UserError


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return timm's optimizer over the weights of a model."""
    assert not isinstance(config.lr, str), "resolve against the data first"
    assert not isinstance(config.layer_decay, str), "resolve against the model first"
    groups: Any = model
    if config.backbone_lr != 1:
        groups = _scale_backbone(model, config)
    return create_optimizer_v2(
        groups,
        opt=config.opt,
        lr=config.lr,
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay,
    )


def _scale_backbone(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Return groups of weights with another learning rate for those of `model.backbone`."""
    backbone: Any = getattr(model, "backbone", None)
    if backbone is None:
        raise UserError("--backbone-lr needs a model with a decoder or a detector: leave it out.")
    skipped = list(find_undecayed(model))
    of_backbone = {id(parameter) for parameter in backbone.parameters()}
    scale: dict[str, float] = {"lr_scale": config.backbone_lr}  # read by timm's schedules
    if config.sched == "none":
        scale = {"lr": float(config.lr) * config.backbone_lr}
    found = []
    for group in param_groups_weight_decay(
        model, config.weight_decay, no_weight_decay_list=skipped
    ):
        inside = [one for one in group["params"] if id(one) in of_backbone]
        outside = [one for one in group["params"] if id(one) not in of_backbone]
        found += [group | {"params": inside} | scale, group | {"params": outside}]
    return [group for group in found if group["params"]]


def find_undecayed(model: nn.Module) -> set[str]:
    """Return the names of the weights that modules inside a model exclude from weight decay."""
    return {
        f"{prefix}.{name}"
        for prefix, module in model.named_modules()
        if module is not model and hasattr(module, "no_weight_decay")
        for name in module.no_weight_decay()  # type: ignore[operator]
    }


def build_schedule(
    optimizer: torch.optim.Optimizer, config: OptimizerConfig, epochs: int, updates_per_epoch: int
) -> Any:
    """Return timm's schedule, to be stepped with `step_update`; None for `none`."""
    assert not isinstance(config.lr, str), "resolve against the data first"
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched=config.sched,
        num_epochs=epochs,
        decay_milestones=list(config.decay_epochs),
        warmup_epochs=config.warmup_epochs,  # type: ignore[arg-type]
        warmup_lr=config.lr * config.warmup_start,
        min_lr=config.lr * config.min_lr,
        step_on_epochs=False,
        updates_per_epoch=max(1, updates_per_epoch),
    )
    return schedule


def build_average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """Return a moving average of a model's weights and buffers; None without decay.

    After n updates the decay is at most (1 + n) / (10 + n), so that the first values, such as the
    variances of batch norms, are soon forgotten.
    """
    if decay is None:
        return None

    def update(averages: Any, values: Any, updates: Any) -> None:
        n = int(updates)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averages, values, updates)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
