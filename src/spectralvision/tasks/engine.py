"""What drives a training: the fields, by themselves so that a command can show them without loading the trainer."""

import os
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

from spectralvision.runs import UserError, refuse_outside

Auto = Literal["auto"]
RANGES = {"devices": (1, inf), "num_nodes": (1, inf), "accumulate": (1, inf), "checkpoint_minutes": (0, inf)}


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Processes, portions, checkpoints and loggers. None of them changes what is learnt, but for batch norms that see
    fewer images at a time (see `sync_batchnorm`) and the random draws of drop path."""

    devices: int | Auto = "auto"
    """Processes on each machine, one a device; auto: as many as torchrun has started, else 1."""
    num_nodes: int | Auto = "auto"
    """Machines; auto: as many as torchrun has started, else 1."""
    strategy: str = "auto"
    """Lightning's name of how the processes work together; auto: ddp where there are several."""
    accumulate: int = 1
    """Portions in which each process computes its share of a batch, one after the other, to save memory."""
    sync_batchnorm: bool = False
    """Batch norms see the images of all GPUs."""
    compile: bool = False
    """Compile the model with torch.compile; weights are saved as ever."""
    logger: str = "none"
    """Beside metrics.csv: tensorboard, or the name of any Lightning logger, such as WandbLogger."""
    checkpoint_minutes: float = 10.0
    """Minutes between the checkpoints within an epoch; each epoch's end and SIGTERM bring one too."""

    @property
    def processes(self) -> int:
        """In all, on all machines."""
        assert not isinstance(self.devices, str), "resolve first"
        assert not isinstance(self.num_nodes, str), "resolve first"
        return self.devices * self.num_nodes

    @property
    def parts(self) -> int:
        """In how many a batch is cut: a portion of a process each."""
        return self.processes * self.accumulate

    def check(self) -> None:
        """Raises `UserError` for a value that cannot work."""
        refuse_outside(vars(self), RANGES)
        if self.logger not in ("none", "tensorboard") and not self.logger.endswith("Logger"):
            raise UserError(f"--logger {self.logger} is no logger of Lightning's: try tensorboard, or CSVLogger.")
        started = int(os.environ.get("WORLD_SIZE", 1))
        if "LOCAL_WORLD_SIZE" in os.environ and started != self.resolved().processes:
            raise UserError(
                f"torchrun has started {started} process{'' if started == 1 else 'es'}, and the training is one of "
                f"{self.resolved().processes}: give --devices and --num-nodes, or torchrun, the same number."
            )

    def resolved(self) -> "Engine":
        """The fields with every `auto` filled in: by what torchrun says, else 1."""
        local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        nodes = int(os.environ.get("WORLD_SIZE", local)) // local if "LOCAL_WORLD_SIZE" in os.environ else 1
        return replace(
            self,
            devices=local if self.devices == "auto" else self.devices,
            num_nodes=nodes if self.num_nodes == "auto" else self.num_nodes,
        )


def rank() -> int:
    """Which of the processes of a training this is, as its launcher says; 0 keeps the run folder and speaks."""
    from lightning.pytorch.utilities import rank_zero_only

    return int(rank_zero_only.rank)  # type: ignore[attr-defined]
