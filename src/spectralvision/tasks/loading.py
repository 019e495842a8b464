"""A model by name or from a run folder, with its preprocessing and class names; and the way back into a run folder."""

import difflib
import hashlib
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_data_config
from timm.models import save_for_hf
from torch import nn

from spectralvision.data.datasets import Data
from spectralvision.runs import UserError, folder_beside, put_in_place, read_json, write_json
from spectralvision.tasks import hub


def find_model(name: str) -> str:
    """timm's name of a run folder (`local-dir:...`), of a repository (`hf-hub:...`) or of a registered model.

    Raises:
        UserError: Neither a run folder nor a repository nor a model; the sentence names the nearest.
    """
    path = Path(name).expanduser()
    if path.is_dir() and not timm.is_model(name):
        architecture = read_json(path / "config.json").get("architecture") if _has(path / "config.json", path) else None
        if not isinstance(architecture, str) or not timm.is_model(architecture):
            raise UserError(f"{path / 'config.json'} names no known model (architecture {architecture!r}).")
        return f"local-dir:{path}"
    if name.startswith("local-dir:"):
        return find_model(name.removeprefix("local-dir:"))
    if hub.is_hub(name):
        return f"hf-hub:{hub.repository(name)}"
    if path.is_file():
        raise UserError(f"{name} is a file: --model takes a run folder, or the name of a model.")
    if not timm.is_model(name.split(".")[0]):
        near = difflib.get_close_matches(name, timm.list_models() + timm.list_pretrained(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "`spectralvision models --all` lists them."
        raise UserError(f"{name} is neither a run folder nor the name of a model: {hint}")
    return name


def load_model(name: str, pretrained: bool = True, num_classes: int | None = None, **options: Any) -> nn.Module:
    """Builds a model of ours or of timm, or reads one from a run folder. Weights are never unpickled as code.

    Args:
        name: A run folder, or a model's name.
        pretrained: Whether a plain name comes with its published weights; a run folder always brings its own.
        num_classes: Another number than the weights have gives a fresh head.
        options: Forwarded to timm.

    Raises:
        UserError: An unknown model, or weights that are missing, cannot be read or do not fit.
    """
    found = find_model(name)
    if ":" not in found and not pretrained:
        return _create(found, num_classes=num_classes, **options)
    try:
        return _create(found, pretrained=True, num_classes=num_classes, **options)
    except Exception as error:  # a broken or hostile file, or a failed download, can fail in any way
        if hub.is_hub(found):
            raise _refused(found, error) from None
        reason = " ".join(str(error).split())
        if ":" in found:
            raise UserError(f"the weights in {name} cannot be used ({_shortened(reason)}).") from None
        if isinstance(error, ValueError) and not isinstance(error, OSError):
            raise UserError(reason) from None  # a model that says itself where its weights are to be had
        raise UserError(f"no weights for {name}: {_shortened(reason)}.") from None


def run_of(name: str) -> Path:
    """The run folder that a model's name stands for, or a path where there is none."""
    return Path(name.removeprefix("local-dir:")).expanduser()


def default_size(name: str) -> int:
    """The side of the square input that a model, or a run, is meant for, pixels."""
    found = find_model(name)
    if found.startswith("local-dir:"):
        config = read_json(Path(found.removeprefix("local-dir:")) / "config.json")
        size = config.get("pretrained_cfg", {}).get("input_size", (3, 224, 224))
    else:
        try:
            with torch.device("meta"):
                size = _cfg(_create(found)).get("input_size", (3, 224, 224))
        except Exception as error:
            if not hub.is_hub(found):
                raise
            raise _refused(found, error) from None
    return int(min(size[-2:]))


def brings_weights(name: str) -> bool:
    """Whether weights come with a name without being asked for: of a run folder, or of a repository."""
    return ":" in find_model(name)


def check_forward(model: nn.Module, size: int) -> Exception | None:
    """None if the model takes (1, 3, size, size), else what it said."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, size, size))
    except Exception as error:  # models refuse sizes in many ways
        return error
    finally:
        model.train(training)
    return None


def data_config(model: nn.Module) -> dict[str, Any]:
    """Preprocessing that belongs to the model: input_size (3, H, W), mean, std, interpolation, crop_pct, crop_mode."""
    return dict(resolve_data_config(pretrained_cfg=_cfg(model)))


def label_names(model: nn.Module) -> list[str] | None:
    """Class names in the order of the logits, where the model knows them; ImageNet's are WordNet ids."""
    names = _cfg(model).get("label_names")
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=int)]
    if names is None and (subset := _imagenet(model)):
        names = ImageNetInfo(subset).label_names()
    return list(names) if names and len(names) == model.num_classes else None


