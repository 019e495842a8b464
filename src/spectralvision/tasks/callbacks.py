"""What happens around the epochs of a training: the best weights, the metrics, the checkpoint, the progress shown."""

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.profilers import Profiler

from spectralvision.runs import spoken, write_text
from spectralvision.tasks.loading import save_model


class Waiting(Profiler):
    """Seconds in which training has waited for its next batch, by what Lightning's profiler is told.

    An accelerator computes while Python has gone ahead to the next batch. So its work is waited for before the clock
    starts: once in `every` batches, which stand for the others.
    """

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        self.every, self.seconds = every, 0.0
        self._batches, self._since = 0, 0.0

    def start(self, action_name: str) -> None:
        if action_name.endswith("train_dataloader_next"):
            self._batches += 1
            if self.every > 1 and self._batches % self.every == 0:
                torch.accelerator.synchronize()
            self._since = time.monotonic()

    def stop(self, action_name: str) -> None:
        if action_name.endswith("train_dataloader_next") and self._batches % self.every == 0:
            self.seconds += self.every * (time.monotonic() - self._since)


class Pace:
    """Images a second in training, and the time left, from what this session has done."""

    def __init__(self, trainer: pl.Trainer) -> None:
        self.trainer, self.start, self.first = trainer, time.monotonic(), trainer.global_step
        self.training = 0.0  # seconds of training epochs that have ended
        self.epoch_start: float | None = None

    def images_per_second(self) -> float:
        """Since this session began, validation left out."""
        ongoing = 0.0 if self.epoch_start is None else time.monotonic() - self.epoch_start
        batch = mean_batch(self.trainer.train_dataloader)
        return batch * (self.trainer.global_step - self.first) / max(self.training + ongoing, 1e-9)

    def data_wait(self) -> float:
        """Share of the training time of this session that was spent waiting for data."""
        trainer: Any = self.trainer
        seconds = getattr(trainer.profiler, "seconds", 0.0)
        return min(1.0, seconds / self.training) if self.training else 0.0

    def seconds_left(self) -> float:
        """If it goes on as it went, validation included."""
        done = self.trainer.global_step - self.first
        left = int(self.trainer.estimated_stepping_batches) - self.trainer.global_step
        return (time.monotonic() - self.start) / max(done, 1) * max(left, 0)

    def begin_epoch(self) -> None:
        self.epoch_start = time.monotonic()

    def end_epoch(self) -> None:
        if self.epoch_start is not None:
            self.training, self.epoch_start = self.training + time.monotonic() - self.epoch_start, None


def batch_size(loader: Any) -> int:
    """Images an update, over all processes."""
    return int(getattr(loader.batch_sampler, "batch_size", None) or loader.batch_size or 1)


def mean_batch(loader: Any) -> float:
    """Images an update on average, over all processes."""
    batches = loader.batch_sampler
    return batches.mean_length() if hasattr(batches, "mean_length") else batch_size(loader)


class KeepBest(Callback):
    """After each validation: a row of `metrics.csv` and of the loggers, a line where no progress bar is, and the best
    weights so far.

    The best is the highest validation top-1, of equals the one with the lowest loss. Rows travel in the checkpoint, so
    that a resumed run goes on with them.
    """

    def __init__(self, run: Path, say: Callable[[str], None] | None = None) -> None:
        self.run, self.say = run, say
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.pace: Pace | None = None
        self._start = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "best": self.best, "seconds": time.monotonic() - self._start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.best = list(state_dict["rows"]), state_dict["best"]
        self._start = time.monotonic() - state_dict["seconds"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.pace = Pace(trainer)
        self.pace.begin_epoch()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.pace:
            self.pace.begin_epoch()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.pace:
            self.pace.end_epoch()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module: Any = pl_module
        assert self.pace is not None
        train = {name: float(value) for name, value in module.train_scores.compute().items()}
        val = {name: float(value) for name, value in module.scores.compute().items()}
        module.log("val_top1", val["top1"], prog_bar=True, logger=False)
        module.train_scores.reset()
        module.scores.reset()
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "lr": max(group["lr"] for group in trainer.optimizers[0].param_groups),
            **{f"train_{name}": value for name, value in train.items()},
            **{f"val_{name}": value for name, value in val.items()},
            "images_per_second": round(self.pace.images_per_second(), 1),
            "data_wait": round(self.pace.data_wait(), 3),
            "seconds": round(time.monotonic() - self._start, 1),
        }
        if self.best is None or (-val["top1"], val["loss"]) < (-self.best["val_top1"], self.best["val_loss"]):
            self.best = row
            if trainer.is_global_zero:
                save_model(module.model, self.run)
        self.rows.append(row)
        if trainer.is_global_zero:
            self._write()
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.global_step)
        if self.say:
            self.say(self._line(row, trainer))

    def _line(self, row: dict[str, Any], trainer: pl.Trainer) -> str:
        assert self.pace is not None
        left = "" if row["epoch"] == trainer.max_epochs else f", {spoken(self.pace.seconds_left())} left"
        return (
            f"epoch {row['epoch']}/{trainer.max_epochs}  train loss {row['train_loss']:.3f}, "
            f"top-1 {row['train_top1']:.2%}  val loss {row['val_loss']:.3f}, top-1 {row['val_top1']:.2%}  "
            f"{row['images_per_second']:.0f} images/s{left}"
        )

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.run / "metrics.csv", text.getvalue())


class ProgressBar(RichProgressBar):
    """Lightning's bar with epochs counted from 1; in training with top-1, images per second and time left of it all."""

    def __init__(self, keep: KeepBest | None = None) -> None:
        super().__init__(refresh_rate=2, console_kwargs={"stderr": True})
        self._keep = keep
        self._top1 = 0.0

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        items = super().get_metrics(trainer, pl_module)
        if self._keep is None or self._keep.pace is None:
            return items
        module: Any = pl_module
        score = module.train_scores["top1"]
        if score.update_called and trainer.world_size == 1:  # not just after an epoch; of several processes all compute
            self._top1 = float(score.compute())
        pace = self._keep.pace
        shown: dict[str, Any] = {"loss": items.get("loss", float("nan"))}
        if trainer.world_size == 1:
            shown["top1"] = f"{self._top1:.0%}"
        if "val_top1" in items:
            shown["val"] = f"{items['val_top1']:.0%}"
        return shown | {"images/s": f"{pace.images_per_second():.0f}", "left": spoken(pace.seconds_left())}

    def configure_columns(self, trainer: pl.Trainer) -> list[Any]:
        columns: list[Any] = super().configure_columns(trainer)
        if self._keep is None:
            return columns
        columns[1].bar_width = 5
        return columns[:3]  # Lightning's own times are those of one epoch; all has to fit into 80 characters

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}".ljust(len("Validation"))
