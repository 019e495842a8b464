"""Find a learning rate by Lightning's range test: a hundred steps at a rate that grows.

Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017. The rate found is where
the loss falls fastest per decade, by lines fitted to the losses of single batches. Lightning's own
suggestion is the steepest slope over the rate itself, which is nearly always among the lowest
rates, and its smoothed loss starts at half of the true one.
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
from scipy.stats import linregress
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
MIN_FALL, SIGNIFICANCE = 1e-3, 4.0
"""The loss falls by at least so much per decade, with so many standard errors to spare."""
WINDOW_STEPS = 30
"""Steps over which a slope is fitted, 1.5 decades: single batches are noisy."""


class RangeTest(LightningModule):
    """Training steps on a copy of a module."""

    def __init__(self, module: TrainModule, config: FitConfig) -> None:
        super().__init__()
        self.module = deepcopy(module)
        self.config = config
        self.lr = LOWEST  # where Lightning stores its own suggestion
        self.losses: list[tuple[float, float]] = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.module.model, self.config.optimizer)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        step = Step(0, batch_idx, batch_idx, 0, len(batch[0]))
        loss = self.module.training_step(batch, step)["loss"]
        optimizer: Any = self.optimizers()
        self.losses.append((optimizer.param_groups[0]["lr"], float(loss)))
        return loss


def find_learning_rate(
    module: TrainModule, train: DataLoader[Any], config: FitConfig
) -> float | None:
    """Return a peak learning rate for a module on its training batches; nothing is changed.

    None: the loss does not fall within the test by more than its noise.

    Raises:
        UserError: There are several processes.
    """
    if config.trainer.world_size > 1:
        raise UserError(
            "--lr find works in one process: find the rate on one device with --dry-run, and pass "
            "it as --lr."
        )
    return steepest_rate(_test_rates(module, train, config))


def steepest_rate(losses: list[tuple[float, float]]) -> float | None:
    """Return the rate at which the loss falls fastest per decade, with two digits; None: nowhere.

    Args:
        losses: Pairs of a learning rate and the loss of a batch, or of several batches that are
            accumulated, by increasing rate.
    """
    finite = np.array(losses)[np.isfinite(losses).all(axis=1)]
    rates, steps = np.unique(finite[:, 0], return_inverse=True)
    if len(rates) < WINDOW_STEPS:
        return None
    means = np.bincount(steps, finite[:, 1]) / np.bincount(steps)
    points = np.stack([np.log10(rates), means], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(points, WINDOW_STEPS, axis=0)
    lines = [linregress(*window) for window in windows]
    steepest = int(np.argmin([line.slope for line in lines]))
    highest = lines[steepest].slope + SIGNIFICANCE * lines[steepest].stderr
    return float(f"{10 ** windows[steepest, 0].mean():.2g}") if highest <= -MIN_FALL else None


def _test_rates(
    module: TrainModule, train: DataLoader[Any], config: FitConfig
) -> list[tuple[float, float]]:
    """Return the rates that were tried, and the loss of a batch at each."""
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
        test = RangeTest(module, config)
        Tuner(trainer).lr_find(
            test,
            train,
            min_lr=LOWEST,
            max_lr=HIGHEST,
            num_training=STEPS,
            early_stop_threshold=4.0,
        )
    return test.losses
