"""Decoders on dilated backbones: DeepLabv3 as AFFNet's paper uses it, and PSPNet."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate


class ConvNormAct(nn.Sequential):
    """Convolution without bias that keeps the size, batch norm, ReLU."""

    def __init__(self, in_chans: int, out_chans: int, kernel: int = 1, rate: int = 1) -> None:
        padding = rate * (kernel // 2)
        super().__init__(
            nn.Conv2d(in_chans, out_chans, kernel, padding=padding, dilation=rate, bias=False),
            nn.BatchNorm2d(out_chans),
            nn.ReLU(inplace=True),
        )


class GlobalContext(nn.Module):
    """Mean over bins x bins parts of the map, 1x1 convolution, and back to the size of the map."""

    def __init__(self, in_chans: int, out_chans: int, bins: int = 1) -> None:
        super().__init__()
        self.bins = bins
        self.conv = ConvNormAct(in_chans, out_chans)

    def forward(self, x: Tensor) -> Tensor:
        context = self.conv(adaptive_avg_pool2d(x, self.bins))
        return interpolate(context, x.shape[-2:], mode="bilinear", align_corners=False)


class DeepLabV3(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al., 2017, arXiv 1706.05587): features -> logits.

    Args:
        channels: Of each feature map of the backbone; the last one is used.
        num_classes: K; the logits are (B, K, h, w) at the size of the last map.
        width: Channels of each branch.
        rates: Dilations of the 3x3 branches.
        dropout: Rate of dropping whole channels.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        width: int = 256,
        rates: Sequence[int] = (6, 12, 18),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        in_chans = channels[-1]
        self.branches = nn.ModuleList(
            [
                ConvNormAct(in_chans, width),
                *(ConvNormAct(in_chans, width, 3, rate) for rate in rates),
                GlobalContext(in_chans, width),
            ]
        )
        self.project = ConvNormAct(width * len(self.branches), width)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = torch.cat([branch(features[-1]) for branch in self.branches], dim=1)
        return self.classifier(self.dropout(self.project(x)))


class PSPNet(nn.Module):
    """Pyramid pooling (Zhao et al., 2017, arXiv 1612.01105): features -> logits.

    Args:
        channels: Of each feature map of the backbone; the last one is used.
        num_classes: K; the logits are (B, K, h, w) at the size of the last map.
        width: Channels before the classifier.
        bins: Sides of the pooled maps.
        dropout: Rate of dropping whole channels.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        width: int = 512,
        bins: Sequence[int] = (1, 2, 3, 6),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        in_chans = channels[-1]
        branch = in_chans // len(bins)
        self.branches = nn.ModuleList(GlobalContext(in_chans, branch, side) for side in bins)
        self.project = ConvNormAct(in_chans + branch * len(bins), width, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = features[-1]
        x = torch.cat([x, *(branch(x) for branch in self.branches)], dim=1)
        return self.classifier(self.dropout(self.project(x)))


class AuxiliaryHead(nn.Sequential):
    """3x3 convolution to a quarter of the channels, 1x1 convolution: (B, C, h, w) -> logits."""

    def __init__(self, in_chans: int, num_classes: int, dropout: float = 0.1) -> None:
        width = max(in_chans // 4, 1)
        super().__init__(
            ConvNormAct(in_chans, width, 3),
            nn.Dropout2d(dropout),
            nn.Conv2d(width, num_classes, 1),
        )
