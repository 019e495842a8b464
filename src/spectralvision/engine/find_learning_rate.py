"""Find a learning rate by Lightning's range test: a hundred steps at a rate that grows.

Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017. The rate found is where
the smoothed loss falls fastest per decade; Lightning's own suggestion is the steepest slope over
the rate itself, which is nearly always among the lowest rates.
"""

import io
import sys
import warnings
from contextlib import redirect_stderr
from copy import deepcopy
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.tuner import Tuner
from torch import Tensor
from torch.utils.data import DataLoader

from spectralvision.data.seeding import temporary_seed
from spectralvision.engine.devices import silence_lightning
from spectralvision.engine.optimizer import build_optimizer
from spectralvision.engine.progress import is_terminal
from spectralvision.engine.train_module import FitConfig, Step, TrainModule
from spectralvision.runs import UserError

STEPS = 100
LOWEST, HIGHEST = 1e-5, 1.0
SKIPPED_STEPS = 10
"""Steps at the start, before the smoothed loss means anything."""


class RangeTest(LightningModule):
    """Training steps on a copy of a module."""

    def __init__(self, module: TrainModule, config: FitConfig) -> None:
        super().__init__()
        self.module = deepcopy(module)
        self.config = config
        self.lr = LOWEST  # where Lightning stores its own suggestion

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.module.model, self.config.optimizer)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images = len(batch[0])
        return self.module.training_step(batch, Step(0, batch_idx, batch_idx, 0, images))["loss"]


def find_learning_rate(module: TrainModule, train: DataLoader[Any], config: FitConfig) -> float:
    """Return a peak learning rate for a module on its training batches; nothing is changed.

    Raises:
        UserError: There are several processes, or the loss falls at no rate.
    """
    if config.trainer.world_size > 1:
        raise UserError(
            "--lr find works in one process: find the rate on one device with --dry-run, and pass "
            "it as --lr."
        )
    rates, losses = _test_rates(module, train, config)
    rate = steepest_rate(rates, losses)
    if rate is None:
        raise UserError("--lr find: the loss falls at no learning rate: pass a number as --lr.")
    return rate


def steepest_rate(rates: list[float], losses: list[float]) -> float | None:
    """Return the rate at which the loss falls fastest per decade, with two digits; None: nowhere.

    Args:
        rates: Increasing learning rates.
        losses: The smoothed loss at each.
    """
    points = np.array([*zip(rates, losses, strict=False)][SKIPPED_STEPS:]).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 2:
        return None
    slopes = np.gradient(points[:, 1], np.log10(points[:, 0]))
    steepest = int(np.argmin(slopes))
    return float(f"{points[steepest, 0]:.2g}") if slopes[steepest] < 0 else None


def _test_rates(
    module: TrainModule, train: DataLoader[Any], config: FitConfig
) -> tuple[list[float], list[float]]:
    """Return the rates that were tried, and the smoothed loss after each."""
    cuda = range(torch.cuda.device_count()) if config.device.accelerator == "cuda" else []
    with (
        TemporaryDirectory() as folder,
        temporary_seed(0),
        torch.random.fork_rng(cuda),
        warnings.catch_warnings(),
        redirect_stderr(sys.stderr if is_terminal() else io.StringIO()),  # the bar of Lightning's
    ):
        silence_lightning()
        warnings.simplefilter("ignore")  # advice about loaders that are ours
        trainer = Trainer(
            accelerator=config.device.accelerator,
            precision=config.device.precision,  # type: ignore[arg-type]
            devices=1,
            gradient_clip_val=config.optimizer.clip_grad,
            accumulate_grad_batches=config.trainer.accumulate,
            max_epochs=-1,
            max_steps=STEPS,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            logger=False,
            default_root_dir=folder,
        )
        finder = Tuner(trainer).lr_find(
            RangeTest(module, config),
            train,
            min_lr=LOWEST,
            max_lr=HIGHEST,
            num_training=STEPS,
            early_stop_threshold=4.0,
        )
    assert finder is not None
    return finder.results["lr"], finder.results["loss"]
