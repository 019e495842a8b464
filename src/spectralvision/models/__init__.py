"""Backbones in timm's contract. Importing this package registers them with timm."""

from spectralvision.models import affnet, svt
from spectralvision.models.affnet import AFFNet
from spectralvision.models.mix_token import Box, TokenLabelOutput
from spectralvision.models.released import load_released
from spectralvision.models.svt import SVT

VARIANTS = affnet.VARIANTS | svt.VARIANTS
REPORTED_TOP1 = affnet.REPORTED_TOP1 | svt.REPORTED_TOP1  # ImageNet, per cent, by the authors

__all__ = ["REPORTED_TOP1", "SVT", "VARIANTS", "AFFNet", "Box", "TokenLabelOutput", "load_released"]
