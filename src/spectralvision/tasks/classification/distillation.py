"""Knowledge distillation (Hinton et al., 2015; hard: Touvron et al., 2021).

    loss = (1 - w) CE(student, labels) + w D

The teacher sees the student's own augmented and mixed images.

    soft: D = T^2 KL(softmax(teacher / T) || softmax(student / T))
    hard: D = CE(student, most probable class of the teacher)

With a cache, the teacher's probabilities for the student's view are cut from its map of the whole
image (see `teacher_cache.py`), and those of mixed images are mixed as the images are.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, kl_div, one_hot

from spectralvision.data.seeding import temporary_seed
from spectralvision.data.splits import Data
from spectralvision.engine.model_io import columns_of, data_config, load_model
from spectralvision.engine.train_module import Step, seeded_draws
from spectralvision.tasks.classification.distillation_config import DistillationConfig
from spectralvision.tasks.classification.module import MIXING, Classifier
from spectralvision.tasks.classification.token_labels.targets import (
    example_target,
    make_image_target,
)


class Teacher:
    """Logits of a fixed model for another one's images: (B, 3, H, W) -> (B, classes).

    It is not a module, so that neither checkpoints nor averages contain it. The images are
    normalized again and resized to what the teacher expects.

    Args:
        model: The teacher.
        student: Preprocessing of the student.
        columns: Logits of the teacher in the order of the classes; None: all as they are.
    """

    def __init__(
        self, model: nn.Module, student: dict[str, Any], columns: list[int] | None = None
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.columns = columns
        own = data_config(model)
        self.size = tuple(own["input_size"][1:])
        self.mode = "bilinear" if own["interpolation"] == "bilinear" else "bicubic"
        mean, std = torch.tensor(student["mean"]), torch.tensor(student["std"])
        own_mean, own_std = torch.tensor(own["mean"]), torch.tensor(own["std"])
        self.scale = (std / own_std).view(3, 1, 1)
        self.shift = ((mean - own_mean) / own_std).view(3, 1, 1)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Teacher":
        return self

    def to(self, device: torch.device) -> None:
        """Move it in place."""
        self.model.to(device)
        self.scale, self.shift = self.scale.to(device), self.shift.to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        if self.scale.device != images.device:
            self.to(images.device)
        images = images * self.scale + self.shift
        if images.shape[2:] != self.size:
            images = interpolate(images, self.size, mode=self.mode, antialias=True)
        logits: Tensor = self.model(images)
        return logits if self.columns is None else logits[:, self.columns]


class DistillingClassifier(Classifier):
    """Train on labels and a teacher. Evaluation is unchanged."""

    def __init__(
        self, *args: Any, teacher: Teacher, distillation: DistillationConfig, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.teacher, self.distillation = teacher, distillation

    def total_loss(
        self, images: Tensor, logits: Tensor, targets: Tensor, label_smoothing: float
    ) -> Tensor:
        """Return the loss summed over the images of a batch."""
        of_labels = super().total_loss(images, logits, targets, label_smoothing)
        config = self.distillation
        teacher = self.teacher(images)
        of_teacher = teacher_loss(logits, teacher, config.distillation, config.temperature)
        weight = config.distillation_weight
        return (1 - weight) * of_labels + weight * of_teacher


class CachedDistillingClassifier(Classifier):
    """Train on labels and the stored predictions of a teacher. Evaluation is unchanged."""

    def __init__(
        self, *args: Any, distillation: DistillationConfig, logits: bool = False, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.distillation, self.logits = distillation, logits

    def training_step(self, batch: Any, step: Step) -> dict[str, Tensor]:
        """Return the loss and top-1 of a batch (images, `TokenLabelTarget`)."""
        # 1. Teacher's probabilities for the views, and targets of the labels
        images, (labels, maps) = batch
        teacher = make_image_target(maps, self.num_classes, self.logits)
        targets = one_hot(labels, self.num_classes).to(teacher.dtype)

        # 2. Mix pairs of images, and both targets as the images; the last batch may be odd
        mix = self.build_mixup(num_classes=len(images), label_smoothing=0.0)
        if mix is not None and step.total_images % 2 == 0:
            with temporary_seed(self.seed, MIXING, step.update):
                # Each image is its own class: row i says of which images image i is made
                images, parts = mix(images, torch.arange(len(images), device=images.device))
            teacher, targets = parts @ teacher, parts @ targets

        # 3. Logits and loss
        config = self.distillation
        with seeded_draws(self.seed, step):
            logits = self.model(images)
        of_labels = self.total_loss(images, logits, targets, self.loss.label_smoothing)
        of_teacher = teacher_loss(logits, teacher.log(), config.distillation, config.temperature)
        weight = config.distillation_weight
        loss = ((1 - weight) * of_labels + weight * of_teacher) / len(images)
        return {"loss": loss, "top1": (logits.argmax(dim=1) == labels).float().mean()}

    def example_batch(self, count: int) -> Any:
        """Return random images at the model's input size, with labels and label maps."""
        images, labels = super().example_batch(count)
        return images, example_target(labels)


def teacher_loss(logits: Tensor, teacher: Tensor, kind: str, temperature: float) -> Tensor:
    """Return the distance D of (B, classes) logits from the teacher's, summed over B."""
    if kind == "hard":
        return cross_entropy(logits, teacher.argmax(dim=1), reduction="sum")
    student = (logits.float() / temperature).log_softmax(dim=1)
    target = (teacher.float() / temperature).log_softmax(dim=1)
    return temperature**2 * kl_div(student, target, reduction="sum", log_target=True)


def load_teacher(config: DistillationConfig, data: Data, student: nn.Module) -> Teacher | None:
    """Return the teacher for images prepared for `student`; None where the settings name none.

    Raises:
        UserError: No such model or no weights, or it does not know the classes.
    """
    if config.teacher is None:
        return None
    model = load_model(config.teacher)
    return Teacher(model, data_config(student), columns_of(model, config.teacher, data))
