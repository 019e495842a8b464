"""Load models by name or from a run folder, with preprocessing and class names; save them."""

import difflib
from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_data_config
from timm.models import save_for_hf
from torch import nn

from spectralvision.data.splits import Data
from spectralvision.engine import hub
from spectralvision.engine.errors import explain_hub_error
from spectralvision.runs import (
    UserError,
    expand_user,
    read_json,
    reject_unfinished_run,
    replace_file,
    suggest,
    temporary_folder,
    write_json,
)

HUB_PACKAGES = ("huggingface_hub", "httpx", "httpx2", "requests")
"""Errors of these packages are about the Hub, all others about the model."""
MAX_REASON_CHARACTERS = 300
UNUSED_CONFIG = (
    "tag", "license", "test_input_size", "test_crop_pct", "label_descriptions", "url", "hf_hub_id",
    "file", "description",
)  # fmt: skip


def find_model(name: str) -> str:
    """Return timm's name of a run folder (`local-dir:...`), a repository (`hf-hub:...`) or a model.

    Raises:
        UserError: It is neither a run folder nor a repository nor a model.
    """
    path = expand_user(name)
    if path.is_dir() and not timm.is_model(name):
        config = path / "config.json"
        if not config.is_file():
            reject_unfinished_run(path)
            raise UserError(f"{path} is not a run folder: it has no config.json.")
        known = read_json(config).get("architecture")
        if not isinstance(known, str) or not timm.is_model(known):
            raise UserError(f"{config} names no known model (architecture {known!r}).")
        return f"local-dir:{path}"
    if name.startswith("local-dir:"):
        return find_model(name.removeprefix("local-dir:"))
    if hub.is_hub(name):
        return f"hf-hub:{hub.parse_repository(name)}"
    if path.is_file():
        raise UserError(f"{name} is a file: --model takes a run folder or the name of a model.")
    if not timm.is_model(name.split(".")[0]):
        known_names = timm.list_models() + timm.list_pretrained()
        plain = name.lower().replace("-", "_")
        near = difflib.get_close_matches(plain, known_names, n=3, cutoff=0.5)
        near = [plain] if plain in known_names else near
        hint = "`spectralvision models --all` lists them."
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        raise UserError(f"{name} is neither a run folder nor the name of a model: {hint}")
    _check_tag(name)
    return name


def _check_tag(name: str) -> None:
    """Raise UserError if a model's name ends in a tag of weights that it does not have."""
    try:
        timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError:
        model, _, tag = name.partition(".")
        known = [one.partition(".")[2] for one in timm.list_pretrained(f"{model}.*")]
        hint = suggest(tag, known, "choose from") if known else f"it has none, use {model}."
        raise UserError(f"{model} has no weights named {tag!r}: {hint}") from None


def load_model(
    name: str, pretrained: bool = True, num_classes: int | None = None, **options: Any
) -> nn.Module:
    """Build a model of ours or of timm, or read one from a run folder. Nothing is executed.

    Args:
        name: A run folder, a repository or a model's name.
        pretrained: Whether a model's name comes with its published weights; a run folder or a
            repository always brings its own.
        num_classes: A number other than that of the weights gives a new head.
        options: Passed to timm.

    Raises:
        UserError: An unknown model, or weights that are missing, cannot be read or do not fit.
    """
    found = find_model(name)
    is_run = found.startswith("local-dir:")
    if is_run and (task := read_json(run_of(found) / "config.json").get("task")):
        raise UserError(f"{name} is for {task}, not for classification.")
    if ":" not in found and not pretrained:
        return _create(found, num_classes=num_classes, **options)
    try:
        model = _create(found, pretrained=True, num_classes=num_classes, **options)
    except Exception as error:  # a broken file or a failed download can fail in any way
        if hub.is_hub(found):
            raise _hub_user_error(found, error) from None
        reason = " ".join(str(error).split())
        if ":" in found:
            raise UserError(f"the weights in {name} cannot be used ({_shorten(reason)}).") from None
        if isinstance(error, ValueError) and not isinstance(error, OSError):
            raise UserError(reason) from None  # a model that says itself where its weights are
        repo = _repository_of(found)
        if repo and type(error).__module__.partition(".")[0] in HUB_PACKAGES:
            reason = explain_hub_error(error, repo)
        raise UserError(f"no weights for {name}: {_shorten(reason)}.") from None
    _check_weights(model, name)
    if num_classes is None and is_run:
        _check_label_names(model, name)
    return model


