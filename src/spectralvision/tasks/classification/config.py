"""Settings of image classification, from scratch or from pretrained weights.

Claim: 97 % or more of the held-out handwritten digits are correct after two minutes on two CPU
cores. Command: `spectralvision train --data digits`"""

from dataclasses import dataclass, field
from typing import ClassVar

from spectralvision.data.augmentation import AugmentationConfig
from spectralvision.runs import Auto, check_ranges
from spectralvision.tasks.classification.distillation_config import DistillationConfig
from spectralvision.tasks.train_config import TrainConfig

LOSS_RANGES = {
    "label_smoothing": (0, 0.99), "class_weights": (0, 2), "mixup": (0, 1000), "cutmix": (0, 1000),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Cross-entropy and what regularizes it."""

    label_smoothing: float = 0.1
    """Label smoothing: fraction of a target spread evenly over all classes."""
    class_weights: float | Auto = "auto"
    """Class-weight exponent (0: none, 1: inverse frequency); auto: 1 if the largest class has at
    least 5 times the images of the smallest, else 0."""
    mixup: float = 0.0
    """Alpha of mixup; 0: off."""
    cutmix: float = 0.0
    """Alpha of cutmix; 0: off."""

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges(vars(self), LOSS_RANGES)


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig(TrainConfig):
    """Train an image classifier and write a run folder."""

    task: ClassVar[str] = "classification"
    recipe: ClassVar[str] = "classification"
    PRETRAINED_EPOCHS: ClassVar[tuple[int, int]] = (15, 15)
    """Least and most epochs for `--epochs auto` from pretrained weights."""

    label_maps: str | None = None
    """Folder of label maps for these images (see `spectralvision token-labels`): trains an SVT
    with token labels."""
    crop_pct: float | None = None
    """Fraction of the shorter side that the center crop keeps in evaluation. Default: the model's
    own."""
    loss: LossConfig = field(default_factory=LossConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges(vars(self), {"crop_pct": (0.1, 1)})
        super().check()
