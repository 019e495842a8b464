"""Backbones in timm's contract. Importing this package registers them with timm."""

from spectralvision.models.affnet import AFFNet
from spectralvision.models.mix_token import Box, TokenLabelOutput
from spectralvision.models.released import load_released
from spectralvision.models.svt import SVT

__all__ = ["SVT", "AFFNet", "Box", "TokenLabelOutput", "load_released"]