def run_of(name: str) -> Path:
    """Return the run folder that a name stands for; it need not exist."""
    return expand_user(name.removeprefix("local-dir:"))


def default_size(name: str) -> int:
    """Return the side of the square input that a model or a run expects, in pixels."""
    found = find_model(name)
    if found.startswith("local-dir:"):
        config = read_json(Path(found.removeprefix("local-dir:")) / "config.json")
        size = config.get("pretrained_cfg", {}).get("input_size", (3, 224, 224))
        return int(min(size[-2:]))
    try:
        with torch.device("meta"):
            size = _pretrained_cfg(_create(found)).get("input_size", (3, 224, 224))
    except Exception as error:
        if not hub.is_hub(found):
            raise
        raise _hub_user_error(found, error) from None
    return int(min(size[-2:]))


def brings_weights(name: str) -> bool:
    """Return whether a name always comes with weights: a run folder or a repository."""
    return ":" in find_model(name)


def names_weights(name: str) -> bool:
    """Return whether a name has the tag of published weights, as in `affnet_et.cifar10`."""
    found = find_model(name)
    return ":" not in found and "." in found and timm.is_model_pretrained(found)


def check_forward(model: nn.Module, size: int, width: int | None = None) -> Exception | None:
    """Return None if the model takes (1, 3, size, width or size), else the error it raises."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, size, width or size))
    except Exception as error:  # models reject sizes in many ways
        return error
    finally:
        model.train(training)
    return None


def data_config(model: nn.Module) -> dict[str, Any]:
    """Return the preprocessing of a model, as timm's `resolve_data_config` does.

    The keys are input_size (3, H, W), mean, std, interpolation, crop_pct and crop_mode.
    """
    return dict(resolve_data_config(pretrained_cfg=_pretrained_cfg(model)))


def label_names(model: nn.Module) -> list[str] | None:
    """Return class names in the order of the logits, if known; WordNet ids for ImageNet."""
    names = _pretrained_cfg(model).get("label_names")
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=int)]
    subset = _imagenet_subset(model)
    if names is None and subset:
        names = ImageNetInfo(subset).label_names()
    return list(names) if names and len(names) == model.num_classes else None


def label_titles(model: nn.Module) -> list[str]:
    """Return what to call each class: its name, for ImageNet's ids that in words, else a number."""
    names = label_names(model)
    if names is None:
        number: Any = model.num_classes
        return [str(index) for index in range(number)]
    return describe_labels(names, _imagenet_subset(model))


def describe_labels(names: Sequence[str], subset: str | None = None) -> list[str]:
    """Return the names, or in words if they are WordNet ids of a subset of ImageNet."""
    info = ImageNetInfo(subset or "imagenet-1k")
    is_known = set(names) <= set(info.label_names())
    return [info.label_name_to_description(one) if is_known else one for one in names]


def columns_of(model: nn.Module, name: str, data: Data) -> list[int] | None:
    """Return the logits of the classes of some data, in their order; None: all as they are.

    Raises:
        UserError: The model lacks a class, or has no class names and another number of classes.
    """
    names = label_names(model)
    if names is None:
        if model.num_classes != len(data.classes):
            raise UserError(
                f"{data.name} has {len(data.classes)} classes, but {name} has {model.num_classes}."
            )
        return None
    data.reorder_classes(names, name)  # rejects a class that the model does not have
    return [names.index(one) for one in data.classes]


