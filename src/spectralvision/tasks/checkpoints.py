"""The checkpoint that a run goes on from, and the end that SIGTERM asks for.

A resumed run ends with the weights of one that was not interrupted, on a CPU bit for bit: Lightning restores weights,
average, optimiser, schedule, scaler and counters; here are the place in the epoch, the figures of the epoch so far, and
a validation that was broken off, which begins anew.
"""

import io
import signal
import threading
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn

from spectralvision.runs import replacing


def last_checkpoint(run: Path) -> Path:
    """Where a run keeps what it goes on from."""
    return run / "checkpoints" / "last.ckpt"


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints written beside, then renamed: a kill or a full disk leaves the one before."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        buffer = io.BytesIO()  # torch's own writer says neither OSError nor why
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(Path(path)) as beside:
            beside.write_bytes(buffer.getbuffer())


class LastCheckpoint(Checkpoint):
    """Writes `path` before the first update, every so many minutes, after each epoch, and on SIGTERM, which ends the
    training once the step is done; `stopped` says so then.

    `batches` is the batch sampler of the training; None where the data cannot be gone into midway.
    """

    def __init__(self, path: Path, minutes: float, batches: Any = None) -> None:
        self.path, self.seconds, self.batches = path, 60 * minutes, batches
        self.asked = self.stopped = False
        self._last = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.asked = trainer.received_sigterm
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._ask)  # Lightning's own speaks to the other processes amid their work
        if trainer.global_step == 0:
            self._save(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_last_batch and (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._look(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any, **options: Any) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._look(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._look(trainer, due=True, stop=trainer.current_epoch + 1 != trainer.max_epochs)

    def _ask(self, *_: Any) -> None:
        self.asked = True

    def _look(self, trainer: pl.Trainer, due: bool = False, stop: bool = True) -> None:
        """Saves and stops where it is time to; all processes decide alike."""
        due = due or time.monotonic() - self._last >= self.seconds
        wish = 2 if self.asked and stop else int(due)
        if trainer.world_size > 1:
            wish = int(
                trainer.strategy.reduce(torch.tensor(wish, device=trainer.strategy.root_device), reduce_op="max")
            )
        if wish:
            self._save(trainer)
        if wish == 2:
            self.stopped = True
            raise KeyboardInterrupt  # Lightning's way to close down

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._last = time.monotonic()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        module: Any = pl_module
        checkpoint["train_scores"] = {}
        for name, score in module.train_scores.items():
            with score.sync_context():  # the figures of all processes, in the checkpoint of one
                checkpoint["train_scores"][name] = {key: value.clone() for key, value in score.metric_state.items()}
        if trainer.validating:
            _as_before_validation(checkpoint)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        module: Any = pl_module
        for name, state in checkpoint["train_scores"].items():
            score = module.train_scores[name]
            for key, value in state.items():
                setattr(score, key, value if trainer.is_global_zero else torch.zeros_like(value))
            score._update_count = 1  # has seen images
        if hasattr(self.batches, "go_on"):
            loop = checkpoint["loops"]["fit_loop"]
            epochs, parts = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]["current"]
            midway = epochs["ready"] > epochs["processed"]
            self.batches.go_on(epochs["processed"], parts["processed"] if midway else 0)


def _as_before_validation(checkpoint: dict[str, Any]) -> None:
    """Makes of a checkpoint taken in validation one from which Lightning begins that validation anew."""
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
    progress["total"] |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}  # its mark of one broken off
    progress["current"] |= {"ready": 0, "started": 0, "processed": 0, "completed": 0}
    if "current_model_state" in checkpoint:  # in validation the average stands in the model's place, and it in its
        current, average = checkpoint["state_dict"], checkpoint["current_model_state"]
        checkpoint |= {"state_dict": average, "current_model_state": current}
