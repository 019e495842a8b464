"""Load the authors' checkpoints: names, containers and sizes. Only this file knows their names."""

import argparse
import re
from math import isqrt
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)
StateDict = dict[str, Tensor]

# Where training loops store a state dict; averaged weights (EMA) come first.
CONTAINERS = (
    *("state_dict_ema", "ema_state_dict", "model_ema", "ema"),
    *("state_dict", "model_state_dict", "model.state_dict", "model"),
)
MAX_CONTAINERS = 8  # in each other
# What torch.compile, FSDP and activation checkpointing insert, anywhere in a name.
WRAPPERS = r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
PREFIXES = ("module.", "model.")  # DDP and averaged models; Lightning

# (pattern, replacement), applied in order to every name.
AFFNET = [
    (r"^conv_1\.", "stem."),
    (r"^layer_([12])\.(\d+)\.", lambda m: f"stages.{int(m[1]) - 1}.{m[2]}."),
    (r"^layer_([345])\.0\.", lambda m: f"stages.{int(m[1]) - 1}.downsample."),
    (r"^layer_([345])\.1\.", lambda m: f"stages.{int(m[1]) - 1}."),
    # The norm after the blocks is the last entry of their list.
    (r"\.global_rep\.(\d+)\.(weight|bias)$", r".norm.\2"),
    (r"\.global_rep\.", ".blocks."),
    (r"\.mlp\.", ".local."),
    (r"\.conv_proj\.", ".proj."),
    (r"\.exp_1x1\.", ".expand."),
    (r"\.conv_3x3\.", ".depthwise."),
    (r"\.red_1x1\.", ".project."),
    (r"^conv_1x1_exp\.", "final_conv."),
    (r"^classifier\.", "head."),
    (r"\.block\.", "."),
]
# SVT's wavelet taps, saved as buffers; ours are in ops/wavelet_filters.py.
FILTERS = r"(^|\.)(xfm|ifm)\.[hg][01][oab]$"
MIXER = [
    (r"complex_weight_ll$", "gain"),
    (r"complex_weight_lh_b([12])_t$", r"c\1"),
    (r"complex_weight_lh_([12])_t$", r"v\1"),
    (r"complex_weight_lh_b([12])$", r"b\1"),
    (r"complex_weight_lh_([12])$", r"w\1"),
]
SVT = [
    (r"^patch_embed1\.conv\.([036])\.", lambda m: f"stem.{int(m[1]) // 3}.conv."),
    (r"^patch_embed1\.conv\.([147])\.", lambda m: f"stem.{int(m[1]) // 3}.norm."),
    (r"^patch_embed1\.proj\.", "stem.3.conv."),
    (r"^patch_embed1\.norm\.", "stem.3.norm."),
    (r"^patch_embed([234])\.proj\.", lambda m: f"stages.{int(m[1]) - 1}.downsample.conv."),
    (r"^patch_embed([234])\.norm\.", lambda m: f"stages.{int(m[1]) - 1}.downsample.norm."),
    (r"^block([1-4])\.(\d+)\.attn\.", lambda m: f"stages.{int(m[1]) - 1}.blocks.{m[2]}.mixer."),
    (r"^block([1-4])\.(\d+)\.", lambda m: f"stages.{int(m[1]) - 1}.blocks.{m[2]}."),
    (r"\.dwconv\.dwconv\.", ".dwconv."),
    (r"^norm([123])\.", lambda m: f"stages.{int(m[1]) - 1}.norm."),
    (r"^norm4\.", "norm."),
    (r"^post_network\.0\.mlp\.", "class_block."),
    (r"^post_network\.0\.", "class_block."),
    *MIXER,
]
PATCHES = [
    (r"^patch_embed\.proj\.", "stem.conv."),
    (r"^patch_embed\.0\.proj\.", "stem.conv."),
    (r"^patch_embed\.([123])\.proj\.", r"stages.\1.downsample.conv."),
    (r"^pos_embed$", "stem.position.weight"),
]
FILTER = (r"(^|\.)complex_weight$", r"\1weight")
GFNET = [
    *PATCHES,
    (r"^blocks\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"^blocks\.(\d+)\.", r"stages.\1."),
    (r"\.gamma$", ".layer_scale.gamma"),
    FILTER,
]
DYNAMIC_FILTER = [
    (r"(^|\.)pwconv1\.", r"\1expand."),
    (r"(^|\.)pwconv2\.", r"\1project."),
    (r"(^|\.)act1\.", r"\1act."),
    (r"(^|\.)reweight\.", r"\1mixture."),
    (r"(^|\.)complex_weights$", r"\1spectra"),
]
DFFORMER = [
    (r"^downsample_layers\.0\.conv\.", "stem.conv."),
    (r"^downsample_layers\.0\.post_norm\.", "stem.norm."),
    (r"^downsample_layers\.([123])\.pre_norm\.", r"stages.\1.downsample.norm."),
    (r"^downsample_layers\.([123])\.conv\.", r"stages.\1.downsample.conv."),
    (r"^stages\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"\.res_scale([12])\.scale$", r".scale\1.gamma"),
    (r"\.token_mixer\.dwconv\.", ".mixer.mixer."),
    (r"\.token_mixer\.", ".mixer."),
    *DYNAMIC_FILTER,
]
STATIC_FILTER = [(r"\.token_mixer\.complex_weights?$", ".mixer.mixer.weight")]  # GFFormer
HEAT = [
    (r"(^|\.)dwconv\.", r"\1conv."),
    (r"(^|\.)out_norm\.", r"\1norm."),
    (r"(^|\.)out_linear\.", r"\1project."),
    (r"(^|\.)to_k\.0\.", r"\1diffusivity."),
]
VHEAT = [
    (r"^patch_embed\.conv1\.", "stem.0."),
    (r"^patch_embed\.norm1\.1\.", "stem.1."),
    (r"^patch_embed\.conv2\.", "stem.3."),
    (r"^patch_embed\.norm2\.1\.", "stem.4."),
    (r"^freq_embed\.(\d+)$", r"stages.\1.embedding.weight"),
    (r"^layers\.([012])\.\d+\.0\.", lambda m: f"stages.{int(m[1]) + 1}.downsample.conv."),
    (r"^layers\.([012])\.\d+\.1\.", lambda m: f"stages.{int(m[1]) + 1}.downsample.norm."),
    (r"^layers\.(\d+)\.(\d+)\.op\.", r"stages.\1.blocks.\2.mixer."),
    (r"^layers\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"\.gamma([12])$", r".scale\1.gamma"),
    (r"^classifier\.0\.", "norm."),
    (r"^classifier\.\d+\.", "head."),
    *HEAT,
]


def load_released(
    module: Module, source: str | Path | dict[str, Any], head: Literal["strict", "reset"] = "strict"
) -> Module:
    """Load weights in the authors' names (or ours) into a model or a bare mixer, strictly.

    A file does not record which activation, norm or softshrink threshold it was trained with: with
    a wrong `act_layer`, `norm_layer` or `threshold` it loads without an error and computes
    something else. The released runs use the defaults.

    Args:
        module: an AFFNet, an SVT, an `AdaptiveFrequencyFilter` or a `ScatteringMixer`.
        source: a state dict, or the path of a file that contains one: safetensors, or a PyTorch
            file, which is read with `weights_only=True` and never executed. The state dict may be
            in the containers of DeiT, timm, CVNets or Lightning, of which averaged weights (EMA)
            are preferred, and its names may have the prefixes of DDP, FSDP and torch.compile.
        head: "strict" loads the classifier; "reset" keeps the module's own, for another number of
            classes.

    Returns:
        The module.

    Raises:
        ValueError: names or shapes do not match, or the file is not a checkpoint; the module is
            then unchanged.
    """
    if head not in ("strict", "reset"):
        raise ValueError(f"head must be 'strict' or 'reset', got {head!r}")
    state = _convert(source if isinstance(source, dict) else _read(Path(source)), module)
    own = module.state_dict()
    if head == "reset":
        state = {name: value for name, value in state.items() if not _is_head(name)}
        state |= {name: value for name, value in own.items() if _is_head(name)}
    _check_fit(state, own)
    module.load_state_dict(state)
    return module


def read_released(path: str | Path) -> StateDict:
    """Read the state dict of one of the authors' files (or ours) from any container, in our names.

    Raises:
        ValueError: the file is not a checkpoint; nothing in it was executed.
    """
    return rename_released(_unwrap(_read(Path(path))))


def checkpoint_filter_fn(state_dict: dict[str, Any], model: nn.Module) -> StateDict:
    """Convert a state dict in the authors' names, or ours, from any container: timm's hook.

    Weights that belong to a map size are resized to that of `model`. An auxiliary head for another
    number of classes is omitted, as timm does with the classifier.

    Raises:
        ValueError: there are weights of an auxiliary head, and the model has none.
    """
    state, own = _convert(state_dict, model), model.state_dict()
    return {
        name: value
        for name, value in state.items()
        if not (name.startswith("aux_head.") and name in own and own[name].shape != value.shape)
    }


def _convert(content: dict[str, Any], model: nn.Module) -> StateDict:
    state, own = rename_released(_unwrap(content)), model.state_dict()
    if "aux_head.weight" in state and "aux_head.weight" not in own and "head.weight" in own:
        raise ValueError(
            "this checkpoint has an auxiliary head: create the model with token_label=True, or "
            "delete 'aux_head.weight' and 'aux_head.bias' from the state dict to load it without"
        )
    return _resize(state, model)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or hostile file can make the loader raise anything
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        if not isinstance(error, OSError | SafetensorError):
            # torch's own message advises to execute the file, or says nothing.
            reason = "it is damaged, or contains other things than tensors"
        raise ValueError(
            f"{path} cannot be read as a checkpoint (nothing in it was executed): {reason}"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} contains a {type(content).__name__}, not a state dict")
    return content


def _unwrap(content: dict[str, Any]) -> StateDict:
    """Return the state dict inside a loop's containers, without the prefixes of wrappers."""
    # 1. Open the containers
    for _ in range(MAX_CONTAINERS):
        key = next((key for key in CONTAINERS if _is_filled_dict(content, key)), None)
        if key is None:
            break
        content = content[key]
    content = {name: value for name, value in content.items() if name != "n_averaged"}
    others = [
        name
        for name, value in content.items()
        if not (isinstance(name, str) and isinstance(value, Tensor))
    ]
    if others or not content:
        raise ValueError(
            f"not a state dict of tensors: {others[:3] or 'empty'}; "
            "pass the state dict inside the checkpoint"
        )

    # 2. Remove the prefixes that DDP, torch.compile, FSDP and Lightning add to the names
    state = {re.sub(WRAPPERS, "", name): value for name, value in content.items()}
    while all(name.startswith(PREFIXES) for name in state):
        state = {name.partition(".")[2]: value for name, value in state.items()}
    return state


def _is_filled_dict(content: dict[str, Any], key: str) -> bool:
    return isinstance(content.get(key), dict) and len(content[key]) > 0


def rename_released(state: StateDict) -> StateDict:
    """Rename a state dict from the authors' names to ours; our own names are kept."""
    if any(name.startswith("conv_1.block.") for name in state):
        rules: list = AFFNET
    elif any(name.startswith("patch_embed1.") for name in state):
        rules = SVT
    elif any(name.startswith("blocks.") and name.endswith("complex_weight") for name in state):
        rules = GFNET
    elif any(name.startswith("downsample_layers.0.") for name in state):
        is_static = not any(".reweight." in name for name in state)
        rules = [*STATIC_FILTER, *DFFORMER] if is_static else DFFORMER
    elif any(name.startswith("freq_embed.") for name in state):
        rules = VHEAT
    else:
        rules = [*MIXER, FILTER, *DYNAMIC_FILTER] if not _is_ours(state) else []
    return {
        _apply(rules, name): _arrange(name, value)
        for name, value in state.items()
        if not re.search(FILTERS, name)
    }


def _apply(rules: list, name: str) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _is_ours(state: StateDict) -> bool:
    return any(name.startswith("stages.") for name in state)


def _arrange(name: str, value: Tensor) -> Tensor:
    """Return an array of the authors with its axes in our order: channels first, parts first."""
    if re.search(r"(^|\.)complex_weights?$", name) and value.ndim == 4:
        return value.permute(3, 2, 0, 1)  # (U, V, C, 2) -> (2, C, U, V)
    if re.match(r"freq_embed\.\d+$", name) and value.ndim == 3:
        return value.permute(2, 0, 1)  # (H, W, C) -> (C, H, W)
    if name == "pos_embed" and value.ndim == 3 and isqrt(value.shape[1]) ** 2 == value.shape[1]:
        side = isqrt(value.shape[1])
        return value[0].T.unflatten(1, (side, side))  # (1, N, C) -> (C, H, W)
    return value


def _resize(state: StateDict, model: nn.Module) -> StateDict:
    """Reshape linear layers on tokens to 1x1 convolutions, resize weights of another map size."""
    own = model.state_dict()
    for name, value in state.items():
        if value.ndim == 2 and name in own and own[name].shape[2:] == (1, 1):
            state[name] = value[:, :, None, None]
    for prefix, mixer in model.named_modules():
        if not hasattr(mixer, "resize_weight"):
            continue
        for name, _ in mixer.named_parameters(recurse=False):
            key = f"{prefix}.{name}".lstrip(".")
            if key in state:
                state[key] = mixer.resize_weight(name, state[key])  # type: ignore[operator]
    return state


def _is_head(name: str) -> bool:
    return name.startswith(("head.", "aux_head."))


def _check_fit(state: StateDict, own: StateDict) -> None:
    missing = [name for name in own if name not in state]
    unknown = [name for name in state if name not in own]
    if missing or unknown:
        raise ValueError(
            f"the checkpoint is of another model: it lacks {len(missing)} of {len(own)} tensors"
            f"{_examples(missing)} and has {len(unknown)} unknown ones{_examples(unknown)}"
        )
    for name, value in state.items():
        if value.shape != own[name].shape:
            cure = (
                ": pass head='reset' to keep the model's own classifier" if _is_head(name) else ""
            )
            shapes = (
                f"{tuple(value.shape)} in the checkpoint and {tuple(own[name].shape)} in the model"
            )
            raise ValueError(f"{name} has shape {shapes}{cure}")


def _examples(names: list[str]) -> str:
    return f" ({', '.join(names[:2])}, ...)" if names else ""
