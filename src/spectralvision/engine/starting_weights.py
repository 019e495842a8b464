"""Which weights a training run starts from, and what is known of the data they were trained on."""

from typing import Any

import numpy as np
import timm
from PIL import Image

from spectralvision.data.images import Images, estimate_median_side, spread_indices
from spectralvision.data.splits import Data
from spectralvision.data.synthetic import SYNTHETIC
from spectralvision.engine import hub, model_io
from spectralvision.engine.run_record import read_record
from spectralvision.runs import UserError

BUNDLED_TAG = "tiny_imagenet"
"""Of the weights in the package that `auto` starts from."""
SMALLEST_SIDE = 64
"""Of photographs, in pixels, that these weights are for."""
SAMPLE = 16
"""Images that are looked at for colors."""
MIN_COLOR = 24
"""Difference between the channels of a pixel, of 255, from which an image is colored."""


def choose_weights(model: str, pretrained: str, data: Data) -> tuple[str, str]:
    """Return the model, with the tag of its weights, and `published` or `none`.

    Args:
        model: The model of the settings. A run folder, a repository or a name with a tag decides by
            itself.
        pretrained: auto, none, published or the name of weights, with or without the model's.
        data: The images, for auto.

    Raises:
        UserError: There are no weights of that name, or they are of another model.
    """
    is_name = pretrained not in ("auto", "none", "published")
    if model_io.brings_weights(model):
        if is_name:
            raise UserError(f"{model} brings its own weights: leave out --pretrained {pretrained}.")
        return model, "none"
    if is_name:
        return _named_weights(model, pretrained), "published"
    if model_io.names_weights(model):
        return model, "published"
    if pretrained == "published":
        _require_published(model)
    if pretrained != "auto":
        return model, pretrained
    bundled = f"{model}.{BUNDLED_TAG}"
    if is_bundled(bundled) and has_color_photographs(data):
        return bundled, "published"
    return model, "none"


def _require_published(model: str) -> None:
    """Raise `UserError` for a model of which only the package has weights, named by their tags."""
    cfg = timm.get_pretrained_cfg(model)
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{model}.*")]
    if tags and (cfg is None or not cfg.has_weights):
        raise UserError(
            f"{model} has no published weights for ImageNet, but the package has "
            f"{' and '.join(tags)}: name them with --pretrained."
        )


def is_bundled(name: str) -> bool:
    """Return whether a name stands for weights that are part of the package."""
    model, _, tag = name.partition(".")
    if not tag or not timm.is_model(model) or name not in timm.list_pretrained(f"{model}.*"):
        return False
    cfg = timm.get_pretrained_cfg(name)
    return cfg is not None and bool(cfg.file)


def has_strong_weights(model: str, pretrained: str) -> bool:
    """Return whether a run with these settings starts from weights that few epochs adapt.

    Weights in the package are not: a run from them is trained as one from scratch.
    """
    if model_io.brings_weights(model):
        return True
    return pretrained == "published" and not is_bundled(model)


def describe_weights(model: str, pretrained: str) -> dict[str, Any] | None:
    """Return name, data and license of the weights that a run starts from; None from scratch.

    What is not known is None. The license is that of the weights or of their data, in words.
    """
    if model_io.brings_weights(model):
        found = model_io.find_model(model)
        record = {} if hub.is_hub(found) else read_record(model_io.run_of(found))
        return {"name": model, "data": record.get("data", {}).get("name"), "license": None}
    if pretrained != "published":
        return None
    cfg = timm.get_pretrained_cfg(model, allow_unregistered=True)
    if cfg is None:
        return {"name": model, "data": None, "license": None}
    name = f"{cfg.architecture}.{cfg.tag}" if cfg.architecture and cfg.tag else model
    return {"name": name, "data": cfg.description, "license": cfg.license}


def format_weights(weights: dict[str, Any]) -> str:
    """Return the line about the weights that a run starts from."""
    data = f", trained on {weights['data']}" if weights["data"] else ""
    license_ = weights["license"] or "not stated"
    return f"start  {weights['name']}{data} (license: {license_})"


def has_color_photographs(data: Data) -> bool:
    """Return whether training images are colored photographs of at least 64 pixels."""
    images = data.split("train")
    if not data.photographs or not isinstance(images, Images) or data.name == SYNTHETIC:
        return False
    if estimate_median_side(images) < SMALLEST_SIDE:
        return False
    sample = [images.image(int(row)) for row in spread_indices(len(images), SAMPLE)]
    return 2 * sum(map(is_colored, sample)) >= len(sample)


def is_colored(image: Image.Image) -> bool:
    """Return whether the channels of some pixel differ clearly."""
    pixels = np.asarray(image.convert("RGB").reduce(max(1, min(image.size) // 64))).astype(np.int16)
    return bool((pixels.max(axis=2) - pixels.min(axis=2)).max() >= MIN_COLOR)


def _named_weights(model: str, name: str) -> str:
    """Return the full name of weights of a model; raise `UserError` if there are none."""
    plain = model.partition(".")[0]
    full = name if "." in name else f"{plain}.{name}"
    if full.partition(".")[0] != plain:
        raise UserError(
            f"--pretrained {name} holds weights of {full.partition('.')[0]}, not of {plain}."
        )
    return model_io.find_model(full)
