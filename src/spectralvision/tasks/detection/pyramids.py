"""Feature maps for detectors: a timm network with a feature pyramid, or with SSD's layers."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from timm.layers import Format
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from spectralvision.runs import UserError

SSD_CHANNELS = (512, 256, 256, 128, 128, 64)
"""Of the six maps of SSDLite in MobileViT (Mehta & Rastegari, 2022)."""


class TimmMaps(nn.Module):
    """The maps of a timm network at some strides.

    Args:
        network: Made with `features_only=True`.
        strides: From the finest to the coarsest.

    Raises:
        UserError: The network has no map at one of the strides.
    """

    def __init__(self, network: Any, strides: Sequence[int]) -> None:
        super().__init__()
        reductions = list(network.feature_info.reduction())
        missing = [stride for stride in strides if stride not in reductions]
        if missing:
            name = network.pretrained_cfg["architecture"]
            raise UserError(
                f"{name} has no feature maps at 1/{missing[0]} of the image, which this detector "
                "needs: use another --detector, or a network with stages such as affnet_t."
            )
        # The last map of a stride: it has seen most layers
        self.places = [len(reductions) - 1 - reductions[::-1].index(one) for one in strides]
        self.channels = [network.feature_info.channels()[place] for place in self.places]
        self.network = network

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.network(images)
        found = [maps[place] for place in self.places]
        if self.network.output_fmt == Format.NHWC:
            return [one.permute(0, 3, 1, 2) for one in found]
        return found


class Pyramid(nn.Module):
    """A feature pyramid over a network: images -> maps, all with as many channels.

    Args:
        network: See `TimmMaps`.
        strides: Of the network's maps.
        channels: Of the pyramid.
        extra: "convs" adds two coarser maps by convolutions, "pool" one by pooling.
    """

    def __init__(self, network: nn.Module, strides: Sequence[int], channels: int, extra: str):
        super().__init__()
        self.maps = TimmMaps(network, strides)
        blocks = LastLevelMaxPool() if extra == "pool" else LastLevelP6P7(channels, channels)
        self.neck = FeaturePyramidNetwork(self.maps.channels, channels, blocks)
        self.out_channels = channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.maps(images)
        return self.neck(OrderedDict((str(i), one) for i, one in enumerate(maps)))  # type: ignore[no-any-return]


class SsdMaps(nn.Module):
    """The six maps of SSDLite as in MobileViT: strides 16, 32, 64, 128, 256, and the whole image.

    The coarser ones are made by separable convolutions and by pooling.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.maps = TimmMaps(network, (16, 32))
        widths = [*self.maps.channels[-1:], *SSD_CHANNELS[2:]]
        self.project = nn.ModuleList(
            Conv2dNormActivation(before, after, 1)
            for before, after in zip(self.maps.channels, SSD_CHANNELS, strict=False)
        )
        self.coarser = nn.ModuleList(
            _separable(before, after) for before, after in pairwise(widths[:4])
        )
        self.whole = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(widths[3], widths[4], 1), nn.ReLU(inplace=True)
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.maps(images)
        found = [layer(one) for layer, one in zip(self.project, maps, strict=True)]
        x = maps[-1]
        for layer in (*self.coarser, self.whole):
            x = layer(x)
            found.append(x)
        return OrderedDict((str(i), one) for i, one in enumerate(found))


def _separable(before: int, after: int) -> nn.Module:
    """Return a 3x3 convolution with stride 2 of each channel, then one over the channels."""
    return nn.Sequential(
        Conv2dNormActivation(before, before, 3, stride=2, groups=before, activation_layer=None),
        Conv2dNormActivation(before, after, 1),
    )
