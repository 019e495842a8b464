"""Classification: the Lightning module, its callbacks, and evaluation and prediction on the same engine."""

import csv
import io
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
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, RichProgressBar
from timm.data import Mixup
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchmetrics import Accuracy, MeanMetric, Metric, MetricCollection

from spectralvision.data.loading import seeded
from spectralvision.runs import write_text
from spectralvision.tasks.loading import save_model
from spectralvision.tasks.optimisation import Optimisation

Batch = tuple[Tensor, Tensor]
MIXING, DROPPING = 1, 2  # what a seed is for


class Classifier(pl.LightningModule):
    """Trains and judges a model that gives (B, num_classes) logits of (B, 3, H, W) images."""

    def __init__(self, model: nn.Module, optimisation: Optimisation | None = None, epochs: int = 1, seed: int = 0):
        super().__init__()
        self.model, self.optimisation, self.epochs, self.seed = model, optimisation, epochs, seed
        self.seen = 0  # images judged
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
        if self.mix is not None:
            with seeded(self.seed, MIXING, self.global_step):
                images, targets = self.mix(images, labels)
            smoothing = 0.0  # is in the mixed targets already
        with seeded(self.seed, DROPPING, self.global_step):
            torch.manual_seed(torch.initial_seed())  # reaches the accelerator's generator too
            logits = self.model(images)
        loss = cross_entropy(logits, targets, label_smoothing=smoothing)
        self._count(self.train_scores, loss, logits, labels)
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

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
        optimizer = create_optimizer_v2(
            self.model,
            opt=fields.opt,
            lr=fields.lr,
            weight_decay=fields.weight_decay,
            layer_decay=fields.layer_decay,
        )
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


class KeepBest(Callback):
    """After each validation: a row of `metrics.csv`, a line where no progress bar is, and the best weights so far.

    The best is the highest validation top-1, of equals the one with the lowest loss.
    """

    def __init__(self, run: Path, say: Callable[[str], None] | None = None) -> None:
        self.run, self.say = run, say
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self._start = time.monotonic()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        train = {name: float(value) for name, value in pl_module.train_scores.compute().items()}
        val = {name: float(value) for name, value in pl_module.scores.compute().items()}
        pl_module.log("val_top1", val["top1"], prog_bar=True, logger=False)
        pl_module.train_scores.reset()
        pl_module.scores.reset()
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "lr": max(group["lr"] for group in trainer.optimizers[0].param_groups),
            **{f"train_{name}": value for name, value in train.items()},
            **{f"val_{name}": value for name, value in val.items()},
            "seconds": round(time.monotonic() - self._start, 1),
        }
        self.rows.append(row)
        self._write()
        if self.best is None or (-val["top1"], val["loss"]) < (-self.best["val_top1"], self.best["val_loss"]):
            save_model(pl_module.model, self.run)
            self.best = row
        if self.say:
            self.say(
                f"epoch {row['epoch']}/{trainer.max_epochs}  train loss {train['loss']:.3f}  "
                f"val loss {val['loss']:.3f}  val top-1 {val['top1']:.2%}  {row['seconds']:.0f} s"
            )

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.run / "metrics.csv", text.getvalue())


class ProgressBar(RichProgressBar):
    """Lightning's bar, with epochs counted from 1 as everywhere else here."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}".ljust(len("Validation"))


def choose_device(device: str = "auto", precision: str = "auto") -> tuple[str, str]:
    """(accelerator, precision): the accelerator at hand, and bfloat16 where it is fast, else float32."""
    if device == "auto":
        mps = torch.backends.mps.is_available()
        device = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    if precision == "auto":
        cuda = device == "cuda" and torch.cuda.is_available()
        precision = "bf16-mixed" if cuda and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return device, {"32": "32-true"}.get(precision, precision)


def fit(module: Classifier, train: DataLoader[Any], val: DataLoader[Any], run: Path, options: dict[str, Any],
        say: Callable[[str], None]) -> KeepBest:  # fmt: skip
    """Trains; the best weights, metrics and the last checkpoint are in `run` when it returns or is interrupted.

    Raises:
        KeyboardInterrupt: On Ctrl-C, after Lightning has closed down.
    """
    fields = module.optimisation
    assert fields is not None
    keep = KeepBest(run, say=None if sys.stderr.isatty() else say)
    last = ModelCheckpoint(run / "checkpoints", filename="last", save_top_k=1, enable_version_counter=False)
    callbacks: list[Callback] = [keep, last]  # KeepBest before the average is swapped out again
    if fields.ema is not None:
        callbacks.append(EMAWeightAveraging(decay=fields.ema))
    with _quiet():
        trainer = _trainer(options, callbacks, max_epochs=module.epochs, gradient_clip_val=fields.clip_grad)
        try:
            trainer.fit(module, train, val)
        except SystemExit:
            if not trainer.interrupted:
                raise
            signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning left it ignored
            raise KeyboardInterrupt from None
    return keep


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
        callbacks.append(ProgressBar(refresh_rate=2, console_kwargs={"stderr": True}))
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
