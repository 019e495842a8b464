"""The detector with torchvision's losses and COCO's average precision."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from spectralvision.data.objects import Objects
from spectralvision.engine.train_module import Step, TrainModule, seeded_draws
from spectralvision.tasks.detection.average_precision import AveragePrecision
from spectralvision.tasks.detection.data import DEFAULT_SCALE, ObjectScale
from spectralvision.tasks.detection.detector import Detections, Detector, SizedImage

Images = Sequence[SizedImage]
Targets = Sequence[dict[str, Tensor]]
EXAMPLE_ASPECT = 4 / 3
"""Longer over shorter side of the images of `example_batch`."""


class DetectionModule(TrainModule):
    """Train and evaluate a detector.

    The training loss is the sum of torchvision's losses, which are means over the objects (ssdlite,
    fcos), over the images (retinanet) or over samples of regions (faster_rcnn, mask_rcnn) of a
    micro-batch: dividing a batch among ranks or accumulation steps weights objects in images with
    many of them less, and changes which regions are drawn.

    Args:
        model: The detector.
        seed: Of the model's own random draws.
        max_dets: Maximum number of detections per image.
        scale: Of the objects of `example_batch`.
    """

    model: Detector

    def __init__(
        self,
        model: Detector,
        seed: int = 0,
        max_dets: int = 100,
        scale: ObjectScale = DEFAULT_SCALE,
    ) -> None:
        super().__init__()
        self.model, self.seed, self.scale = model, seed, scale
        model.set_max_detections(max_dets)
        metric = AveragePrecision(model.has_masks, max_dets)
        self.metrics = MetricCollection({"ap": metric}, compute_groups=False)

    def training_step(self, batch: Any, step: Step) -> dict[str, Tensor]:
        """Return the loss of a batch (images, targets), and its parts."""
        images, targets = batch
        with seeded_draws(self.seed, step):
            losses = self.model(images, targets)
        return {"loss": torch.stack([*losses.values()]).sum(), **losses}

    def update_metrics(self, outputs: Sequence[Detections], targets: Sequence[Objects]) -> None:
        """Update the metrics with detections, and what is annotated in the same images."""
        self.metrics["ap"].update(outputs, targets)

    def take_validation(self, values: Mapping[str, float]) -> None:
        """Keep the score from which on objects are shown."""
        self.model.min_score.fill_(values["min_score"])

    def example_batch(self, count: int) -> tuple[Images, Targets]:
        """Return random images at the model's input size, each with some objects."""
        settings = self.model.settings
        height = width = settings.input_size
        if not settings.is_square:
            width = min(settings.max_size, round(height * EXAMPLE_ASPECT))
        images = [SizedImage(torch.rand(3, height, width), (height, width)) for _ in range(count)]
        return images, [self._example_target(height, width) for _ in range(count)]

    def _example_target(self, height: int, width: int) -> dict[str, Tensor]:
        number, side = self.scale
        sides = side * (0.5 + torch.rand(number, 2)).clamp(max=1 / side)
        corners = torch.rand(number, 2) * (1 - sides)
        boxes = torch.cat([corners, corners + sides], dim=1) * torch.tensor([width, height] * 2)
        labels = torch.randint(self.model.num_classes, (number,))
        target = {"boxes": boxes, "labels": labels}
        if self.model.has_masks:
            target["masks"] = torch.ones(number, height, width, dtype=torch.uint8)
        return target