def describe(
    model: nn.Module, classes: Sequence[str], size: int, crop_pct: float | None = None
) -> None:
    """Set class names and preprocessing of a model; `save_model` writes them."""
    cfg: Any = _pretrained_cfg(model)
    for key in UNUSED_CONFIG:
        cfg.pop(key, None)
    cfg |= {
        "input_size": (3, size, size),
        "num_classes": len(classes),
        "label_names": list(classes),
    }
    if crop_pct is not None:
        cfg["crop_pct"] = crop_pct
    model.pretrained_cfg = model.default_cfg = cfg


def save_model(model: nn.Module, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` in timm's format, each whole or not at all."""
    names = label_names(model)
    plain: Any = deepcopy(model)
    plain = plain.to(memory_format=torch.contiguous_format)
    with temporary_folder(folder) as temporary:
        save_for_hf(
            plain, str(temporary), model_config={"label_names": names}, safe_serialization=True
        )
        config = read_json(temporary / "config.json")
        config["pretrained_cfg"].pop("label_names", None)  # they are at the root
        config.get("model_args", {}).pop(
            "num_classes", None
        )  # at the root; transformers rejects two
        write_json(temporary / "config.json", config)
        for name in ("model.safetensors", "config.json"):
            replace_file(temporary / name, folder / name)


def architecture(model: nn.Module) -> str:
    """Return timm's name of a model."""
    return str(_pretrained_cfg(model)["architecture"])


def _create(name: str, **options: Any) -> nn.Module:
    """Call timm's `create_model`, without `img_size` for a model that does not take it."""
    options = {key: value for key, value in options.items() if value is not None}
    with hub.cache_if_unreachable() if _reads_hub(name, options) else nullcontext():
        return _create_model(name, options)


def _reads_hub(name: str, options: dict[str, Any]) -> bool:
    """Return whether timm reads a model, or the weights of its own models, from the Hub."""
    if ":" in name:
        return hub.is_hub(name)
    return bool(options.get("pretrained")) and _repository_of(name) is not None


def _repository_of(name: str) -> str | None:
    """Return the repository with the weights of a model of timm's, if there is one."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return getattr(config, "hf_hub_id", None) or None


def _create_model(name: str, options: dict[str, Any]) -> nn.Module:
    if "img_size" in options:
        try:
            return timm.create_model(name, **options)
        except TypeError:
            options.pop("img_size")
    return timm.create_model(name, **options)


def _hub_user_error(found: str, error: Exception) -> UserError:
    """Return why a repository cannot be used: it is not available, or its content does not fit."""
    repo = found.partition(":")[2]
    if type(error).__module__.partition(".")[0] in HUB_PACKAGES:
        return UserError(f"{explain_hub_error(error, repo)}.")
    reason = _shorten(" ".join(str(error).split()))
    return UserError(f"the weights in {repo} cannot be used ({reason}).")


def _pretrained_cfg(model: nn.Module) -> dict[str, Any]:
    cfg: Any = model.pretrained_cfg  # timm's PretrainedCfg before 1.0, a dict since
    return dict(cfg)


def _imagenet_subset(model: nn.Module) -> str | None:
    subset: str | None = infer_imagenet_subset(model)
    if subset and len(ImageNetInfo(subset).label_names()) == model.num_classes:
        return subset
    return None


def _check_weights(model: nn.Module, name: str) -> None:
    """Raise UserError if a weight or a buffer is NaN or infinite."""
    for key, value in model.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(
                f"the weights in {name} are damaged: {key} has values that are not finite "
                "(NaN or infinite)."
            )


def _check_label_names(model: nn.Module, name: str) -> None:
    """Raise UserError unless a model's own class names are distinct, one per class."""
    names = _pretrained_cfg(model).get("label_names")
    if not names or not isinstance(names, dict | list | tuple):
        return
    names = list(names.values()) if isinstance(names, dict) else list(names)
    if len(names) != model.num_classes:
        raise UserError(
            f"{name} names {len(names)} classes in its config.json, but its weights have "
            f"{model.num_classes}."
        )
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise UserError(f"{name} names the class {twice!r} twice in its config.json.")


def _shorten(text: str) -> str:
    if len(text) <= MAX_REASON_CHARACTERS:
        return text.rstrip(".")
    return text[: MAX_REASON_CHARACTERS - 1] + "…"
