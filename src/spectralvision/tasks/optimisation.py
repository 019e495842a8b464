"""How weights are moved: the fields, by themselves so that a command can show them without loading the trainer."""

from dataclasses import dataclass
from math import inf
from typing import Literal

from spectralvision.runs import UserError, nearest, refuse_outside

Auto = Literal["auto"]
SCHEDULES = ("cosine", "tanh", "step", "poly", "none")  # timm's that need no further settings
RANGES = {
    "lr": (0, 10), "weight_decay": (0, inf), "layer_decay": (0, 1), "warmup_epochs": (0, inf), "min_lr": (0, 1),
    "warmup_start": (0, 1), "lr_base_size": (1, inf),
    "clip_grad": (0, inf), "label_smoothing": (0, 0.99), "class_weights": (0, 2), "mixup": (0, inf),
    "cutmix": (0, inf), "drop_path": (0, 0.99), "ema": (0, 1),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """Optimiser, schedule and regularisation; timm's names and meanings."""

    opt: str = "adamw"
    """timm's name of the optimiser."""
    lr: float | Auto = "auto"
    """Peak learning rate; auto: 2e-3 from scratch, 5e-4 from trained weights, both times sqrt(batch / 64)."""
    lr_base_size: int | None = None
    """Batch size that `lr` is given for: another one scales it linearly. None: it is the learning rate as it stands."""
    weight_decay: float = 0.05
    """Decay of weights; norms, biases and spectral weights have none."""
    layer_decay: float | None = None
    """Factor on the learning rate from each layer to the one before it."""
    sched: str = "cosine"
    """timm's name of the schedule, stepped at each update."""
    warmup_epochs: float | Auto = "auto"
    """Epochs of linear warm-up; auto: a tenth of all, at most 5."""
    warmup_start: float = 0.01
    """Where the warm-up starts, as a share of the peak."""
    min_lr: float = 0.01
    """Where the schedule ends, as a share of the peak."""
    clip_grad: float | None = 1.0
    """Largest norm of the gradient."""
    label_smoothing: float = 0.1
    """Share of a target spread over all classes."""
    class_weights: float | Auto = "auto"
    """Power of a class's rarity by which its images weigh in the loss; 0: all images alike, 1: all classes alike;
    auto: 1 where the largest class has 5 times the images of the smallest, else 0."""
    mixup: float = 0.0
    """Alpha of mixup; 0: off."""
    cutmix: float = 0.0
    """Alpha of cutmix; 0: off."""
    drop_path: float = 0.0
    """Largest rate of stochastic depth."""
    ema: float | None = None
    """Decay of an average of the weights, which is then what is validated and saved."""

    def check(self) -> None:
        """Raises `UserError` for a value that cannot work."""
        import torch
        from timm.optim import create_optimizer_v2, list_optimizers
        from torch import nn

        refuse_outside(vars(self), RANGES)
        optimizers = [str(name) for name in list_optimizers()]
        for flag, name, known in (("--opt", self.opt, optimizers), ("--sched", self.sched, list(SCHEDULES))):
            if name not in known:
                raise UserError(f"{flag} {name} does not exist: {nearest(name, known, 'there are')}")
        try:
            create_optimizer_v2([nn.Parameter(torch.zeros(1))], opt=self.opt, lr=1.0)
        except Exception as error:  # optimisers miss packages and devices in many ways
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"--opt {self.opt} does not work here ({reason}): try adamw.") from None
