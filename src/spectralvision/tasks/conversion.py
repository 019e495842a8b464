"""A checkpoint of the authors' code -> a run folder."""

import hashlib
from pathlib import Path
from typing import Any

from torch import nn

import spectralvision
from spectralvision.models import REPORTED_TOP1
from spectralvision.models.released import load_released, read_released
from spectralvision.runs import UserError, nearest, new_run_folder, write_json
from spectralvision.tasks.loading import save_model


def convert(
    source: str, name: str, out: str | None = None, token_label: bool = False, threshold: float | None = None
) -> dict[str, Any]:
    """Writes a run folder with the weights of `source`; the number of classes is the checkpoint's.

    Args:
        source: The authors' file; it is read, never executed.
        name: The model of ours that it belongs to.
        out: Run folder, which must be new or empty; default runs/NAME.
        token_label: Keep the auxiliary head.
        threshold: Softshrink threshold of an AFFNet, where it is not the released runs'.

    Raises:
        UserError: No such model, a file that is no checkpoint or one of another model, a folder that is taken.
    """
    options = _options(name, token_label, threshold)
    path = Path(source).expanduser()
    model = _loaded(path, name, options)
    run = new_run_folder(name, out)
    save_model(model, run)
    result = {
        "run": str(run),
        "model": name,
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "num_classes": model.num_classes,
        "reported_top1": REPORTED_TOP1.get(name) if model.num_classes == 1000 else None,
    }
    with open(path, "rb") as file:
        origin = {"file": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest(), **options}
    write_json(run / "run.json", {"status": "converted", "source": origin, "results": result})
    return result


def _loaded(path: Path, name: str, options: dict[str, Any]) -> nn.Module:
    try:
        state = read_released(path)
    except ValueError as error:
        raise UserError(f"{error}.") from None
    if "aux_head.weight" in state and not options.get("token_label"):
        raise UserError(f"{path} has an auxiliary head: give --token-label.")
    if path.name == "model.safetensors" and (path.parent / "run.json").is_file():
        raise UserError(f"{path} is of a run already: --model {path.parent} takes it as it is.")
    head = next((state[key] for key in ("head.fc.weight", "head.weight") if key in state), None)
    num_classes = 1000 if head is None else len(head)
    try:
        return load_released(spectralvision.create_model(name, num_classes=num_classes, **options), state)
    except ValueError as error:
        reason = str(error).split(": pass head=")[0]  # a cure for callers of load_released, and none here
        raise UserError(f"{path} does not fit {name}: {reason}.") from None


def _options(name: str, token_label: bool, threshold: float | None) -> dict[str, Any]:
    """Keywords of the model."""
    ours = spectralvision.list_models()
    if name not in ours:
        raise UserError(f"{name} is not a model whose checkpoints are converted: {nearest(name, ours, 'those are')}")
    if token_label and not name.startswith("svt"):
        raise UserError(f"--token-label goes with SVT: {name} has no auxiliary head.")
    if threshold is not None and not name.startswith("affnet"):
        raise UserError(f"--threshold goes with AFFNet: {name} has no softshrink.")
    return ({"token_label": True} if token_label else {}) | ({} if threshold is None else {"threshold": threshold})
