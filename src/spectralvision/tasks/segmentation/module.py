"""The segmentation module: losses over pixels, mean IoU."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate
from torchmetrics import MeanMetric, MetricCollection

from spectralvision.data.masks import IGNORED
from spectralvision.engine.model_io import data_config
from spectralvision.engine.train_module import Step, TrainModule, seeded_draws
from spectralvision.runs import require_extra
from spectralvision.tasks.segmentation.config import LossConfig
from spectralvision.tasks.segmentation.metrics import ConfusionMetrics
from spectralvision.tasks.segmentation.options import ViewOptions
from spectralvision.tasks.segmentation.segmenter import Segmenter
from spectralvision.tasks.segmentation.transforms import SizedImage
from spectralvision.tasks.segmentation.views import Viewer, classes_at


class SegmentationModule(TrainModule):
    """Train and evaluate a model from (B, 3, H, W) images to (B, K, H, W) logits.

    The cross-entropy of a batch is the sum over its pixels that are not ignored, divided by the
    number of all its pixels: however a batch is divided among ranks and accumulation steps, the
    gradient is the same. Dice and Lovasz losses are means over the images.

    Args:
        model: The model.
        loss: The losses and their weights.
        seed: Of the model's random draws.
        class_weights: Weight of the pixels of each class in the cross-entropy of training.
        views: How images are looked at in evaluation.
    """

    class_weights: Tensor | None
    forward_methods = ("forward_auxiliary",)

    def __init__(
        self,
        model: Segmenter,
        loss: LossConfig | None = None,
        seed: int = 0,
        class_weights: Sequence[float] | None = None,
        views: ViewOptions | None = None,
    ) -> None:
        super().__init__()
        self.model, self.loss, self.seed = model, loss or LossConfig(), seed
        self.views = views or ViewOptions()
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.metrics = MetricCollection(
            {"loss": MeanMetric(), "pixels": ConfusionMetrics(model.num_classes)},
            compute_groups=False,
        )
        self.region_losses = build_region_losses(self.loss)

    def training_step(self, batch: Any, step: Step) -> dict[str, Tensor]:
        """Return the loss and pixel accuracy of a batch (images, class maps)."""
        images, classes = batch
        model: Any = self.model
        with seeded_draws(self.seed, step):
            logits, auxiliary = model.forward_auxiliary(images)
        loss = self.pixel_loss(logits, classes)
        if auxiliary is not None:
            loss = loss + self.loss.auxiliary * self.pixel_loss(auxiliary, classes)
        for weight, region_loss in self.region_losses:
            loss = loss + weight * _mean_over_images(region_loss, logits, classes)
        valid = classes != IGNORED
        correct = (logits.argmax(dim=1) == classes) & valid
        return {"loss": loss, "pixel_accuracy": correct.sum() / valid.sum().clamp_min(1)}

    def pixel_loss(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Return the cross-entropy over the pixels."""
        total = cross_entropy(
            logits.float(),
            classes,
            weight=self.class_weights,
            ignore_index=IGNORED,
            label_smoothing=self.loss.label_smoothing,
            reduction="sum",
        )
        return total / classes.numel()

    def forward(self, images: Sequence[SizedImage]) -> list[Tensor]:
        """Return the (K, h, w) scores of each image."""
        return Viewer(self.model, self.views)(images)

    def update_metrics(self, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        """Update the metrics with scores, and class maps at the size of the images."""
        for scores, classes in zip(outputs, targets, strict=True):
            self.metrics["pixels"].update(classes_at(scores, classes.shape), classes)
            small = _shrink(classes, scores.shape[-2:])
            valid = (small != IGNORED).sum()
            if valid:
                loss = cross_entropy(scores[None].float(), small[None], ignore_index=IGNORED)
                self.metrics["loss"].update(loss, weight=valid)

    def example_batch(self, count: int) -> Any:
        """Return random images at the model's input size, with class maps."""
        size: Any = data_config(self.model)["input_size"]
        classes = torch.arange(count * size[1] * size[2]) % int(self.model.num_classes)  # type: ignore[arg-type]
        return torch.rand(count, *size), classes.reshape(count, *size[1:])


def build_region_losses(loss: LossConfig) -> list[tuple[float, nn.Module]]:
    """Return the losses that compare regions, with their weights."""
    if not loss.dice and not loss.lovasz:
        return []
    require_extra("dense", "segmentation_models_pytorch")
    from segmentation_models_pytorch.losses import DiceLoss, LovaszLoss

    found: list[tuple[float, nn.Module]] = []
    if loss.dice:
        found.append((loss.dice, DiceLoss("multiclass", ignore_index=IGNORED)))
    if loss.lovasz:
        found.append((loss.lovasz, LovaszLoss("multiclass", ignore_index=IGNORED)))
    return found


def _mean_over_images(loss: nn.Module, logits: Tensor, classes: Tensor) -> Tensor:
    losses = [
        loss(logits[index, None].float(), classes[index, None])
        for index in range(len(logits))
        if (classes[index] != IGNORED).any()
    ]
    return torch.stack(losses).sum() / len(logits) if losses else logits.sum() * 0


def _shrink(classes: Tensor, size: Sequence[int]) -> Tensor:
    """Return a class map at the size of the scores, by nearest neighbors."""
    if tuple(classes.shape) == tuple(size):
        return classes
    return interpolate(classes[None, None].float(), tuple(size), mode="nearest")[0, 0].long()
