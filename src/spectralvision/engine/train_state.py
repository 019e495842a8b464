"""What a training run changes from update to update: weights, optimizer, schedule, average, sums.

All of it is in the checkpoint, and nothing else is needed to resume.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from spectralvision.engine import checkpoints
from spectralvision.engine.devices import FSDP, build_fabric
from spectralvision.engine.metrics_log import MetricsLog
from spectralvision.engine.optimizer import build_average, build_optimizer, build_schedule
from spectralvision.engine.run_record import read_record
from spectralvision.engine.train_module import FitConfig, TrainModule
from spectralvision.runs import UserError


@dataclass
class Position:
    """Where a run stands."""

    epoch: int = 0
    batch: int = 0
    """Batches of this rank that are done in the epoch; all of them while validating."""
    updates: int = 0


class TrainState:
    """The state of a training run, on its devices and processes."""

    def __init__(
        self, module: TrainModule, config: FitConfig, updates_per_epoch: int, run: Path
    ) -> None:
        self.module, self.config = module, config
        self.position = Position()
        self.sums: dict[str, Tensor] = {}

        # 1. Processes and precision
        trainer = config.trainer
        _check_settings(config)
        self.fabric = build_fabric(
            config.device, int(trainer.devices), int(trainer.num_nodes), trainer.strategy
        )
        self.run = Path(self.fabric.broadcast(str(run)))
        self.run_id = read_record(self.run).get("id")
        self.log = MetricsLog(self.run, config.monitor)

        # 2. The module on its devices
        if trainer.sync_batchnorm and trainer.world_size > 1:
            module.model = convert_sync_batchnorm(module.model)
        if trainer.compile:
            module.model.compile()  # type: ignore[no-untyped-call]
        self.model = module.model
        self._unsharded = deepcopy(self.model) if trainer.strategy == FSDP else None
        self.wrapped = self.fabric.setup_module(module)
        self.wrapped.mark_forward_method("training_step")

        # 3. Optimizer, schedule, weight average
        optimizer = build_optimizer(self.model, config.optimizer)
        self.schedule = build_schedule(
            optimizer, config.optimizer, config.epochs, updates_per_epoch
        )
        self.optimizer: Any = self.fabric.setup_optimizers(optimizer)
        self.average = build_average(self.model, config.optimizer.ema)

    def update(self) -> None:
        """Clip the gradient, update weights and average, and set the next learning rate."""
        clip_grad = self.config.optimizer.clip_grad
        if clip_grad is not None:
            self.fabric.clip_gradients(
                self.wrapped, self.optimizer, max_norm=clip_grad, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.position.updates += 1
        if self.schedule is not None:
            self.schedule.step_update(num_updates=self.position.updates)
        if self.average is not None:
            self.average.update_parameters(self.model)

    def add_to_sums(self, values: dict[str, Tensor], images: int) -> None:
        """Add means over so many images to the sums of this epoch and rank."""
        for name, value in [*values.items(), ("images", torch.ones_like(values["loss"]))]:
            self.sums[name] = self.sums.get(name, 0) + value.float() * images

    def training_metrics(self) -> dict[str, float]:
        """Return the means over the images of the epoch so far, of all ranks."""
        sums = {name: float(self.over_ranks(value)) for name, value in self.sums.items()}
        images = sums.pop("images")
        return {name: value / images for name, value in sums.items()}

    @contextmanager
    def evaluating(self) -> Iterator[TrainModule]:
        """Yield the module in evaluation mode, with the averaged weights if there are any."""
        if self.fabric.world_size > 1 and self._unsharded is None:
            for buffer in self.model.buffers():  # each rank has its own batch-norm statistics
                torch.distributed.broadcast(buffer, src=0)
        self.module.model = self.model if self.average is None else self.average.module
        self.module.eval()
        try:
            with torch.no_grad():
                yield self.module
        finally:
            self.module.model = self.model

    def save_weights(self) -> None:
        """Write the evaluated weights into the run folder (all ranks must call it)."""
        model: nn.Module = self.module.model
        if self._unsharded is not None:
            state = checkpoints.model_state(model)
            model = self._unsharded
            if self.fabric.is_global_zero:
                model.load_state_dict(state)
        if self.fabric.is_global_zero:
            self.config.save(model, self.run)

    def save(self, seconds: float) -> None:
        """Write the checkpoint (all ranks must call it)."""
        content = {
            "run": self.run_id,
            "position": asdict(self.position),
            "model": checkpoints.model_state(self.model),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": checkpoints.optimizer_state(self.model, self.optimizer.optimizer),
            "precision": self.fabric.strategy.precision.state_dict(),
            "sums": {name: self.over_ranks(value) for name, value in self.sums.items()},
            "log": self.log.state_dict(),
            "seconds": seconds,
        }
        if self.fabric.is_global_zero:
            checkpoints.write_checkpoint(checkpoints.last_checkpoint(self.run), content)

    def load(self) -> float:
        """Read the checkpoint; return the seconds of training that it stands for."""
        content = checkpoints.read_checkpoint(checkpoints.last_checkpoint(self.run), self.run_id)
        self.position = Position(**content["position"])
        checkpoints.load_model_state(self.model, content["model"])
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        optimizer = self.optimizer.optimizer
        checkpoints.load_optimizer_state(self.model, optimizer, content["optimizer"])
        self.fabric.strategy.precision.load_state_dict(content["precision"])
        if self.fabric.is_global_zero:  # the sums are those of all ranks
            self.sums = {
                name: self.fabric.to_device(value) for name, value in content["sums"].items()
            }
        self.log.load_state_dict(content["log"])
        return float(content["seconds"])

    def over_ranks(self, value: Tensor, operation: str = "sum") -> Tensor:
        """Return the sum, or the maximum, of a tensor over all ranks."""
        if self.fabric.world_size == 1:
            return value
        reduced: Any = self.fabric.all_reduce(value.clone(), reduce_op=operation)
        return reduced  # type: ignore[no-any-return]


def _check_settings(config: FitConfig) -> None:
    """Raise `UserError` for settings that exclude each other."""
    trainer = config.trainer
    if trainer.strategy == FSDP and config.optimizer.ema is not None:
        raise UserError("--ema does not work with --strategy fsdp2: leave one of them out.")
    if trainer.sync_batchnorm and trainer.world_size > 1 and config.device.accelerator != "cuda":
        raise UserError("--sync-batchnorm works on GPUs only: leave it out.")
