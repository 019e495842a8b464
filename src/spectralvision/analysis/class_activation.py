"""Show what a classifier responds to: Grad-CAM (Selvaraju et al., 2017) of its last feature map."""

import importlib.util
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from spectralvision.data.transforms import denormalize
from spectralvision.engine.model_io import architecture, data_config
from spectralvision.runs import install_command

MAX_MAPS = 8
MAX_SECONDS = 10.0  # no further map is started afterwards


def draw_activation_maps(
    model: nn.Module, inputs: Mapping[int, Tensor], classes: np.ndarray
) -> tuple[dict[int, Image.Image], str]:
    """Return overlays of the first images, as many as time allows; or none, and why, in a sentence.

    Args:
        model: A classifier of ours or of timm; its gradients are not kept.
        inputs: Normalized (3, H, W) images by index.
        classes: (N,) the class to explain of each index.
    """
    if importlib.util.find_spec("pytorch_grad_cam") is None:
        return {}, f"Class activation maps need grad-cam: run {install_command('train')}."
    found: dict[int, Image.Image] = {}
    start = time.monotonic()
    try:
        layer, info = _last_layer(model)
        for index, pixels in list(inputs.items())[:MAX_MAPS]:
            if not found or time.monotonic() - start < MAX_SECONDS:
                found[index] = _draw(model, layer, info, pixels, int(classes[index]))
    except Exception:  # models fail in many ways on what they are not made for
        return {}, f"{architecture(model)} has no feature map that Grad-CAM can use."
    finally:
        model.zero_grad()
    return found, ""


def _draw(
    model: nn.Module, layer: nn.Module, info: Mapping[str, Any], pixels: Tensor, label: int
) -> Image.Image:
    """Return the image, as the model gets it, under a heat map of the class."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import show_cam_on_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cam = GradCAM(model, [layer], partial(to_map, info=info, size=pixels.shape[-2:]))
    with torch.enable_grad():
        (heat,) = cam(pixels[None], [ClassifierOutputTarget(label)])
    picture = np.asarray(denormalize(pixels, data_config(model)), np.float32) / 255
    return Image.fromarray(show_cam_on_image(picture, heat, use_rgb=True))


def _last_layer(model: Any) -> tuple[nn.Module, dict[str, Any]]:
    """Return the module that makes the last feature map, and what timm knows of the map.

    Of networks with a class token it is what the last attention to that token starts from: later,
    no gradient reaches the other tokens.
    """
    infos = model.feature_info
    info = dict((infos if isinstance(infos, list) else infos.get_dicts())[-1])
    info["prefix"] = int(getattr(model, "num_prefix_tokens", 0))
    layer = model.get_submodule(info["module"])
    if info["prefix"]:
        layer = model.stages[-1] if hasattr(model, "stages") else getattr(layer, "norm1", layer)
    return layer, info


def to_map(features: Tensor, info: Mapping[str, Any], size: Sequence[int]) -> Tensor:
    """Return (B, C, h, w) of a map, a channels-last map or tokens.

    Args:
        features: What the last layer returns.
        info: num_chs, reduction and prefix: C, H / h, and the number of tokens that may precede.
        size: (H, W) of the images.

    Raises:
        ValueError: The features are neither.
    """
    if features.ndim == 4 and features.shape[1] == info["num_chs"]:
        return features
    if features.ndim == 4 and features.shape[3] == info["num_chs"]:
        return features.movedim(-1, 1)
    height, width = (side // info["reduction"] for side in size)
    number = height * width
    if features.ndim == 3 and features.shape[1] - number in (0, info["prefix"]):
        return features[:, -number:].unflatten(1, (height, width)).movedim(-1, 1)
    raise ValueError(f"neither map nor tokens: {tuple(features.shape)}")
