"""Knowledge distillation (Hinton et al., 2015; hard: Touvron et al., 2021).

loss = (1 - w) CE(student, labels) + w D, with the teacher seeing the student's own augmented, mixed images:
    soft: D = T^2 KL(softmax(teacher / T) || softmax(student / T))
    hard: D = CE(student, first class of the teacher)
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, kl_div

from spectralvision.data.datasets import Data
from spectralvision.tasks.classification import Classifier
from spectralvision.tasks.loading import columns_of, data_config, load_model
from spectralvision.tasks.teaching import Teaching


class Teacher:
    """A fixed model's logits of images that were made for another: (B, 3, H, W) -> (B, classes).

    It is no module, so that neither checkpoints nor averages carry it. The images are normalised anew and resized to
    what the teacher expects; `columns` are its logits in the order of the classes, None: as they are.
    """

    def __init__(self, model: nn.Module, student: dict[str, Any], columns: list[int] | None = None) -> None:
        self.model, self.columns = model.eval().requires_grad_(False), columns
        own = data_config(model)
        self.size = tuple(own["input_size"][1:])
        self.mode = "bilinear" if own["interpolation"] == "bilinear" else "bicubic"
        mean, std, mean2, std2 = (torch.tensor(one[key]) for one in (student, own) for key in ("mean", "std"))
        self.scale, self.shift = (std / std2).view(3, 1, 1), ((mean - mean2) / std2).view(3, 1, 1)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Teacher":
        return self

    def to(self, device: torch.device) -> None:
        """Moves it in place."""
        self.model.to(device)
        self.scale, self.shift = self.scale.to(device), self.shift.to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        images = images * self.scale + self.shift
        if images.shape[2:] != self.size:
            images = interpolate(images, self.size, mode=self.mode, antialias=True)
        logits: Tensor = self.model(images)
        return logits if self.columns is None else logits[:, self.columns]


class DistillingClassifier(Classifier):
    """Learns from labels and a teacher; judged as ever."""

    def __init__(self, *args: Any, teacher: Teacher, teaching: Teaching, **options: Any) -> None:
        super().__init__(*args, **options)
        self.teacher, self.teaching = teacher, teaching

    def on_fit_start(self) -> None:
        self.teacher.to(self.device)

    def total_loss(self, images: Tensor, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """The sum over the images of a batch."""
        of_labels = super().total_loss(images, logits, targets, label_smoothing)
        of_teacher = teacher_loss(logits, self.teacher(images), self.teaching.distillation, self.teaching.temperature)
        weight = self.teaching.distillation_weight
        return (1 - weight) * of_labels + weight * of_teacher


def teacher_loss(logits: Tensor, teacher: Tensor, kind: str, temperature: float) -> Tensor:
    """The distance D of (B, classes) logits from the teacher's, summed over B."""
    if kind == "hard":
        return cross_entropy(logits, teacher.argmax(dim=1), reduction="sum")
    ours, theirs = ((one.float() / temperature).log_softmax(dim=1) for one in (logits, teacher))
    return temperature**2 * kl_div(ours, theirs, reduction="sum", log_target=True)


def teacher_of(teaching: Teaching, data: Data, student: nn.Module) -> Teacher | None:
    """The teacher of a recipe, for images prepared for `student`; None where there is none.

    Raises:
        UserError: No such model or no weights, or it does not know the classes.
    """
    if teaching.teacher is None:
        return None
    model = load_model(teaching.teacher)
    return Teacher(model, data_config(student), columns_of(model, teaching.teacher, data))


def distilling(teacher: Teacher, teaching: Teaching) -> Callable[..., Classifier]:
    """The Lightning module, ready for what `Classifier` takes."""
    return partial(DistillingClassifier, teacher=teacher, teaching=teaching)
