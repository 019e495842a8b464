"""Knowledge distillation: the fields, by themselves so that a command can show them without loading the trainer."""

from dataclasses import dataclass
from math import inf
from typing import Literal

from spectralvision.runs import refuse_outside

RANGES = {"distillation_weight": (0, 1), "temperature": (0.01, inf)}


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """Learning from what another model says of the same images."""

    teacher: str | None = None
    """A run folder or timm's name of a model whose published weights teach; it has to know the classes of the data."""
    distillation: Literal["soft", "hard"] = "soft"
    """What is learnt of the teacher: soft, its probabilities; hard, its first class."""
    distillation_weight: float = 0.5
    """Share of the loss that the teacher has; the labels have the rest."""
    temperature: float = 1.0
    """Divides the logits of both where distillation is soft."""

    def check(self) -> None:
        """Raises `UserError` for a value that cannot work."""
        refuse_outside(vars(self), RANGES)
