"""run.json: what was done, with what, and what came out; and whether a run can be resumed."""

import contextlib
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from spectralvision.data.images import Images
from spectralvision.data.splits import Data, fingerprint
from spectralvision.engine.checkpoints import describe_restart, last_checkpoint, read_checkpoint
from spectralvision.engine.devices import Device
from spectralvision.engine.errors import translate_errors
from spectralvision.engine.lock import lock
from spectralvision.engine.processes import rank
from spectralvision.runs import (
    UserError,
    create_run_folder,
    read_json,
    remove_temporary_files,
    write_json,
)

PACKAGES = ("spectralvision", "torch", "timm", "lightning")


def claim_run_folder(name: str, out: str | None) -> Path:
    """Create the folder of a new run. Only rank 0 creates it; the others write nothing."""
    return Path(out or name) if rank() else create_run_folder(name, out)


def read_record(run: Path) -> dict[str, Any]:
    """Return run.json of a folder; empty where there is none."""
    path = run / "run.json"
    return read_json(path) if path.is_file() else {}


def recorded_columns(run: Path) -> dict[str, str]:
    """Return the columns of shards that a run was trained on; empty for other data."""
    data = read_record(run).get("data")
    columns = data.get("columns") if isinstance(data, dict) else None
    return columns if isinstance(columns, dict) else {}


@contextlib.contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Keep other processes from writing a run inside the block; only rank 0 does.

    Temporary files of a process that was killed are removed.

    Raises:
        UserError: Another process is writing the run.
    """
    if rank():
        yield
        return
    with lock(run, str(run)):
        for folder in (run, last_checkpoint(run).parent):
            remove_temporary_files(folder)
        yield


@contextlib.contextmanager
def record_run(run: Path, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Write run.json at the start and at the end of the block.

    The block receives a dictionary; what it puts there is in the record, unless it raises: then the
    record says how it ended.
    """
    status: dict[str, Any] = {"status": "failed"}
    if rank():
        yield status
        return
    with translate_errors(describe_rest=partial(describe_unfinished_run, run)):
        write_json(run / "run.json", {"status": "running", **facts})
    try:
        with translate_errors(describe_rest=partial(describe_unfinished_run, run)):
            yield status
            write_json(run / "run.json", status | facts)
    except BaseException as error:
        is_stopped = isinstance(error, KeyboardInterrupt)
        status["status"] = "interrupted" if is_stopped else "failed"
        if isinstance(error, UserError):
            status["error"] = str(error)
        with contextlib.suppress(OSError):  # on a full disk the record of the start stays
            write_json(run / "run.json", status | facts)
        raise


def describe_data(data: Data) -> dict[str, Any]:
    """Return what the record says about the data."""
    return {
        "name": data.name,
        "classes": list(data.classes),
        "images": {name: len(images) for name, images in data.splits.items()},
        "fingerprints": fingerprints(data),
        **data.facts,
    }


def describe_resolved(config: Any, device: Device, workers: int) -> dict[str, Any]:
    """Return what the settings that stay `auto` in the record came to on this machine.

    A resumed run may be on another machine: it decides them again.
    """
    is_single = config.trainer.world_size == 1
    return {
        "workers": workers,
        "device": device.accelerator,
        "precision": device.precision.removesuffix("-true"),
        "trainer": {"strategy": "single process" if is_single else "ddp"},
    }


def fingerprints(data: Data) -> dict[str, str]:
    """Return what identifies the images of train and val; nothing for streams."""
    splits = {name: data.splits[name] for name in ("train", "val")}
    return {
        name: fingerprint(images) for name, images in splits.items() if isinstance(images, Images)
    }


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that compute the result."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            found[package] = "unknown"
    return found


def describe_unfinished_run(run: Path, is_resumable: bool = True) -> str:
    """Return what an unfinished run holds, and the command that resumes it, in words."""
    command = ""
    if not run.is_dir():
        return f"{run} does not exist any more"
    if is_resumable and last_checkpoint(run).exists():
        command = f"`spectralvision train --resume {run}` resumes it"
    if not (run / "model.safetensors").exists():
        return command or f"no epoch was completed, so {run} holds no weights"
    weights = f"the best weights so far are in {run}"
    return f"{weights}; {command}" if command else weights


def check_resumable(run: Path, data: Data) -> None:
    """Raise `UserError` if nothing is left to do, or for a checkpoint or images of another run."""
    record, checkpoint = read_json(run / "run.json"), last_checkpoint(run)
    is_finished = record.get("status") == "finished"
    if is_finished and (run / "report.html").is_file() and not rank():  # who may just write it
        raise UserError(
            f"{run} is finished: `spectralvision train {record.get('recipe', '')} --model {run} "
            "--data DATA` continues from its weights."
        )
    if not is_finished and not checkpoint.is_file():
        raise UserError(f"{run} has no checkpoint to resume from: {describe_restart(run)}.")
    known = record.get("data", {})
    if known.get("fingerprints") != fingerprints(data):
        raise UserError(
            f"{data.name} holds other images than {run} was trained on: start a new run."
        )
    if known.get("label_maps") != data.facts.get("label_maps"):
        raise UserError(
            f"the label maps are not those that {run} was trained with: start a new run."
        )
    if not is_finished:
        read_checkpoint(checkpoint, record.get("id"), device="meta")
