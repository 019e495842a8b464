"""The feature maps of the stages of a backbone, for export."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spectralvision.export.deployment import Deployable, Mode
from spectralvision.runs import UserError


class FeatureMaps(nn.Module):
    """(B, 3, H, W) -> the maps (B, C, h, w) of the stages, that of the first stage first.

    Args:
        backbone: A network of timm, with a head or made with `features_only=True`.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if hasattr(self.backbone, "forward_intermediates"):
            maps: Sequence[Tensor] = self.backbone.forward_intermediates(x, intermediates_only=True)  # type: ignore[operator]
        else:
            maps = self.backbone(x)
        return tuple(maps)


def deploy_features(
    backbone: nn.Module, size: tuple[int, int], mode: Mode, preprocessing: Mapping[str, Any]
) -> Deployable:
    """Return the feature maps of a backbone with what `standalone/describe_maps.py` needs.

    Raises:
        UserError: The backbone has no feature maps, or does not take the size.
    """
    module = FeatureMaps(backbone)
    try:
        with torch.no_grad():
            number = len(module(torch.zeros(1, 3, *size)))
    except Exception as error:  # models reject sizes and features in many ways
        raise UserError(f"--output features does not work with this model ({error}).") from None
    return Deployable(
        module=module,
        outputs=tuple(f"features_{index}" for index in range(number)),
        script="describe_maps",
        size=size,
        mode=mode,
        preprocessing=preprocessing,
        labels=(),
        settings={"output": "features"},
    )
