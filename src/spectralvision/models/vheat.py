"""vHeat: networks that mix by heat conduction (Wang et al., CVPR 2025, arXiv 2405.16555).

Written from the paper's equations, as the authors' code states no license; logits equal those of
that code. This implementation adds any input size, also odd ones, and feature maps, and folds the
decay of each frequency into a constant (`fuse`).

    stem /4: two 3x3 s2 convolutions | 4 stages of blocks, with 3x3 s2 convolution and norm in
    between | norm | mean | linear

| variant | dims             | depths   | parameters | GMACs  | top-1 |
|---------|------------------|----------|-----------:|-------:|------:|
| vheat_t | 96 192 384 768   | 2 2 6 2  | 30,853,480 |  4.908 |  82.2 |
| vheat_s | 96 192 384 768   | 2 2 18 2 | 52,220,392 |  9.128 |  83.6 |
| vheat_b | 128 256 512 1024 | 2 2 18 2 | 92,132,328 | 16.102 |  83.9 |

GMACs at 224 x 224 are counted in full (`analysis/macs.py`). Top-1 accuracy on ImageNet is the
authors' (per cent), who publish 29, 50 and 87 M parameters; these fit the networks without what
the folded constants are computed from. Maps are (B, C, H, W) throughout.
"""

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import DropPath, LayerNorm2d, LayerScale2d, calculate_drop_path_rates
from timm.models import generate_default_cfgs, register_model, register_notrace_module
from torch import Tensor, nn

from spectralvision.mixers.heat_conduction import FrequencyEmbedding, HeatConduction
from spectralvision.models.backbone import MixerLayer, build_mixer, init_weights
from spectralvision.models.build import build_variant, imagenet_cfg
from spectralvision.models.layers import Mlp
from spectralvision.models.pooled_backbone import PooledBackbone, check_pool, init_linear


