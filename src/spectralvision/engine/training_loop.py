"""The training loop.

    run_epochs     for each epoch: train_epoch, validate
    train_epoch    for each batch: training_step
    training_step  loss, backward; after the last accumulation step of a batch: update

Randomness is a function of (seed, epoch, update, image), never of what happened before, and the
checkpoint holds the rest: a resumed run equals one that was not interrupted.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from spectralvision.engine.checkpoints import StopRequest
from spectralvision.engine.errors import NotFiniteError
from spectralvision.engine.loggers import build_loggers
from spectralvision.engine.pace import Pace
from spectralvision.engine.progress import TrainingBar, is_terminal
from spectralvision.engine.train_module import FitConfig, Step, TrainModule
from spectralvision.engine.train_state import Position, TrainState
from spectralvision.runs import SigtermInterrupt, format_duration, format_rate

STEPS_BETWEEN_CHECKS = 50
"""Updates between checks of the loss on an accelerator, as each check waits for it."""
STEPS_BETWEEN_LOGS = 50
STEPS_BETWEEN_BARS = 20


class TrainingLoop:
    """The steps of a training run. See `fit` for the arguments."""

    def __init__(
        self,
        module: TrainModule,
        train: DataLoader[Any],
        val: DataLoader[Any],
        run: Path,
        config: FitConfig,
        say: Callable[[str], None],
    ) -> None:
        self.train, self.val, self.config, self.say = train, val, config, say
        self.updates_per_epoch = len(train) // config.trainer.accumulate
        self.state = TrainState(module, config, self.updates_per_epoch, run)
        self.fabric = self.state.fabric
        self.pace = Pace(config.device.accelerator)
        self.stop = StopRequest()
        self.bar = TrainingBar(say)
        self.loggers = (
            build_loggers(config.trainer.logger, run) if self.fabric.is_global_zero else []
        )
        self.batch_size = 0  # images of the last update
        self.first_bad_update = torch.zeros((), dtype=torch.int64, device=self.fabric.device)

    def run_epochs(self, resume: bool) -> None:
        """Train and validate until the last epoch."""
        if resume:
            self.pace.resume(self.state.load())
        with self.stop.listen(), self.bar.show(is_shown=self.fabric.is_global_zero):
            if not resume:
                self.save()
            for epoch in range(self.state.position.epoch, self.config.epochs):
                if self.stops_early():
                    self.say(self._describe_early_stop(epoch))
                    break
                self.train_epoch(epoch)
                self.validate(epoch)
        for logger in self.loggers:
            logger.finalize("success")

    def stops_early(self) -> bool:
        """Return whether the last epochs were no better than one before them."""
        patience, log = self.config.early_stop, self.state.log
        if patience is None or log.best is None:
            return False
        return bool(log.rows[-1]["epoch"] - log.best["epoch"] >= patience)

    def train_epoch(self, epoch: int) -> None:
        """Take the updates of an epoch that are not done yet."""
        position = self.state.position
        sampler: Any = self.train.batch_sampler
        if hasattr(sampler, "resume_at"):
            sampler.resume_at(epoch, position.batch)
        elif hasattr(self.train.dataset, "set_epoch"):
            self.train.dataset.set_epoch(epoch)
            position.batch = 0  # a stream starts its epoch again
        self.state.module.train()
        title = f"Epoch {epoch + 1}/{self.config.epochs}"
        self.bar.begin(title, len(self.train), position.batch)
        self.pace.begin_training()
        for batch in self.pace.time_batches(self.train):
            self.training_step(self.fabric.to_device(batch))
        self.pace.end_training()

    def training_step(self, batch: Any) -> None:
        """Take an accumulation step, and an update after the last one of a batch."""
        # 1. Loss and gradient; the weight makes the sum over ranks and steps a mean over images
        position = self.state.position
        images = len(batch[0])
        total = self._images_of_update(position.batch, images)
        step = Step(
            position.epoch, position.updates, position.batch, self.fabric.global_rank, total
        )
        is_update = (position.batch + 1) % self.config.trainer.accumulate == 0
        with self.fabric.no_backward_sync(self.state.wrapped, enabled=not is_update):
            with self.fabric.autocast():  # in one process, the wrapped module does not enter it
                values = self.state.wrapped.training_step(batch, step)
            self.fabric.backward(values["loss"] * (images * self.fabric.world_size / total))

        # 2. Metrics
        values = {name: value.detach() for name, value in values.items()}
        self.state.add_to_sums(values, images)
        self._watch(values["loss"])

        # 3. Update
        position.batch += 1
        self.batch_size = total
        if is_update:
            self.state.update()
            self.pace.count(total)
            self._log_update(values["loss"])
        self._show(values["loss"])
        if is_update:
            self.checkpoint_if_due()

    def validate(self, epoch: int) -> None:
        """Compute the metrics of an epoch, save the best weights, and checkpoint."""
        # 1. Metrics over the validation images
        self.check_finite()
        self.bar.begin("Validation", len(self.val))
        with self.state.evaluating() as module:
            module.metrics.reset()
            for batch in self.val:
                with self.fabric.autocast():
                    module.eval_step(self.fabric.to_device(batch))
                self.bar.advance({} if self.bar.is_line_due() else None)
                self.checkpoint_if_due()
            val = {name: float(value) for name, value in module.metrics.compute().items()}

            # 2. A row of metrics.csv, and the weights
            module.take_validation(val)
            row = self._row(epoch, val)
            if self.state.log.add(row):
                self.state.save_weights()
            self._report(row)

        # 3. The checkpoint
        self.state.position = Position(epoch + 1, 0, self.state.position.updates)
        self.state.sums = {}
        self.checkpoint_if_due(is_due=True, may_stop=epoch + 1 < self.config.epochs)

    def checkpoint_if_due(self, is_due: bool = False, may_stop: bool = True) -> None:
        """Save when it is time, and stop if SIGTERM asked for it; all ranks decide alike."""
        seconds = 60 * self.config.trainer.checkpoint_minutes
        is_due = is_due or self.pace.seconds_since_checkpoint() >= seconds
        wish = 2 if self.stop.is_set and may_stop else int(is_due)
        wish = int(self.state.over_ranks(torch.tensor(wish, device=self.fabric.device), "max"))
        if wish:
            self.save()
        if wish == 2:
            raise SigtermInterrupt

    def save(self) -> None:
        """Write the checkpoint."""
        self.check_finite()
        self.state.save(self.pace.seconds())
        self.pace.checkpointed()

    def check_finite(self) -> None:
        """Raise `NotFiniteError` if a loss of this rank was NaN or infinite."""
        if update := int(self.first_bad_update):
            epoch = self.state.position.epoch + 1
            raise NotFiniteError(f"loss is NaN or infinite at step {update}, in epoch {epoch}")

    def _watch(self, loss: Tensor) -> None:
        update = self.state.position.updates + 1
        is_good = loss.isfinite() | (self.first_bad_update > 0)
        self.first_bad_update = torch.where(is_good, self.first_bad_update, update)
        if loss.device.type == "cpu" or update % STEPS_BETWEEN_CHECKS == 0:
            self.check_finite()

    def _images_of_update(self, batch: int, images: int) -> int:
        """Return the images of an update, over all ranks and accumulation steps."""
        sampler: Any = self.train.batch_sampler
        return sampler.batch_size_of(batch) if hasattr(sampler, "batch_size_of") else images

    def _row(self, epoch: int, val: dict[str, float]) -> dict[str, Any]:
        """Return the row of metrics.csv of an epoch."""
        train = self.state.training_metrics()
        return {
            "epoch": epoch + 1,
            "step": self.state.position.updates,
            "lr": max(group["lr"] for group in self.state.optimizer.param_groups),
            **{f"train_{name}": value for name, value in train.items()},
            **{f"val_{name}": value for name, value in val.items()},
            "images_per_second": round(self.pace.images_per_second(), 1),
            "data_wait": round(self.pace.data_wait(), 3),
            "seconds": round(self.pace.seconds(), 1),
        }

    def _report(self, row: dict[str, Any]) -> None:
        """Write a row into metrics.csv, the loggers and, without a bar, a line for the user."""
        if not self.fabric.is_global_zero:
            return
        self.state.log.write()
        for logger in self.loggers:
            logger.log_metrics(row, step=row["step"])
        if not is_terminal():
            self.say(self._line(row))
            self.bar.last_line = time.monotonic()

    def _line(self, row: dict[str, Any]) -> str:
        monitor = self.config.monitor
        left = "" if row["epoch"] == self.config.epochs else f", {self._time_left()} left"
        return (
            f"epoch {row['epoch']}/{self.config.epochs}  train loss {row['train_loss']:.3f}, "
            f"{monitor.title} {monitor.format(row[monitor.metric])}  "
            f"{format_rate(row['images_per_second'])}{left}"
        )

    def _log_update(self, loss: Tensor) -> None:
        if self.loggers and self.state.position.updates % STEPS_BETWEEN_LOGS == 1:
            for logger in self.loggers:
                logger.log_metrics({"loss": float(loss)}, step=self.state.position.updates)

    def _show(self, loss: Tensor) -> None:
        """Fill the progress bar."""
        if not self.bar.is_shown:
            self.bar.advance()
            return
        if loss.device.type != "cpu" and self.state.position.batch % STEPS_BETWEEN_BARS:
            self.bar.advance()  # its values would have to be waited for
            return
        monitor = self.config.monitor
        values = {"loss": f"{float(loss):.3f}"}
        if self.state.log.rows:
            values[monitor.title] = monitor.format(self.state.log.rows[-1][monitor.metric])
        values |= {"images/s": f"{self.pace.images_per_second():.0f}", "left": self._time_left()}
        self.bar.advance(values)

    def _describe_early_stop(self, epochs: int) -> str:
        patience = self.config.early_stop
        return (
            f"stop   after {epochs} of {self.config.epochs} epochs: no better "
            f"{self.config.monitor.title} in the last {patience} (--early-stop {patience})"
        )

    def _time_left(self) -> str:
        total = self.config.epochs * self.updates_per_epoch
        return format_duration(self.pace.seconds_left(total - self.state.position.updates))
