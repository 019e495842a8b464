"""Optimizer and schedule settings, without the libraries that they configure."""

from dataclasses import dataclass
from math import inf
from typing import Literal

from spectralvision.runs import ABOVE_ZERO, MAX_COUNT, Auto, UserError, check_ranges, suggest

SCHEDULES = ("cosine", "tanh", "step", "multistep", "poly", "none")
"""Schedules of timm."""
RANGES = {
    "lr": (ABOVE_ZERO, 10), "weight_decay": (0, 100), "layer_decay": (0, 1),
    "warmup_epochs": (0, inf), "min_lr": (0, 1), "warmup_start": (0, 1),
    "backbone_lr": (ABOVE_ZERO, 10), "lr_base_size": (1, MAX_COUNT), "clip_grad": (ABOVE_ZERO, inf),
    "drop_path": (0, 0.99), "ema": (0, 1),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer and schedule, with timm's names and meanings."""

    opt: str = "adamw"
    """Optimizer, by timm's name."""
    lr: float | Literal["auto", "find"] = "auto"
    """Peak learning rate; auto: 2e-3, or 5e-4 from pretrained weights (not of small classifiers, of
    up to 8 million parameters), times sqrt(batch size / 64); find: where the loss falls fastest in
    100 trial steps at a growing rate."""
    lr_base_size: int | None = None
    """Batch size that --lr is given for; the rate is scaled linearly to the real one. Default: no
    scaling."""
    weight_decay: float = 0.05
    """Weight decay; norms, biases and spectral weights have none."""
    layer_decay: float | Auto | None = None
    """Factor on the learning rate from each layer to the one before it; auto: 0.75 from pretrained
    weights, none for small classifiers. Default: none."""
    backbone_lr: float = 1.0
    """Factor on the learning rate of the backbone, below a decoder or a detector."""
    sched: str = "cosine"
    """Learning-rate schedule, by timm's name, stepped at each update: cosine, tanh, step,
    multistep (see --decay-epochs), poly or none."""
    decay_epochs: tuple[int, ...] = ()
    """Epochs after which multistep multiplies the learning rate by 0.1, as in 8 11."""
    warmup_epochs: float | Auto = "auto"
    """Epochs of linear warm-up; auto: a tenth of all epochs, 5 at most."""
    warmup_start: float = 0.01
    """Learning rate at the start of the warm-up, as a fraction of the peak."""
    min_lr: float = 0.01
    """Learning rate at the end of the schedule, as a fraction of the peak."""
    clip_grad: float | None = 1.0
    """Maximum norm of the gradient."""
    drop_path: float = 0.0
    """Maximum rate of stochastic depth."""
    ema: float | None = None
    """Decay of an exponential moving average of the weights, which is then validated and saved;
    the first updates have a smaller decay."""

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        import torch
        from timm.optim import create_optimizer_v2, list_optimizers
        from torch import nn

        check_ranges(vars(self), RANGES)
        if self.backbone_lr != 1 and self.layer_decay is not None:
            raise UserError("--backbone-lr and --layer-decay exclude each other: use one of them.")
        for epoch in self.decay_epochs:
            check_ranges({"decay_epochs": epoch}, {"decay_epochs": (1, MAX_COUNT)})
        if (self.sched == "multistep") != bool(self.decay_epochs):
            raise UserError("--decay-epochs and --sched multistep go together: give both.")
        optimizers = [str(name) for name in list_optimizers()]
        for flag, name, known in (
            ("--opt", self.opt, optimizers),
            ("--sched", self.sched, list(SCHEDULES)),
        ):
            if name not in known:
                raise UserError(
                    f"{flag} {name} does not exist: {suggest(name, known, 'use one of')}"
                )
        try:
            create_optimizer_v2([nn.Parameter(torch.zeros(1))], opt=self.opt, lr=1.0)
        except Exception as error:  # optimizers miss packages and devices in many ways
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"--opt {self.opt} does not work here ({reason}): try adamw.") from None
