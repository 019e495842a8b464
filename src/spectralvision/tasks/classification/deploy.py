"""A classifier for export."""

from typing import Any

from torch import nn

from spectralvision.engine.model_io import data_config, label_titles
from spectralvision.export.deployment import Deployable, Mode, Output
from spectralvision.export.feature_maps import deploy_features
from spectralvision.runs import UserError

MODES: dict[str, Mode] = {"center": "crop", "squash": "stretch"}
"""timm's names for how an image gets the size of the input -> ours."""


def build_deployable(model: nn.Module, size: tuple[int, int] | None, output: Output) -> Deployable:
    """Return a classifier with what `standalone/classify.py` needs."""
    preprocessing = data_config(model)
    mode = _mode(preprocessing)
    height, width = size or preprocessing["input_size"][-2:]
    _set_size(model, (height, width))
    if output == "features":
        return deploy_features(model, (height, width), mode, preprocessing)
    kind = "logits" if output == "auto" else output
    return Deployable(
        module=nn.Sequential(model, nn.Softmax(dim=1)) if kind == "probabilities" else model,
        outputs=(kind,),
        script="classify",
        size=(height, width),
        mode=mode,
        preprocessing=preprocessing,
        labels=label_titles(model),
        settings={"output": kind},
    )


def _mode(preprocessing: dict[str, Any]) -> Mode:
    mode = preprocessing["crop_mode"]
    if mode == "squash" and preprocessing["crop_pct"] != 1:
        mode = "squash and crop"
    if mode not in MODES:
        raise UserError(
            f"images of this model are prepared by timm's crop mode {mode!r}, which export does "
            "not write: choose a model with center or squash."
        )
    return MODES[mode]


def _set_size(model: nn.Module, size: tuple[int, int]) -> None:
    """Prepare a model of timm that has weights for one size for another one."""
    own = tuple(data_config(model)["input_size"][-2:])
    set_input_size: Any = getattr(model, "set_input_size", None)
    if size != own and set_input_size is not None:
        set_input_size(img_size=size)
