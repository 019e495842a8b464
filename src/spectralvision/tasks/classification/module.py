"""The classifier: cross-entropy with mixing and class weights, and its metrics."""

from typing import Any

import torch
from timm.data import Mixup
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import Accuracy, MeanMetric, Metric, MetricCollection

from spectralvision.data.seeding import temporary_seed
from spectralvision.engine.model_io import data_config
from spectralvision.engine.train_module import Step, TrainModule, seeded_draws
from spectralvision.tasks.classification.config import LossConfig

Batch = tuple[Tensor, Tensor]
MIXING = 1
"""The random draws of mixup, beside others with the same seed."""


class Classifier(TrainModule):
    """Train and evaluate a model from (B, 3, H, W) images to (B, num_classes) logits.

    The training loss is the sum over a batch of weighted cross-entropies, divided by the number of
    images: however a batch is divided among ranks and accumulation steps, the gradient is the same.

    Args:
        model: The model.
        loss: Label smoothing and mixing.
        seed: Of mixing and of the model's own random draws.
        class_weights: Weight of an image of each class in the training loss.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        loss: LossConfig | None = None,
        seed: int = 0,
        class_weights: list[float] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.loss, self.seed = model, loss or LossConfig(), seed
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.num_classes = int(model.num_classes)  # type: ignore[arg-type]
        accuracies = {"top1": _accuracy(self.num_classes)}
        if self.num_classes > 5:
            accuracies["top5"] = _accuracy(self.num_classes, top_k=5)
        self.metrics = MetricCollection({"loss": MeanMetric(), **accuracies}, compute_groups=False)
        self.mix = self.build_mixup(self.num_classes, self.loss.label_smoothing)

    def training_step(self, batch: Any, step: Step) -> dict[str, Tensor]:
        """Return the loss and top-1 of a batch (images, labels), both means over its images."""
        # 1. Mix pairs of images; the last batch may be odd
        images, labels = batch
        targets, smoothing = labels, self.loss.label_smoothing
        if self.mix is not None and step.total_images % 2 == 0:
            with temporary_seed(self.seed, MIXING, step.update):
                images, targets = self.mix(images, labels)
            smoothing = 0.0  # it is in the mixed targets already

        # 2. Logits and loss
        with seeded_draws(self.seed, step):
            logits = self.model(images)
        loss = self.total_loss(images, logits, targets, smoothing) / len(images)
        return {"loss": loss, "top1": (logits.argmax(dim=1) == labels).float().mean()}

    def total_loss(
        self, images: Tensor, logits: Tensor, targets: Tensor, label_smoothing: float
    ) -> Tensor:
        """Return the loss summed over the images of a batch."""
        return cross_entropy(
            logits,
            targets,
            weight=self.class_weights,
            label_smoothing=label_smoothing,
            reduction="sum",
        )

    def update_metrics(self, outputs: Tensor, targets: Tensor) -> None:
        """Update the metrics with (B, num_classes) logits and (B,) labels."""
        logits = outputs.float()
        for name, metric in self.metrics.items():
            if name == "loss":
                metric.update(cross_entropy(logits, targets), weight=len(targets))
            else:
                metric.update(logits, targets)

    def example_batch(self, count: int) -> Batch:
        """Return random images at the model's input size, with labels."""
        size: Any = data_config(self.model)["input_size"]
        return torch.rand(count, *size), torch.arange(count) % self.num_classes

    def build_mixup(self, num_classes: int, label_smoothing: float) -> Mixup | None:
        """Return mixup and cutmix as the settings say; None for neither."""
        if not self.loss.mixup and not self.loss.cutmix:
            return None
        return Mixup(
            mixup_alpha=self.loss.mixup,
            cutmix_alpha=self.loss.cutmix,
            label_smoothing=label_smoothing,
            num_classes=num_classes,
        )


def _accuracy(num_classes: int, top_k: int = 1) -> Metric:
    return Accuracy(task="multiclass", num_classes=num_classes, top_k=top_k)
