"""Write and read the checkpoint that a run resumes from.

A checkpoint holds everything that the next update depends on, so that a resumed run ends with the
weights of a run that was not interrupted, on a CPU bit for bit. Sharded parameters are gathered, so
that a checkpoint does not depend on the number of processes.
"""

import io
import signal
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor

from spectralvision.engine.errors import classify_failure
from spectralvision.runs import UserError, atomic_write

FORMAT = "spectralvision checkpoint 1"
GATHERED = StateDictOptions(full_state_dict=True, cpu_offload=True)
SCATTERED = StateDictOptions(full_state_dict=True, broadcast_from_rank0=False)


def last_checkpoint(run: Path) -> Path:
    """Return where a run keeps the checkpoint that it resumes from."""
    return run / "checkpoints" / "last.ckpt"


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all: a kill or a full disk leaves the one before."""
    buffer = io.BytesIO()  # torch's own writer raises neither OSError nor a reason
    torch.save({"format": FORMAT, **content}, buffer)
    path.parent.mkdir(exist_ok=True)  # not its parents: a run that was deleted stays so
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_checkpoint(path: Path, run_id: str | None, device: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Args:
        path: The file. All of it is compared with its checksums.
        run_id: Of the run that the checkpoint should belong to.
        device: Where to put its tensors.

    Raises:
        UserError: The file is damaged, of another version or of another run.
        OSError: It cannot be read for a reason that is not its content.
    """
    cure = describe_restart(path.parents[1])
    try:
        with zipfile.ZipFile(path) as file:
            if damaged := file.testzip():
                raise zipfile.BadZipFile(f"bad checksum of {damaged}")
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a broken or hostile file can fail in any way
        if classify_failure(error) is not None:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path} cannot be read ({reason}): {cure}.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} was written by another version: {cure}.")
    if content.get("run") != run_id:
        raise UserError(f"{path} is the checkpoint of another run: {cure}.")
    return content


def describe_restart(run: Path) -> str:
    """Return how to train again where a run cannot be resumed."""
    if not (run / "model.safetensors").is_file():
        return "start a new run"
    return f"start a new run from its best weights with --model {run}"


def model_state(model: nn.Module) -> dict[str, Any]:
    """Return the weights of a model, gathered where they are sharded (all ranks must call it)."""
    return (
        get_model_state_dict(model, options=GATHERED) if is_sharded(model) else model.state_dict()
    )


def load_model_state(model: nn.Module, state: dict[str, Any]) -> None:
    """Load what `model_state` returned."""
    if is_sharded(model):
        set_model_state_dict(model, state, options=SCATTERED)
    else:
        model.load_state_dict(state)


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state of an optimizer, gathered where it is sharded (all ranks must call it).

    Before the first update it is empty: torch would take a step to find out what it looks like.
    """
    if not is_sharded(model):
        return optimizer.state_dict()
    return get_optimizer_state_dict(model, optimizer, options=GATHERED) if optimizer.state else {}


def load_optimizer_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Load what `optimizer_state` returned."""
    if not is_sharded(model):
        optimizer.load_state_dict(state)
    elif state:
        set_optimizer_state_dict(model, optimizer, state, options=SCATTERED)


def is_sharded(model: nn.Module) -> bool:
    """Return whether the parameters of a model are sharded over processes."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


class StopRequest:
    """Whether SIGTERM has asked the training to stop; the loop ends it after the current step."""

    def __init__(self) -> None:
        self.is_set = False

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Catch SIGTERM inside the block, in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._set)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _set(self, *_: Any) -> None:
        self.is_set = True
