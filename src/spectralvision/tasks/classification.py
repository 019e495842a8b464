"""Classification: the Lightning module, and training, evaluation and prediction on the same engine."""

import errno
import logging
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from timm.data import Mixup
from timm.scheduler import create_scheduler_v2
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchmetrics import Accuracy, MeanMetric, Metric, MetricCollection

from spectralvision.data.loading import seeded
from spectralvision.runs import UserError
from spectralvision.tasks import trial
from spectralvision.tasks.callbacks import KeepBest, ProgressBar, WholeCheckpoints
from spectralvision.tasks.optimisation import Optimisation

Batch = tuple[Tensor, Tensor]
MIXING, DROPPING = 1, 2  # what a seed is for
LOOK = 50  # updates between looks at a loss on an accelerator, as each look waits for it


class NotFiniteError(ArithmeticError):
    """The loss is no number any more."""


class Classifier(pl.LightningModule):
    """Trains and judges a model that gives (B, num_classes) logits of (B, 3, H, W) images.

    `class_weights` say what an image of each class weighs in the training loss.
    """

    class_weights: Tensor | None

    def __init__(self, model: nn.Module, optimisation: Optimisation | None = None, epochs: int = 1, seed: int = 0,
                 class_weights: list[float] | None = None):  # fmt: skip
        super().__init__()
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.model, self.optimisation, self.epochs, self.seed = model, optimisation, epochs, seed
        self.seen = 0  # images judged
        self._lost: Tensor | None = None  # the first update whose loss is no number, counted from 1; 0: none
        self.num_classes = int(model.num_classes)  # type: ignore[arg-type]
        options: dict[str, Any] = {"task": "multiclass", "num_classes": self.num_classes}
        top5 = {"top5": Accuracy(**options, top_k=5)} if self.num_classes > 5 else {}
        self.train_scores = _scores(loss=MeanMetric(), top1=Accuracy(**options))
        self.scores = _scores(loss=MeanMetric(), top1=Accuracy(**options), **top5)
        mix = optimisation is not None and (optimisation.mixup > 0 or optimisation.cutmix > 0)
        self.mix = self._mixer(optimisation) if mix and optimisation else None

    def _mixer(self, fields: Optimisation) -> Mixup:
        return Mixup(
            mixup_alpha=fields.mixup,
            cutmix_alpha=fields.cutmix,
            label_smoothing=fields.label_smoothing,
            num_classes=self.num_classes,
        )

    def on_train_epoch_start(self) -> None:
        dataset = getattr(getattr(self.trainer.train_dataloader, "dataset", None), "stream", None)
        if dataset is not None and hasattr(dataset.dataset, "set_epoch"):
            dataset.dataset.set_epoch(self.current_epoch)

    def training_step(self, batch: Batch) -> Tensor:
        assert self.optimisation is not None
        images, labels = batch
        targets, smoothing = labels, self.optimisation.label_smoothing
        if self.mix is not None and len(images) % 2 == 0:  # it pairs images; the last batch may be odd
            with seeded(self.seed, MIXING, self.global_step):
                images, targets = self.mix(images, labels)
            smoothing = 0.0  # is in the mixed targets already
        with seeded(self.seed, DROPPING, self.global_step):
            torch.manual_seed(torch.initial_seed())  # reaches the accelerator's generator too
            logits = self.model(images)
        loss = cross_entropy(logits, targets, weight=self.class_weights, label_smoothing=smoothing)
        self._watch(loss.detach())
        self._count(self.train_scores, loss, logits, labels)
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    def _watch(self, loss: Tensor) -> None:
        lost = torch.zeros((), dtype=torch.int64, device=loss.device) if self._lost is None else self._lost
        self._lost = torch.where(loss.isfinite() | (lost > 0), lost, self.global_step + 1)
        if loss.device.type == "cpu" or self.global_step % LOOK == 0:
            self._refuse_lost()

    def _refuse_lost(self) -> None:
        if self._lost is not None and (step := int(self._lost)):
            raise NotFiniteError(f"the loss is no number at step {step}, in epoch {self.current_epoch + 1}")

    def on_validation_epoch_start(self) -> None:
        self._refuse_lost()

    def validation_step(self, batch: Batch) -> None:
        logits = self.model(batch[0])
        self._count(self.scores, cross_entropy(logits, batch[1]), logits, batch[1])
        self.seen += len(batch[1])

    test_step = validation_step

    def predict_step(self, batch: Batch) -> Tensor:
        """(B, num_classes) probabilities, on the CPU."""
        return self.model(batch[0]).float().softmax(dim=-1).cpu()

    def _count(self, scores: MetricCollection, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        for name, score in scores.items():
            if name == "loss":
                score.update(loss.detach().float(), weight=len(labels))
            else:
                score.update(logits.detach(), labels)

    def configure_optimizers(self) -> Any:
        fields, trainer = self.optimisation, self.trainer
        assert fields is not None
        assert not isinstance(fields.lr, str), "resolve against the data first"
        optimizer = trial.make_optimizer(self.model, fields)
        scheduler, _ = create_scheduler_v2(
            optimizer,
            sched=fields.sched,
            num_epochs=self.epochs,
            warmup_epochs=fields.warmup_epochs,  # type: ignore[arg-type]
            warmup_lr=fields.lr / 100,
            min_lr=fields.lr * fields.min_lr,
            step_on_epochs=False,
            updates_per_epoch=max(1, int(trainer.estimated_stepping_batches) // self.epochs),
        )
        if scheduler is None:  # sched "none"
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        scheduler.step_update(num_updates=self.global_step)


def _scores(**scores: Metric) -> MetricCollection:
    return MetricCollection(dict(scores), compute_groups=False)  # type: ignore[arg-type]


def choose_device(device: str = "auto", precision: str = "auto") -> tuple[str, str]:
    """(accelerator, precision): the accelerator at hand, and bfloat16 where it is fast, else float32.

    Raises:
        UserError: There is no such device here.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name, is_there in there.items() if is_there)
    if not there[device]:
        raise UserError(f"--device {device}: this machine has none, or torch does not find it; --device cpu works.")
    if precision == "auto":
        cuda = device == "cuda" and torch.cuda.is_available()
        precision = "bf16-mixed" if cuda and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return device, {"32": "32-true"}.get(precision, precision)


def fit(module: Classifier, train: DataLoader[Any], val: DataLoader[Any], run: Path, options: dict[str, Any],
        say: Callable[[str], None], resume: bool = False) -> KeepBest:  # fmt: skip
    """Trains; the best weights, metrics and the last checkpoint are in `run` when it returns or is interrupted.

    With `resume` it goes on from that checkpoint; the result is that of a run without the interruption.

    Raises:
        KeyboardInterrupt: On Ctrl-C, after Lightning has closed down.
        UserError: The loss is no number any more, the disk is full, or memory does not suffice.
    """
    fields = module.optimisation
    assert fields is not None
    keep = KeepBest(run, say=None if sys.stderr.isatty() else say)
    last = ModelCheckpoint(run / "checkpoints", filename="last", save_top_k=1, enable_version_counter=False)
    callbacks: list[Callback] = [keep, last]  # KeepBest before the average is swapped out again
    if fields.ema is not None:
        callbacks.append(EMAWeightAveraging(decay=fields.ema))
    with _quiet():
        trainer = _trainer(
            options,
            callbacks,
            max_epochs=module.epochs,
            gradient_clip_val=fields.clip_grad,
            plugins=[WholeCheckpoints()],
        )
        checkpoint = str(last_checkpoint(run)) if resume else None
        failure, resumable = None, False
        try:
            trainer.fit(module, train, val, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:
            if not trainer.interrupted:
                raise
            signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning left it ignored
            raise KeyboardInterrupt from None
        except Exception as error:
            failure, resumable = _mishap(error)
            if failure is None:
                raise
    if failure is not None:  # outside of the handler, which keeps the tensors of the failed step alive
        if failure == MEMORY:
            failure = trial.too_large(module.model.cpu(), fields, train.batch_size or 1, options)
        raise UserError(f"{failure.rstrip('.')}; {kept(run, resumable)}.")
    return keep


MEMORY = "out of memory"


def last_checkpoint(run: Path) -> Path:
    """Where a run keeps what it goes on from."""
    return run / "checkpoints" / "last.ckpt"


def kept(run: Path, resumable: bool = True) -> str:
    """What an unfinished run holds, and how it goes on, in words."""
    if not (run / "model.safetensors").exists():
        return f"no epoch had ended, so {run} holds no weights"
    on = f"; `spectralvision train --resume {run}` goes on" if resumable and last_checkpoint(run).exists() else ""
    return f"the best weights so far are in {run}{on}"


def _mishap(error: Exception) -> tuple[str | None, bool]:
    """What the person who waits can mend, in words, and whether going on mends it; None for our own mistakes."""
    if isinstance(error, NotFiniteError):
        return f"{error}: a lower --lr or --precision 32 may help", False
    if trial.out_of_memory(error):
        return MEMORY, False
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)
    return (f"the disk is full ({error})" if full else None), full


def evaluate(module: Classifier, loader: DataLoader[Any], options: dict[str, Any]) -> dict[str, Any]:
    """Top-1, top-5 (None with five classes or fewer), loss, images and images per second over a loader."""
    start = time.monotonic()
    with _quiet():
        _trainer(options).test(module, loader, verbose=False)
    seconds = time.monotonic() - start
    scores = {name: float(value) for name, value in module.scores.compute().items()}
    images, module.seen = module.seen, 0
    module.scores.reset()
    return {
        "top1": scores["top1"],
        "top5": scores.get("top5"),
        "loss": scores["loss"],
        "images": images,
        "images_per_second": round(images / seconds, 1),
    }


def predict(module: Classifier, loader: DataLoader[Any], options: dict[str, Any]) -> Tensor:
    """(N, num_classes) probabilities of the images of a loader, in order."""
    with _quiet():
        return torch.cat(_trainer(options).predict(module, loader))  # type: ignore[arg-type]


def _trainer(options: dict[str, Any], callbacks: list[Callback] | None = None, **fields: Any) -> pl.Trainer:
    bar = sys.stderr.isatty()
    callbacks = list(callbacks or [])
    if bar:
        callbacks.append(ProgressBar(next((one for one in callbacks if isinstance(one, KeepBest)), None)))
    return pl.Trainer(
        accelerator=options["accelerator"],
        precision=options["precision"],
        devices=1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **fields,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Lightning's notices about devices and workers out of the terminal; warnings of its code paths stay."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
            warnings.filterwarnings(
                "ignore", message="Your `IterableDataset` has `__len__` defined"
            )  # timm's share out
            warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")  # Lightning against newer torch
            yield
    finally:
        logger.setLevel(level)
