"""Networks of segmentation: a backbone of timm, a decoder, logits at the size of the image."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from spectralvision.engine.optimizer import find_undecayed
from spectralvision.tasks.segmentation.decoders import AuxiliaryHead

SIZE_STEP = 32
"""Sides of images that decoders of segmentation-models-pytorch take are multiples of it."""


class Segmenter(nn.Module):
    """(B, 3, H, W) images -> (B, K, H, W) logits, for any H and W.

    Attributes:
        backbone: The network of timm.
        num_classes: K.
        pretrained_cfg: Preprocessing and class names, as timm has them.
        settings: What `config.json` needs to build the model again.
    """

    backbone: nn.Module
    pretrained_cfg: dict[str, Any]
    settings: dict[str, Any]

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    @property
    def head_name(self) -> str:
        """What is on the backbone, for people."""
        return str(self.settings["decoder"])

    def forward_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits, and those of the auxiliary head if there is one."""
        return self(x), None

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that the mixers exclude from weight decay."""
        return find_undecayed(self)


class DilatedSegmenter(Segmenter):
    """A backbone with dilation, a decoder on its last map, and a head on the one before."""

    def __init__(
        self, backbone: nn.Module, decoder: type[nn.Module], num_classes: int, auxiliary: bool
    ) -> None:
        super().__init__(num_classes)
        channels: Sequence[int] = backbone.feature_info.channels()  # type: ignore[union-attr,operator]
        self.backbone = backbone
        self.decoder = decoder(channels, num_classes)
        self.auxiliary = AuxiliaryHead(channels[-2], num_classes) if auxiliary else None

    def forward(self, x: Tensor) -> Tensor:
        return resize(self.decoder(self.backbone(x)), x.shape[-2:])

    def compile(self, **options: Any) -> None:
        """Compile the parts, which `forward_auxiliary` calls too."""
        for part in self.children():
            part.compile(**options)  # type: ignore[no-untyped-call]

    def forward_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        features = self.backbone(x)
        logits = resize(self.decoder(features), x.shape[-2:])
        if self.auxiliary is None:
            return logits, None
        return logits, resize(self.auxiliary(features[-2]), x.shape[-2:])


class SmpSegmenter(Segmenter):
    """A decoder of segmentation-models-pytorch; images are padded to a multiple of 32."""

    def __init__(self, body: nn.Module, num_classes: int, smallest: int = SIZE_STEP) -> None:
        super().__init__(num_classes)
        self.body, self.smallest = body, smallest

    @property
    def backbone(self) -> nn.Module:  # type: ignore[override]
        """The network of timm."""
        return self.body.encoder.model  # type: ignore[union-attr,return-value]

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        right, below = (
            max(side + -side % SIZE_STEP, self.smallest) - side for side in (width, height)
        )
        x = pad(x, (0, right, 0, below), mode="replicate")
        logits: Tensor = self.body(x)
        return logits[..., :height, :width].float()


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return (B, C, h, w) maps at another size, bilinear, in float32 or float64.

    Interpolated in bfloat16, one pixel in 200 would change its class.
    """
    if x.dtype not in (torch.float32, torch.float64):
        x = x.float()
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return interpolate(x, tuple(size), mode="bilinear", align_corners=False)