def label_titles(model: nn.Module) -> list[str]:
    """What to call each class in a table: its name, for ImageNet its description, else its number."""
    names = label_names(model)
    if (subset := _imagenet(model)) and names == (info := ImageNetInfo(subset)).label_names():
        return [info.index_to_description(index) for index in range(info.num_classes())]
    number: Any = model.num_classes
    return names or [str(index) for index in range(number)]


def columns_of(model: nn.Module, name: str, data: Data) -> list[int] | None:
    """Which logits of a model belong to the classes of some data, in their order; None: all as they are.

    Raises:
        UserError: It does not know a class; where it does not name its own, it has another number of them.
    """
    names = label_names(model)
    if names is None:
        if model.num_classes != len(data.classes):
            raise UserError(f"{data.name} has {len(data.classes)} classes, and {name} has {model.num_classes}.")
        return None
    data.in_order_of(names, name)  # refuses a class that the model does not know
    return [names.index(one) for one in data.classes]


def weights_digest(model: nn.Module) -> str:
    """Hexadecimal digits that stand for all weights and buffers of a model, with their names."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def describe(model: nn.Module, classes: Sequence[str], size: int, crop_pct: float | None = None) -> None:
    """Writes into the model what its weights will be used with; `save_model` saves it."""
    cfg: Any = _cfg(model)
    for key in ("tag", "license", "test_input_size", "test_crop_pct", "label_descriptions", "url", "hf_hub_id", "file"):
        cfg.pop(key, None)
    cfg |= {"input_size": (3, size, size), "num_classes": len(classes), "label_names": list(classes)}
    if crop_pct is not None:
        cfg["crop_pct"] = crop_pct
    model.pretrained_cfg = model.default_cfg = cfg


def save_model(model: nn.Module, folder: Path) -> None:
    """Writes `config.json` and `model.safetensors`, each whole or not at all."""
    names = label_names(model)
    plain: Any = deepcopy(model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with folder_beside(folder) as beside:
        save_for_hf(plain, str(beside), model_config={"label_names": names}, safe_serialization=True)
        config = read_json(beside / "config.json")
        config["pretrained_cfg"].pop("label_names", None)  # stand at the root
        config.get("model_args", {}).pop("num_classes", None)  # stands at the root; transformers refuses it twice
        write_json(beside / "config.json", config)
        for name in ("model.safetensors", "config.json"):
            put_in_place(beside / name, folder / name)


def _create(name: str, **options: Any) -> nn.Module:
    """timm's `create_model`; a model that takes no `img_size` is made without it."""
    options = {key: value for key, value in options.items() if value is not None}
    if "img_size" in options:
        try:
            return timm.create_model(name, **options)
        except TypeError:
            options.pop("img_size")
    return timm.create_model(name, **options)


def architecture(model: nn.Module) -> str:
    """timm's name of a model."""
    return str(_cfg(model)["architecture"])


def _refused(found: str, error: Exception) -> UserError:
    """Why a repository cannot be used: it cannot be had, or what it holds does not fit."""
    repo = found.partition(":")[2]
    if type(error).__module__.partition(".")[0] in ("huggingface_hub", "httpx", "httpx2", "requests"):
        return UserError(f"{hub.explained(error, repo)}.")
    return UserError(f"the weights in {repo} cannot be used ({_shortened(' '.join(str(error).split()))}).")


def _cfg(model: nn.Module) -> dict[str, Any]:
    cfg: Any = model.pretrained_cfg  # timm's PretrainedCfg before 1.0, a dict since
    return dict(cfg)


def _has(file: Path, folder: Path) -> bool:
    if not file.is_file():
        raise UserError(f"{folder} is not a run folder: it has no {file.name}.")
    return True


def _imagenet(model: nn.Module) -> str | None:
    subset: str | None = infer_imagenet_subset(model)
    return subset if subset and len(ImageNetInfo(subset).label_names()) == model.num_classes else None


def _shortened(text: str, limit: int = 300) -> str:
    return text.rstrip(".") if len(text) <= limit else text[: limit - 1] + "…"
