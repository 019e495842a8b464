"""Convert a checkpoint of the authors' code to a run folder."""

import hashlib
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from spectralvision.engine.model_io import save_model
from spectralvision.models import REPORTED_TOP1, VARIANTS
from spectralvision.models.released import load_released, read_released
from spectralvision.runs import UserError, create_run_folder, expand_user, suggest, write_json

IMAGENET_CLASSES = 1000
HEAD_WEIGHTS = ("head.fc.weight", "head.weight")


def convert(
    source: str,
    name: str,
    out: str | None = None,
    token_label: bool = False,
    threshold: float | None = None,
) -> dict[str, Any]:
    """Write a run folder with the weights of `source` and as many classes as its head has.

    Args:
        source: The authors' checkpoint; it is read, never executed.
        name: The model it belongs to.
        out: Run folder, which must be new or empty; default runs/NAME.
        token_label: Keep the auxiliary head of an SVT.
        threshold: Softshrink threshold of an AFFNet, if not that of the released models.

    Returns:
        run, model, params, num_classes, reported_top1 (per cent on ImageNet; None if unknown).

    Raises:
        UserError: There is no such model, the file is not a checkpoint or belongs to another model,
            or the run folder is not empty.
    """
    options = _model_options(name, token_label, threshold)
    path = expand_user(source)
    model = _load_checkpoint(path, name, options)
    run = create_run_folder(name, out)
    save_model(model, run)
    result = {
        "run": str(run),
        "model": name,
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "num_classes": model.num_classes,
        "reported_top1": None,
    }
    if model.num_classes == IMAGENET_CLASSES:
        result["reported_top1"] = REPORTED_TOP1.get(name)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    origin = {"file": path.name, "sha256": digest, **options}
    write_json(run / "run.json", {"status": "converted", "source": origin, "results": result})
    return result


def _load_checkpoint(path: Path, name: str, options: dict[str, Any]) -> nn.Module:
    state = _read_checkpoint(path, options)
    head = next((state[key] for key in HEAD_WEIGHTS if key in state), None)
    num_classes = IMAGENET_CLASSES if head is None else len(head)
    model = timm.create_model(name, num_classes=num_classes, **options)
    try:
        return load_released(model, state)
    except ValueError as error:
        reason = str(error).split(": pass head=")[0]  # a cure for callers of load_released only
        raise UserError(f"{path} does not fit {name}: {reason}.") from None


def _read_checkpoint(path: Path, options: dict[str, Any]) -> dict[str, Tensor]:
    try:
        state = read_released(path)
    except ValueError as error:
        raise UserError(f"{error}.") from None
    if "aux_head.weight" in state and not options.get("token_label"):
        raise UserError(f"{path} has an auxiliary head: add --token-label.")
    if path.name == "model.safetensors" and (path.parent / "run.json").is_file():
        raise UserError(f"{path} belongs to a run already: use it with --model {path.parent}.")
    return state


def _model_options(name: str, token_label: bool, threshold: float | None) -> dict[str, Any]:
    """Return the keyword arguments of the model."""
    models = list(VARIANTS)
    if name not in models:
        hint = suggest(name, models, "choose from")
        raise UserError(f"{name} is not a model whose checkpoints can be converted: {hint}")
    options: dict[str, Any] = {}
    if token_label:
        if not name.startswith("svt"):
            raise UserError(f"--token-label is for SVT models: {name} has no auxiliary head.")
        options["token_label"] = True
    if threshold is not None:
        if not name.startswith("affnet"):
            raise UserError(f"--threshold is for AFFNet models: {name} has no softshrink.")
        options["threshold"] = threshold
    return options
