"""Backbones in timm's contract. Importing this package registers them with timm."""

from typing import Any

from spectralvision.models import affnet, dfformer, gfnet, svt, svt_isotropic, vheat
from spectralvision.models.affnet import AFFNet
from spectralvision.models.mix_token import Box, TokenLabelOutput
from spectralvision.models.released import load_released
from spectralvision.models.svt import SVT

FAMILIES = (affnet, svt, svt_isotropic, gfnet, dfformer, vheat)
VARIANTS: dict[str, dict[str, Any]] = {
    name: options for family in FAMILIES for name, options in family.VARIANTS.items()
}
REPORTED_TOP1: dict[str, float] = {  # ImageNet, per cent, by the authors
    name: top1 for family in FAMILIES for name, top1 in family.REPORTED_TOP1.items()
}

__all__ = [
    "FAMILIES",
    "REPORTED_TOP1",
    "SVT",
    "VARIANTS",
    "AFFNet",
    "Box",
    "TokenLabelOutput",
    "load_released",
]
