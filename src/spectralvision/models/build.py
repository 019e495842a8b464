"""Build a registered variant through timm."""

from pathlib import Path
from typing import Any

from timm.models import build_model_with_cfg, resolve_pretrained_cfg
from torch import nn

from spectralvision.models.released import checkpoint_filter_fn

WEIGHTS = Path(__file__).parent / "weights"


def bundled_weights(name: str, side: int, data: str, license: str) -> dict[str, Any]:
    """Return timm's configuration of weights that are part of the package.

    Args:
        name: Of the files in weights/: .safetensors; .txt, the classes in the order of the logits;
            .md, a card.
        side: Of the input, in pixels.
        data: The images that they were trained on, in words.
        license: What is known of the license of these images.
    """
    label_names = tuple((WEIGHTS / f"{name}.txt").read_text(encoding="utf-8").split("\n")[:-1])
    return {
        "description": data,
        "license": license,
        "file": str(WEIGHTS / f"{name}.safetensors"),
        "input_size": (3, side, side),
        "pool_size": (side // 32, side // 32),
        "num_classes": len(label_names),
        "label_names": label_names,
    }


def build_variant(
    model_cls: type[nn.Module],
    variant: str,
    pretrained: bool,
    reported: str,
    default_feature_cfg: dict[str, Any],
    **kwargs: Any,
) -> nn.Module:
    """Build a registered variant with timm.

    Args:
        model_cls, variant, pretrained, kwargs: as in timm's `build_model_with_cfg`.
        reported: what the authors report for the variant, for the error message.
        default_feature_cfg: what a `feature_cfg` among kwargs does not set.

    Raises:
        ValueError: weights are requested, and neither the variant nor the caller's `pretrained_cfg`
            names any.
    """
    if pretrained:
        cfg = resolve_pretrained_cfg(
            variant, kwargs.get("pretrained_cfg"), kwargs.get("pretrained_cfg_overlay")
        )
        if not (cfg.has_weights or cfg.state_dict or cfg.source):
            raise ValueError(
                f"no ImageNet weights of {variant} come with spectralvision; {reported}. "
                "docs/guides/released-weights.md lists where the authors publish theirs; load such "
                "a file with spectralvision.load_released(model, FILE)"
            )
    return build_model_with_cfg(
        model_cls,
        variant,
        pretrained,
        feature_cfg=default_feature_cfg | (kwargs.pop("feature_cfg", None) or {}),
        pretrained_filter_fn=checkpoint_filter_fn,
        **kwargs,
    )


def imagenet_cfg(
    crop_pct: float, first_conv: str, classifier: str, stride: int = 32
) -> dict[str, Any]:
    """Return timm's configuration of a model for ImageNet at 224 x 224 pixels, without weights.

    `stride` is that of the last map.
    """
    return {
        "input_size": (3, 224, 224),
        "pool_size": (224 // stride, 224 // stride),
        "crop_pct": crop_pct,
        "interpolation": "bicubic",
        "num_classes": 1000,
        "first_conv": first_conv,
        "classifier": classifier,
    }
