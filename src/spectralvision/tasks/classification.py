"""Classification: the Lightning module, and evaluation and prediction with it. `tasks.fitting` trains it."""

import time
from typing import Any

import lightning.pytorch as pl
import torch
from timm.data import Mixup
from timm.scheduler import create_scheduler_v2
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchmetrics import Accuracy, MeanMetric, Metric, MetricCollection

from spectralvision.data.loading import seeded
from spectralvision.tasks import trial
from spectralvision.tasks.engine import Engine
from spectralvision.tasks.fitting import NotFiniteError, quiet, trainer_of
from spectralvision.tasks.optimisation import Optimisation
from spectralvision.tasks.processes import leave

Batch = tuple[Tensor, Tensor]
MIXING, DROPPING = 1, 2  # what a seed is for
LOOK = 50  # updates between looks at a loss on an accelerator, as each look waits for it


class Classifier(pl.LightningModule):
    """Trains and judges a model that gives (B, num_classes) logits of (B, 3, H, W) images.

    `class_weights` say what an image of each class weighs in the training loss, which is the sum over a batch
    divided by its number of images: however it is cut into processes and portions, the gradient is the same.
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

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        assert self.optimisation is not None
        images, labels = batch
        whole, parts = self._whole(batch_idx, len(images))
        targets, smoothing = labels, self.optimisation.label_smoothing
        if self.mix is not None and whole % 2 == 0:  # it pairs images; the last batch may be odd
            with seeded(self.seed, MIXING, self.global_step):
                images, targets = self.mix(images, labels)
            smoothing = 0.0  # is in the mixed targets already
        with seeded(self.seed, DROPPING, self.global_step, self.global_rank, batch_idx):
            torch.manual_seed(torch.initial_seed())  # reaches the accelerator's generator too
            logits = self.model(images)
        total = self.total_loss(images, logits, targets, smoothing)
        loss = total / len(images)
        self._watch(loss.detach())
        self._count(self.train_scores, loss, logits, labels)
        self.log("loss", loss.detach(), prog_bar=True)
        return total * parts / whole

    def total_loss(self, images: Tensor, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """The sum over the images of a batch."""
        options: dict[str, Any] = {"label_smoothing": label_smoothing, "reduction": "sum"}
        return cross_entropy(logits, targets, weight=self.class_weights, **options)

    def _whole(self, batch_idx: int, images: int) -> tuple[int, int]:
        """Images in the batch of which these are a part, and the number of its parts, whose losses are averaged."""
        batches: Any = getattr(getattr(self.trainer, "train_dataloader", None), "batch_sampler", None)
        if not hasattr(batches, "whole"):
            return images, 1
        return batches.whole(batch_idx), batches.share.processes * batches.share.portions

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

    def on_test_epoch_end(self) -> None:
        self.scores.compute()  # while all processes are there; kept until the reset
        seen = torch.tensor(self.seen, device=self.device)
        self.seen = int(self.trainer.strategy.reduce(seen, reduce_op="sum"))

    def predict_step(self, batch: Batch) -> Tensor:
        """(B, num_classes) probabilities, on the CPU."""
        return self.model(batch[0]).float().softmax(dim=-1).cpu()

    def _count(self, scores: MetricCollection, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        for name, score in scores.items():
            if name == "loss":
                score.update(loss.detach().float(), weight=len(labels))
            else:
                score.update(logits.detach(), labels)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._refuse_lost()

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
            warmup_lr=fields.lr * fields.warmup_start,
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


def evaluate(module: Classifier, loader: DataLoader[Any], options: dict[str, Any]) -> dict[str, Any]:
    """Top-1, top-5 (None with five classes or fewer), loss, images and images per second over a loader.

    With options["devices"] processes the loader is this one's share; the figures are those of all.
    """
    start = time.monotonic()
    with quiet():
        engine = Engine(devices=options.get("devices", 1), num_nodes=1)
        trainer_of(options, engine=engine).test(module, loader, verbose=False)
        leave()
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
    with quiet():
        return torch.cat(trainer_of(options).predict(module, loader))  # type: ignore[arg-type]
