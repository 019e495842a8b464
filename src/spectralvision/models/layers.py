"""Layers on maps that several families share. Maps are (B, C, H, W)."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import timm.layers
import torch
import torch.nn.functional as F
from timm.models import register_notrace_module
from torch import Tensor, nn

from spectralvision.mixers.sized_weights import Resize, SizedWeights
from spectralvision.ops.chunking import chunked_inference
from spectralvision.ops.resize_spectrum import resize_position_embedding

MLP_CHUNK_ELEMENTS = 3 << 20  # of the widest map of an MLP


class Mlp(timm.layers.Mlp):
    """1x1 convolution, activation, 1x1 convolution, on cache-sized chunks of the images."""

    def __init__(
        self,
        dim: int,
        ratio: float,
        act_layer: Callable[..., nn.Module] = nn.GELU,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        hidden = int(dim * ratio)
        super().__init__(
            dim,
            hidden,
            act_layer=act_layer,  # type: ignore[arg-type]
            bias=bias,
            use_conv=True,
            **factory,
        )
        self.chunk_elements = MLP_CHUNK_ELEMENTS * dim // hidden

    @chunked_inference
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)
        return y


@register_notrace_module
class PositionEmbedding(SizedWeights):
    """x plus a learned embedding (C, H, W) of its positions, bicubic for maps of other sizes."""

    resizes: ClassVar[dict[str, Resize]] = {"weight": resize_position_embedding}

    def __init__(self, dim: int, resolution: tuple[int, int], **factory: Any) -> None:
        super().__init__()
        self.resolution = height, width = self.round_resolution(resolution)
        shape = (dim, height, width)
        self.weight = nn.Parameter(
            timm.layers.trunc_normal_(torch.empty(shape, **factory), std=0.02)
        )

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that take no weight decay."""
        return {"weight"}

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weights_for((x.shape[-2], x.shape[-1]))["weight"]
        return x + weight.to(x.dtype)


@register_notrace_module
class PatchConv(nn.Module):
    """A convolution of patches that do not overlap; sides that are no multiple are padded by 0."""

    def __init__(self, in_chans: int, out_chans: int, patch: int, **factory: Any) -> None:
        super().__init__()
        self.patch = patch
        self.conv = nn.Conv2d(in_chans, out_chans, patch, stride=patch, **factory)

    def forward(self, x: Tensor) -> Tensor:
        bottom, right = (-side % self.patch for side in x.shape[-2:])
        return self.conv(F.pad(x, (0, right, 0, bottom)) if bottom or right else x)


class PatchStem(PatchConv):
    """Patches of an image, embedded, with their positions."""

    def __init__(
        self,
        in_chans: int,
        dim: int,
        patch: int,
        resolution: tuple[int, int],
        **factory: Any,
    ) -> None:
        super().__init__(in_chans, dim, patch, **factory)
        self.position = PositionEmbedding(dim, resolution, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return self.position(super().forward(x))


class Stage(nn.Sequential):
    """Downsampling (none in stage 1), blocks."""

    def __init__(self, downsample: nn.Module, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)
