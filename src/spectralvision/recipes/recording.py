"""The folder of a run, its record `run.json` while it goes on and at its end, and whether it can be resumed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from spectralvision.data.datasets import Data
from spectralvision.recipes.telling import fingerprints
from spectralvision.runs import UserError, new_run_folder, read_json, write_json
from spectralvision.tasks.checkpoints import last_checkpoint
from spectralvision.tasks.engine import rank
from spectralvision.tasks.fitting import kept


def folder_of(name: str, out: str | None) -> Path:
    """The folder of a new run; only the first of several processes makes it, and the others write nothing."""
    return Path(out or name) if rank() else new_run_folder(name, out)


@contextlib.contextmanager
def recorded(run: Path, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Keeps `run.json`: running, then what the block writes into the dictionary it gets, else how it ended."""
    status: dict[str, Any] = {"status": "failed"}
    if rank():
        yield status
        return
    write_json(run / "run.json", {"status": "running", **facts})
    try:
        yield status
        write_json(run / "run.json", status | facts)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            status["status"] = "interrupted"
        elif isinstance(error, UserError):
            status["error"] = str(error)
        with contextlib.suppress(OSError):  # on a full disk the record of the start stays
            write_json(run / "run.json", status | facts)
        if isinstance(error, KeyboardInterrupt):
            raise type(error)(kept(run)) from None
        raise


def refuse_resume(run: Path, data: Data) -> None:
    """Raises `UserError` when a run is finished, has nothing to go on from, or was trained on other images."""
    record, checkpoint = read_json(run / "run.json"), last_checkpoint(run)
    if record.get("status") == "finished":
        raise UserError(f"{run} is finished: `spectralvision train --model {run} --data DATA` trains its weights on.")
    if not checkpoint.is_file():
        raise UserError(f"{run} holds no checkpoint to go on from: no step had been taken, so start it anew.")
    if record.get("data", {}).get("fingerprints") != fingerprints(data):
        raise UserError(f"{data.name} holds other images than {run} was trained on: start a new run.")
    if record.get("data", {}).get("label_maps") != data.facts.get("label_maps"):
        raise UserError(f"the label maps are not those that {run} was trained with: start a new run.")
    try:
        torch.load(checkpoint, map_location="meta", weights_only=True)
    except Exception as error:  # a broken or hostile file can fail in any way
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{checkpoint} cannot be read ({reason}): start a new run.") from None
