"""Processes, accumulation, checkpoints and loggers, without the libraries that they configure."""

import os
from dataclasses import dataclass, replace
from math import inf

from spectralvision.runs import MAX_COUNT, Auto, UserError, check_ranges

RANGES = {
    "devices": (1, 1024), "num_nodes": (1, MAX_COUNT), "accumulate": (1, MAX_COUNT),
    "checkpoint_minutes": (0, inf), "threads": (1, 1024),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How a training run is executed. The result does not depend on it, except for batch norms that
    see fewer images at a time (see `sync_batchnorm`), the random draws of stochastic depth, and the
    rounding, which depends on `threads`."""

    devices: int | Auto = "auto"
    """Processes on each machine, one per device; auto: as many as torchrun has started, else 1."""
    num_nodes: int | Auto = "auto"
    """Machines; auto: as many as torchrun has started, else 1."""
    strategy: str = "auto"
    """Lightning's name of the parallel strategy, or fsdp2 to shard the parameters; auto: ddp for
    several processes."""
    accumulate: int = 1
    """Gradient accumulation steps: each process computes its part of a batch in this many steps,
    to save memory."""
    sync_batchnorm: bool = False
    """Compute batch-norm statistics over the images of all GPUs."""
    threads: int | Auto = "auto"
    """CPU threads of each process; auto: one for each idle core. A resumed run uses as many as it
    was started with, so that it rounds alike."""
    compile: bool = False
    """Compile the model with torch.compile; the saved weights are the same."""
    logger: str = "none"
    """Logger besides metrics.csv: tensorboard, or the class name of a Lightning logger such as
    WandbLogger."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints within an epoch; the end of an epoch and SIGTERM write one
    too."""

    @property
    def world_size(self) -> int:
        """Processes on all machines together."""
        assert not isinstance(self.devices, str), "resolve first"
        assert not isinstance(self.num_nodes, str), "resolve first"
        return self.devices * self.num_nodes

    @property
    def parts_per_batch(self) -> int:
        """Parts of a batch: one for each accumulation step of each process."""
        return self.world_size * self.accumulate

    def check(self) -> None:
        """Raise `UserError` for a value that cannot work."""
        check_ranges(vars(self), RANGES)
        if self.logger not in ("none", "tensorboard") and not self.logger.endswith("Logger"):
            raise UserError(
                f"--logger {self.logger} is not a logger of Lightning: try tensorboard or "
                "CSVLogger."
            )
        started = int(os.environ.get("WORLD_SIZE", 1))
        expected = self.resolve().world_size
        if "LOCAL_WORLD_SIZE" in os.environ and started != expected:
            raise UserError(
                f"torchrun has started {started} process{'' if started == 1 else 'es'}, but the "
                f"settings ask for {expected}: give --devices and --num-nodes the numbers of "
                "torchrun."
            )

    def resolve(self) -> "TrainerConfig":
        """Return the settings with every `auto` filled in: what torchrun has started, else 1."""
        local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        nodes = 1
        if "LOCAL_WORLD_SIZE" in os.environ:
            nodes = int(os.environ.get("WORLD_SIZE", local)) // local
        return replace(
            self,
            devices=local if self.devices == "auto" else self.devices,
            num_nodes=nodes if self.num_nodes == "auto" else self.num_nodes,
        )