class Block(nn.Module):
    """x + mixer(norm1(x)), then x + mlp(norm2(x)).

    With a layer scale the norms follow: x + g1 * norm1(mixer(x)), then x + g2 * norm2(mlp(x)).
    """

    def __init__(
        self,
        dim: int,
        mixer: nn.Module,
        mlp_ratio: float,
        drop_path: float,
        layer_scale: float | None,
        **factory: Any,
    ) -> None:
        super().__init__()
        self.norm_first = layer_scale is None
        self.norm1 = LayerNorm2d(dim, eps=1e-5, **factory)
        self.mixer = mixer
        self.norm2 = LayerNorm2d(dim, eps=1e-5, **factory)
        self.mlp = Mlp(dim, mlp_ratio, **factory)
        self.scale1: nn.Module = nn.Identity()
        self.scale2: nn.Module = nn.Identity()
        if layer_scale is not None:
            self.scale1 = LayerScale2d(dim, layer_scale, **factory)
            self.scale2 = LayerScale2d(dim, layer_scale, **factory)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Mix maps (B, C, H, W); the embedding (C, H, W) goes to the mixer, if there is one."""
        rest = () if embedding is None else (embedding,)
        if self.norm_first:
            x = x + self.drop_path(self.mixer(self.norm1(x), *rest))
            return x + self.drop_path(self.mlp(self.norm2(x)))
        x = x + self.drop_path(self.scale1(self.norm1(self.mixer(x, *rest))))
        return x + self.drop_path(self.scale2(self.norm2(self.mlp(x))))


@register_notrace_module
class HeatStage(nn.Module):
    """Downsampling (none in stage 1), blocks that share an embedding of the frequencies."""

    def __init__(
        self,
        downsample: nn.Module,
        blocks: Sequence[Block],
        embedding: FrequencyEmbedding | None,
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.embedding = embedding
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.downsample(x)
        embedding = None
        if self.embedding is not None:
            embedding = self.embedding((x.shape[-2], x.shape[-1]))
        for block in self.blocks:
            x = block(x, embedding)
        return x

    def fuse(self) -> nn.Module:
        """Fold the decay of the frequencies in all blocks, for the resolution of the embedding."""
        for block in self.blocks:
            if self.embedding is not None and isinstance(block.mixer, HeatConduction):
                block.mixer.fold(self.embedding.weight)
        return self


class Downsample(nn.Sequential):
    """3x3 s2 convolution without bias, and norm."""

    def __init__(self, in_chans: int, out_chans: int, **factory: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chans, out_chans, 3, 2, padding=1, bias=False, **factory)
        self.norm = LayerNorm2d(out_chans, eps=1e-5, **factory)


class VHeat(PooledBackbone):
    """vHeat for images of any size, (B, in_chans, H, W) -> (B, num_classes).

    Args:
        in_chans, num_classes, drop_rate, drop_path_rate: as in timm.
        global_pool: "avg", or "" for the normalized last map.
        img_size: input size that the embeddings of the frequencies belong to; for others they are
            padded or cut.
        dims, depths, mlp_ratios: of the four stages.
        layer_scale: initial scale of the blocks, whose norms then follow; None for norms first.
        mixer_layer: builds a mixer (B, dim, H, W) -> the same from (dim, resolution), in place of
            the heat conduction.

    Raises:
        ValueError: another pooling, or a number of dims, depths or ratios other than four.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        img_size: int | tuple[int, int] = 224,
        dims: Sequence[int] = (96, 192, 384, 768),
        depths: Sequence[int] = (2, 2, 6, 2),
        mlp_ratios: Sequence[float] = (4, 4, 4, 4),
        layer_scale: float | None = None,
        mixer_layer: MixerLayer | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not len(dims) == len(depths) == len(mlp_ratios) == 4:
            raise ValueError(
                f"vHeat has four stages, got dims={dims}, depths={depths}, mlp_ratios={mlp_ratios}"
            )
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.global_pool = check_pool(global_pool, "VHeat")
        self.num_features = self.head_hidden_size = dims[-1]

        # 1. Sizes: channels of the stages, and the maps that the mixers work on
        self.feature_info = [
            {"num_chs": dim, "reduction": 4 * 2**i, "module": f"stages.{i}"}
            for i, dim in enumerate(dims)
        ]
        resolutions = self.map_sizes(img_size)
        own_mixers: list[nn.Module] = []

        def build(stage: int) -> nn.Module:
            if mixer_layer is None:
                return HeatConduction(dims[stage], None, **factory)
            own_mixers.append(build_mixer(mixer_layer, dims[stage], resolutions[stage], **factory))
            return own_mixers[-1]

        # 2. Stem and stages
        half = dims[0] // 2
        self.stem = nn.Sequential(
            nn.Conv2d(in_chans, half, 3, stride=2, padding=1, **factory),
            LayerNorm2d(half, eps=1e-6, **factory),
            nn.GELU(),
            nn.Conv2d(half, dims[0], 3, stride=2, padding=1, **factory),
            LayerNorm2d(dims[0], eps=1e-6, **factory),
        )
        rates: Any = calculate_drop_path_rates(drop_path_rate, list(depths), stagewise=True)
        stages = []
        for i, (dim, ratio) in enumerate(zip(dims, mlp_ratios, strict=True)):
            embedding = None
            if mixer_layer is None:
                embedding = FrequencyEmbedding(dim, resolutions[i], **factory)
            blocks = [
                Block(dim, build(i), ratio, rate, layer_scale, **factory) for rate in rates[i]
            ]
            downsample = Downsample(dims[i - 1], dim, **factory) if i else nn.Identity()
            stages.append(HeatStage(downsample, blocks, embedding))
        self.stages = nn.Sequential(*stages)

        # 3. Head
        self.norm = LayerNorm2d(dims[-1], eps=1e-5, **factory)
        self.head_drop = nn.Dropout(drop_rate)
        self.head = self.build_head(num_classes, **factory)
        init_weights(self, _init_module, keep=own_mixers)


def _init_module(module: nn.Module) -> None:
    """Initialize linear layers; the 1x1 convolutions of the mixers are linear layers, too."""
    if isinstance(module, nn.Linear | HeatConduction):
        for layer in module.children() if isinstance(module, HeatConduction) else [module]:
            init_linear(layer)


SMALL = {"dims": (96, 192, 384, 768), "depths": (2, 2, 18, 2), "layer_scale": 1e-5}
VARIANTS: dict[str, dict[str, Any]] = {
    "vheat_t": {"dims": (96, 192, 384, 768), "depths": (2, 2, 6, 2)},
    "vheat_s": SMALL,
    "vheat_b": SMALL | {"dims": (128, 256, 512, 1024)},
}
REPORTED_TOP1 = {"vheat_t": 82.2, "vheat_s": 83.6, "vheat_b": 83.9}

default_cfgs = generate_default_cfgs(
    {variant: imagenet_cfg(0.875, "stem.0", "head") for variant in VARIANTS}
)


def _create(variant: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    reported = f"its authors report {REPORTED_TOP1[variant]} % top-1 at 224"
    feature_cfg = {"out_indices": (0, 1, 2, 3), "flatten_sequential": True}
    return build_variant(
        VHeat, variant, pretrained, reported, feature_cfg, **{**VARIANTS[variant], **kwargs}
    )


@register_model
def vheat_t(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """vHeat-T, 30.9 M parameters."""
    return _create("vheat_t", pretrained, **kwargs)


@register_model
def vheat_s(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """vHeat-S, 52.2 M parameters."""
    return _create("vheat_s", pretrained, **kwargs)


@register_model
def vheat_b(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """vHeat-B, 92.1 M parameters."""
    return _create("vheat_b", pretrained, **kwargs)
