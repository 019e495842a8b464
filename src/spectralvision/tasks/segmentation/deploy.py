"""A segmentation model for export."""

from typing import Any

from torch import nn

from spectralvision.engine.model_io import data_config, label_titles
from spectralvision.export.deployment import Deployable, Output, fit_side
from spectralvision.export.feature_maps import deploy_features
from spectralvision.tasks.segmentation.segmenter import Segmenter


def build_deployable(model: Segmenter, size: tuple[int, int] | None, output: Output) -> Deployable:
    """Return a segmentation model with what `standalone/segment.py` needs."""
    preprocessing = data_config(model)
    settings: dict[str, Any] = {}
    if size is None:
        short_side = model.settings["short_side"]
        side = short_side or preprocessing["input_size"][-1]
        if short_side and output != "features":
            side, settings = fit_side(short_side), {"short_side": short_side}
        size = (side, side)
    if output == "features":
        return deploy_features(model.backbone, size, "fit", preprocessing)
    kind = "logits" if output == "auto" else output
    return Deployable(
        module=nn.Sequential(model, nn.Softmax(dim=1)) if kind == "probabilities" else model,
        outputs=(kind,),
        script="segment",
        size=size,
        mode="fit",
        preprocessing=preprocessing,
        labels=label_titles(model),
        settings={"output": kind, "mask_values": list(model.settings["values"]), **settings},
    )
