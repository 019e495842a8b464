"""Segmentation models: a backbone of timm and a decoder. Build them, save them, load them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch

from spectralvision.data.images import estimate_median_side
from spectralvision.data.splits import Data
from spectralvision.engine import model_io
from spectralvision.engine.weights_io import (
    load_matching,
    load_weights,
    network_arguments,
    read_config,
    read_weights,
    save_weights,
)
from spectralvision.runs import UserError, require_extra
from spectralvision.tasks.segmentation.config import OUTPUT_STRIDES, SegmentationConfig
from spectralvision.tasks.segmentation.data import find_values
from spectralvision.tasks.segmentation.decoders import DeepLabV3, PSPNet
from spectralvision.tasks.segmentation.segmenter import (
    SIZE_STEP,
    DilatedSegmenter,
    Segmenter,
    SmpSegmenter,
)

TASK = "segmentation"
OWN_DECODERS = {"deeplabv3": DeepLabV3, "pspnet": PSPNet}
AUTO_STRIDES = {"deeplabv3": 8, "pspnet": 8, "deeplabv3plus": 16, "pan": 16}
"""Output stride of each decoder; 32 for the others."""
SMALLEST_SIDES = {"pan": 128}
"""Of the images that a decoder takes, in pixels; 32 for the others."""
MAX_AUTO_SIZE = 512
CLASS_PARTS = ("classifier.", "segmentation_head.")
"""Parts of the names of weights of single classes."""
AUXILIARY = "auxiliary."
"""Of weights that only training uses."""


def build_model(
    config: SegmentationConfig, data: Data, is_new: bool = True
) -> tuple[Segmenter, SegmentationConfig]:
    """Return the model for the classes of some data, and the settings with its sizes.

    Raises:
        UserError: No such model, no weights, or a decoder or stride that the backbone does not
            suit.
    """
    # 1. Sizes
    size = config.input_size
    if isinstance(size, str):
        side = estimate_median_side(data.split("train"))
        size = min(MAX_AUTO_SIZE, SIZE_STEP * math.ceil(side / SIZE_STEP))
    short_side = size if config.short_side == "auto" else config.short_side
    config = replace(config, input_size=size, short_side=short_side)

    # 2. The model, with the weights of the one to start from
    known = read_config(config.model) if model_io.brings_weights(config.model) else {}
    task = known.get("task", "classification")
    if task not in (TASK, "classification"):
        raise UserError(
            f"{config.model} is for {task}: start from a classifier or from a segmentation model."
        )
    torch.manual_seed(config.seed)
    if task == TASK:
        architecture = str(known["architecture"])
        model = build_segmenter(config, architecture, data, network_arguments(known, config.model))
        if is_new:
            _load_start(model, config.model, data.classes)
    else:
        model_args = network_arguments(known, config.model)
        model = build_segmenter(config, config.model, data, model_args, is_new)
    for width in (int(size), int(size) + SIZE_STEP):
        problem = model_io.check_forward(model, int(size), width)
        if problem:
            cure = "another --input-size or --decoder"
            if width > int(size):
                cure = "a network that takes images of any size, such as affnet_t"
            raise UserError(
                f"{config.model} with --decoder {config.decoder} does not take {width} x {size} "
                f"pixels ({problem}): use {cure}."
            )
    return model, replace(config, output_stride=model.settings["output_stride"])


def build_segmenter(
    config: SegmentationConfig,
    name: str,
    data: Data,
    model_args: dict[str, Any],
    is_new: bool = False,
) -> Segmenter:
    """Return a model for the classes of some data.

    Args:
        config: Settings with sizes.
        name: The backbone: a model of timm, a run folder or a repository.
        data: Names the classes.
        model_args: Arguments of the backbone besides `config`.
        is_new: Whether it brings its weights.
    """
    stride = find_output_stride(name, config.decoder, config.output_stride)
    brings_weights = is_new and (config.pretrained == "published" or model_io.brings_weights(name))
    arguments = dict(model_args) if ":" not in model_io.find_model(name) else {}
    model = assemble(
        name,
        config.decoder,
        len(data.classes),
        stride,
        pretrained=brings_weights,
        auxiliary=config.loss.auxiliary > 0,
        img_size=config.input_size,
        drop_path_rate=config.optimizer.drop_path or None,
        **arguments,
    )
    model_io.describe(model, data.classes, int(config.input_size))
    model.settings = {
        "decoder": config.decoder,
        "output_stride": stride,
        "short_side": config.short_side,
        "values": find_values(data.split("train"), len(data.classes)),
        "model_args": model_args,
    }
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def assemble(
    name: str, decoder: str, num_classes: int, output_stride: int, *, pretrained: bool,
    auxiliary: bool, **options: Any,
) -> Segmenter:  # fmt: skip
    """Return backbone and decoder put together; `options` are passed to the backbone."""
    if output_stride != 32:
        options["output_stride"] = output_stride
    options |= {"pretrained": pretrained, "num_classes": 0}
    if decoder in OWN_DECODERS:
        backbone = model_io.load_model(name, features_only=True, **options)
        model: Segmenter = DilatedSegmenter(backbone, OWN_DECODERS[decoder], num_classes, auxiliary)
    else:
        model = _build_smp(name, decoder, num_classes, output_stride, options)
    model.pretrained_cfg = dict(model.backbone.pretrained_cfg)  # type: ignore[arg-type]
    return model


def _build_smp(
    name: str, decoder: str, num_classes: int, output_stride: int, options: dict[str, Any]
) -> Segmenter:
    """Return a model of segmentation-models-pytorch whose encoder is our backbone."""
    require_extra("dense", "segmentation_models_pytorch")
    import segmentation_models_pytorch as smp

    architecture = architecture_of(name)
    keywords: dict[str, Any] = {}
    if decoder in ("deeplabv3plus", "pan"):
        keywords["encoder_output_stride"] = output_stride
    if decoder == "dpt" and not _has_prefix_tokens(architecture):
        keywords["decoder_readout"] = "ignore"
    try:
        body = smp.create_model(
            decoder, f"tu-{architecture}", encoder_weights=None, classes=num_classes, **keywords
        )
    except Exception as error:  # backbones do not suit decoders in many ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"--decoder {decoder} does not take the backbone {name} ({reason}): choose another "
            "decoder."
        ) from None
    if decoder != "dpt":
        options |= {
            "features_only": True,
            "out_indices": body.encoder.model.feature_info.out_indices,
        }
    body.encoder.model = model_io.load_model(name, **options)
    return SmpSegmenter(body, num_classes, SMALLEST_SIDES.get(decoder, SIZE_STEP))


def _has_prefix_tokens(architecture: str) -> bool:
    """Return whether a network of timm has tokens beside those of the image."""
    with torch.device("meta"):
        return bool(getattr(timm.create_model(architecture), "num_prefix_tokens", 0))


def architecture_of(name: str) -> str:
    """Return timm's name, without a tag, of the network that a name stands for."""
    found = model_io.find_model(name)
    if ":" in found:
        return str(read_config(name)["architecture"]).partition(".")[0]
    return found.partition(".")[0]


