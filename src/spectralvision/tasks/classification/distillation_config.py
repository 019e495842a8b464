"""Settings of knowledge distillation, without the libraries that they configure."""

from dataclasses import dataclass
from typing import Literal

from spectralvision.runs import UserError, check_ranges

RANGES = {"distillation_weight": (0, 1), "temperature": (0.01, 1000)}


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """Knowledge distillation from a teacher model."""

    teacher: str | None = None
    """Run folder, or timm's name of a model with published weights, that knows the classes of the
    data. Default: no distillation."""
    teacher_cache: str | None = None
    """Folder with the teacher's predictions for the training images, as `token-labels` writes
    them; what is missing is computed before training. They are cropped and flipped with the image.
    Default: the teacher sees each augmented image, which takes longer."""
    distillation: Literal["soft", "hard"] = "soft"
    """Target from the teacher: soft, its probabilities; hard, its most probable class."""
    distillation_weight: float = 0.5
    """Weight of the teacher's loss; the labels' loss has the rest."""
    temperature: float = 1.0
    """Temperature that divides both logits in soft distillation."""

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges(vars(self), RANGES)
        if self.teacher_cache is not None and self.teacher is None:
            raise UserError(
                f"--teacher-cache {self.teacher_cache} needs the --teacher whose predictions it "
                "holds."
            )
