"""Run folders of models that are not timm's classifiers: config.json and model.safetensors.

`config.json` says how to build the model: "task", "architecture" (timm's name of the backbone),
"label_names", and what else the task needs. Nothing in it is imported or executed.
"""

import hashlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spectralvision.engine import hub
from spectralvision.engine.errors import explain_hub_error
from spectralvision.runs import (
    UserError,
    expand_user,
    read_json,
    reject_unfinished_run,
    replace_file,
    temporary_folder,
    write_json,
)

TASK_ARGUMENTS = (
    "img_size", "num_classes", "drop_path_rate", "features_only", "out_indices", "output_stride",
)  # fmt: skip
"""Arguments of a network that tasks set themselves."""
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"


def save_weights(
    model: nn.Module, config: dict[str, Any], folder: Path, without: str | None = None
) -> None:
    """Write both files into a run folder, each whole or not at all.

    Args:
        model: Has the weights.
        config: How to build it.
        folder: The run folder.
        without: Start of the names of weights that are left out.
    """
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
        if without is None or not name.startswith(without)
    }
    with temporary_folder(folder) as temporary:
        save_file(state, temporary / WEIGHTS_FILE)
        write_json(temporary / CONFIG_FILE, config)
        for name in (WEIGHTS_FILE, CONFIG_FILE):
            replace_file(temporary / name, folder / name)


def read_config(name: str) -> dict[str, Any]:
    """Return config.json of a run folder or a repository; empty for anything else.

    Raises:
        UserError: The repository cannot be read.
    """
    if hub.is_hub(name):
        return read_json(_download(name, CONFIG_FILE))
    path = _folder(name) / CONFIG_FILE
    return read_json(path) if path.is_file() else {}


def read_weights(name: str, task: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the configuration and the weights of a run folder or a repository.

    Args:
        name: A run folder or hf_hub:OWNER/NAME.
        task: The task that it should be for.

    Raises:
        UserError: It is not one, is for another task, or its weights cannot be read.
    """
    config = read_config(name)
    if not config:
        reject_unfinished_run(_folder(name))
        raise UserError(
            f"{name} is not a run of {task}: give a folder that `spectralvision train {task}` has "
            "written."
        )
    if config.get("task") != task:
        known = config.get("task", "classification")
        raise UserError(f"{name} is for {known}, not for {task}.")
    architecture = config.get("architecture")
    if not isinstance(architecture, str) or not timm.is_model(architecture.partition(".")[0]):
        raise UserError(f"{name} names no known model (architecture {architecture!r}).")
    path = _download(name, WEIGHTS_FILE) if hub.is_hub(name) else _folder(name) / WEIGHTS_FILE
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"the weights in {name} cannot be used ({error}).") from None
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(
                f"the weights in {name} are damaged: {key} has values that are not finite "
                "(NaN or infinite)."
            )
    return config, state


def network_arguments(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the arguments of the network in config.json, without those that tasks set themselves.

    Args:
        config: See `read_config`.
        name: The run, for messages.

    Raises:
        UserError: One is of `timm.create_model` itself, such as the path of a checkpoint.
    """
    known = config.get("model_args") or {}
    if not isinstance(known, dict):
        raise UserError(f"{name} has arguments of its model that are no object ({known!r}).")
    reserved = set(inspect.signature(timm.create_model).parameters)
    if taken := sorted(reserved & set(known)):
        raise UserError(f"{name} sets {taken[0]} in its config.json, which a run may not.")
    return {key: value for key, value in known.items() if key not in TASK_ARGUMENTS}


def weights_digest(model: nn.Module) -> str:
    """Return hexadecimal digits that identify all weights and buffers of a model."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def load_weights(model: nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Load weights into a model that has the same ones.

    Raises:
        UserError: They do not fit.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"the weights in {name} cannot be used ({reason}).") from None


def load_matching(
    model: nn.Module, name: str, task: str, classes: Sequence[str], class_parts: Sequence[str]
) -> set[str]:
    """Load what a model has in the same shape of the weights of a run, and return their names.

    Args:
        model: The model.
        name: The run.
        task: The task that it should be for.
        classes: Of the model; the weights of single classes are those of a run with the same ones.
        class_parts: Parts of the names of the weights of single classes.

    Raises:
        UserError: See `read_weights`.
    """
    config, state = read_weights(name, task)
    own = model.state_dict()
    same_classes = config.get("label_names") == list(classes)
    fitting = {
        key: value
        for key, value in state.items()
        if key in own
        and own[key].shape == value.shape
        and (same_classes or not any(part in key for part in class_parts))
    }
    model.load_state_dict(fitting, strict=False)
    return set(fitting)


def _folder(name: str) -> Path:
    return expand_user(name.removeprefix("local-dir:"))


def _download(name: str, file: str) -> Path:
    """Return the local copy of a file of a repository."""
    full_name = hub.parse_repository(name)
    repo, _, revision = full_name.partition("@")
    try:
        with hub.cache_if_unreachable():
            return Path(hf_hub_download(repo, file, revision=revision or None))
    except Exception as error:  # a network fails in many ways
        raise UserError(f"{explain_hub_error(error, full_name)}.") from None
