"""Choose an accelerator and a precision, and build the Fabric that runs on them."""

import logging
from typing import Any, NamedTuple

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import (
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.fabric.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

from spectralvision.runs import UserError

LOGGERS = ("lightning.fabric", "lightning.pytorch")
FSDP = "fsdp2"
"""Name of the strategy that shards parameters with `fully_shard`."""


class Device(NamedTuple):
    """Where to compute and in which precision, in Lightning's words."""

    accelerator: str
    """cpu, cuda or mps."""
    precision: str
    """32-true, bf16-mixed or 16-mixed."""


def choose_device(device: str = "auto", precision: str = "auto") -> Device:
    """Return the available accelerator, and bfloat16 where it is fast, else float32.

    Raises:
        UserError: This machine does not have the device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        device = next(name for name, is_available in available.items() if is_available)
    if not available[device]:
        raise UserError(
            f"--device {device}: this machine has no such device, or torch does not find it; "
            "use --device cpu."
        )
    if precision == "auto":
        fast = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16-mixed" if fast else "32-true"
    return Device(device, {"32": "32-true"}.get(precision, precision))


def build_fabric(
    device: Device, devices: int = 1, num_nodes: int = 1, strategy: str = "auto", **options: Any
) -> Fabric:
    """Return a launched Fabric for this process, one of `devices` x `num_nodes`.

    Args:
        device: Accelerator and precision.
        devices: Processes on each machine, one per device.
        num_nodes: Machines.
        strategy: Lightning's name of a strategy, or fsdp2; auto: ddp for several processes.
        options: Passed to Fabric.

    Raises:
        UserError: Lightning rejects the combination.
    """
    if devices * num_nodes > 1 and strategy == "auto":
        strategy = "ddp"
    try:
        fabric = Fabric(
            accelerator=device.accelerator,
            precision=device.precision,  # type: ignore[arg-type]
            devices=devices,
            num_nodes=num_nodes,
            strategy=_fsdp_strategy(devices * num_nodes) if strategy == FSDP else strategy,
            plugins=_plugins(devices * num_nodes),
            **options,
        )
        silence_lightning()
        fabric.launch()
    except (ValueError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"cannot start training with these settings: {reason}") from None
    return fabric


def silence_lightning() -> None:
    """Let Lightning log warnings only, no notices about ranks and devices."""
    for logger in LOGGERS:
        logging.getLogger(logger).setLevel(logging.WARNING)


def _plugins(num_processes: int) -> list[Any]:
    """Return the environment of a process that no launcher of Lightning's knows."""
    if num_processes == 1:
        return [LightningEnvironment()]
    launched = TorchElasticEnvironment.detect() or SLURMEnvironment.detect()
    return [] if launched else [LightningEnvironment()]


def _fsdp_strategy(world_size: int) -> ModelParallelStrategy:
    return ModelParallelStrategy(_shard, data_parallel_size=world_size, tensor_parallel_size=1)


def _shard(module: Any, mesh: DeviceMesh) -> nn.Module:
    """Shard the stages or blocks of a module's model one by one, then what is left of it."""
    model = module.model.to(memory_format=torch.contiguous_format)  # what FSDP2 supports
    data_parallel = mesh["data_parallel"]
    for name in ("stages", "blocks"):
        for part in getattr(model, name, ()):
            fully_shard(part, mesh=data_parallel)
    fully_shard(model, mesh=data_parallel)
    for method in module.forward_methods:
        register_fsdp_forward_method(model, method)
    return module