def find_output_stride(name: str, decoder: str, wanted: int | str) -> int:
    """Return the output stride that a backbone has: as wanted, or the least that suits the decoder.

    Raises:
        UserError: The backbone does not have it.
    """
    if wanted == "auto":
        least = AUTO_STRIDES.get(decoder, 32)
        strides = [stride for stride in OUTPUT_STRIDES if stride >= least]
    else:
        strides = [int(wanted)]
    reason = ""
    for stride in strides:
        try:
            with torch.device("meta"):
                option: dict[str, Any] = {} if stride == 32 else {"output_stride": stride}
                model: Any = timm.create_model(architecture_of(name), features_only=True, **option)
            found = model.feature_info.reduction()
            if found[-1] == stride:
                return stride
            reason = f"its last one has {found[-1]}"
            if len(set(found)) == 1:
                raise UserError(
                    f"{name} has feature maps of one stride only, {found[0]}, which --decoder "
                    f"{decoder} cannot use: use a network with stages, such as affnet_t, or "
                    "--decoder dpt."
                )
        except UserError:
            raise
        except TypeError:  # no argument of this name
            reason = "its output stride cannot be chosen"
        except Exception as error:  # models reject a stride, or feature maps, in many ways
            reason = " ".join(str(error).split()) or type(error).__name__
    raise UserError(
        f"{name} has no feature maps of output stride {strides[-1]} ({reason}): choose another "
        "--model or --output-stride."
    )


def save_model(model: Segmenter, run: Path) -> None:
    """Write config.json and model.safetensors; weights that only training uses are left out."""
    cfg = dict(model.pretrained_cfg)
    config = {
        "task": TASK,
        "architecture": cfg["architecture"],
        **model.settings,
        "num_classes": model.num_classes,
        "label_names": list(cfg["label_names"]),
        "pretrained_cfg": {
            key: cfg[key] for key in ("input_size", "interpolation", "mean", "std") if key in cfg
        },
    }
    save_weights(model, config, run, without=AUXILIARY)


def load_model(name: str) -> Segmenter:
    """Return the model of a run folder or a repository.

    Raises:
        UserError: It is none, or its weights do not fit.
    """
    config, state = read_weights(name, TASK)
    try:
        known, short_side = config["pretrained_cfg"], config["short_side"]
        size, classes = int(known["input_size"][-1]), [str(one) for one in config["label_names"]]
        settings: dict[str, Any] = {
            "decoder": str(config["decoder"]),
            "output_stride": int(config["output_stride"]),
            "short_side": None if short_side is None else int(short_side),
            "values": _check_values(config.get("values", range(len(classes))), len(classes)),
            "model_args": network_arguments(config, name),
        }
        model = assemble(
            config["architecture"],
            settings["decoder"],
            len(classes),
            settings["output_stride"],
            pretrained=False,
            auxiliary=False,
            img_size=size,
            **settings["model_args"],
        )
        model.settings = settings
        model.pretrained_cfg |= {
            "mean": tuple(map(float, known["mean"])),
            "std": tuple(map(float, known["std"])),
            "interpolation": str(known["interpolation"]),
        }
        model_io.describe(model, classes, size)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"{name} has no settings of this version ({reason}).") from None
    load_weights(model, state, name)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _check_values(values: Sequence[Any], number: int) -> list[int]:
    """Return the values of the classes in masks.

    Raises:
        ValueError: They are not so many different ones of 8 or 16 bits.
    """
    known = {int(value) for value in values}
    if len(known) != number or len(values) != number or not known <= set(range(1 << 16)):
        raise ValueError(f"{number} classes, but the values {list(values)}")
    return [int(value) for value in values]


def _load_start(model: Segmenter, name: str, classes: Sequence[str]) -> None:
    """Load the weights of another run; those of single classes only for the same ones."""
    loaded = load_matching(model, name, TASK, classes, CLASS_PARTS)
    if not any(key.startswith(("backbone.", "body.encoder.")) for key in loaded):
        raise UserError(
            f"the backbone of {name} does not fit --decoder {model.settings['decoder']}: use the "
            "decoder of that run."
        )
