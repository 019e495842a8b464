"""DFFormer, CDFFormer, GFFormer: MetaFormers with filters (Tatsunami & Taki, AAAI 2024).

Computes what the authors' released code computes (arXiv 2303.03932). This implementation adds any
input size, also odd ones, and feature maps.

    stem 7x7 s4, norm | 4 stages of blocks, with norm and 3x3 s2 convolution in between | mean, norm
    | MLP head

DFFormer mixes by dynamic filters; CDFFormer by separable convolutions in stages 1 and 2; GFFormer
by one learned spectrum for each channel.

| variant       | dims            | depths    | parameters  | GMACs  |
|---------------|-----------------|-----------|------------:|-------:|
| dfformer_s18  | 64 128 320 512  | 3 3 9 3   |  30,324,372 |  3.867 |
| dfformer_s36  | 64 128 320 512  | 3 12 18 3 |  45,610,656 |  7.490 |
| dfformer_m36  | 96 192 384 576  | 3 12 18 3 |  65,316,064 | 12.639 |
| dfformer_b36  | 128 256 512 768 | 3 12 18 3 | 114,989,344 | 22.362 |
| cdfformer_s18 | 64 128 320 512  | 3 3 9 3   |  30,193,512 |  3.908 |
| cdfformer_s36 | 64 128 320 512  | 3 12 18 3 |  45,230,658 |  7.576 |
| cdfformer_m36 | 96 192 384 576  | 3 12 18 3 |  64,433,218 | 12.767 |
| cdfformer_b36 | 128 256 512 768 | 3 12 18 3 | 113,368,642 | 22.533 |
| gfformer_s18  | 64 128 320 512  | 3 3 9 3   |  29,639,856 |  3.849 |

GMACs at 224 x 224 are counted in full (`analysis/macs.py`). The authors report 85.0 % top-1 on
ImageNet for CDFFormer-B36. Maps are (B, C, H, W) throughout.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from timm.layers import DropPath, LayerNorm2d, LayerScale2d, calculate_drop_path_rates, to_2tuple
from timm.models import generate_default_cfgs, register_model
from timm.models.metaformer import MlpHead, StarReLU
from torch import Tensor, nn

from spectralvision.mixers import DynamicFilter, GlobalFilter
from spectralvision.models.backbone import MixerLayer, Size, build_mixer, init_weights
from spectralvision.models.build import build_variant, imagenet_cfg
from spectralvision.models.layers import Mlp, Stage
from spectralvision.models.pooled_backbone import PooledBackbone, check_pool, init_linear

EXPANSION = 2  # channels of the mixers' inner maps per channel
SCALED_STAGES = (2, 3)  # stages, from 0, whose residuals are scaled


class InnerMixer(nn.Module):
    """1x1 convolution to twice the channels, StarReLU, a mixer of these, and back; no biases."""

    def __init__(self, dim: int, mixer: nn.Module, **factory: Any) -> None:
        super().__init__()
        self.expand = nn.Conv2d(dim, EXPANSION * dim, 1, bias=False, **factory)
        self.act = StarReLU(**factory)
        self.mixer = mixer
        self.project = nn.Conv2d(EXPANSION * dim, dim, 1, bias=False, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.mixer(self.act(self.expand(x))))


def build_separable_conv(dim: int, resolution: Size, **factory: Any) -> nn.Module:
    """Build the mixer of CDFFormer's first stages: a 7x7 depthwise convolution inside."""
    wide = EXPANSION * dim
    conv = nn.Conv2d(wide, wide, 7, padding=3, groups=wide, bias=False, **factory)
    return InnerMixer(dim, conv, **factory)


def build_global_filter(dim: int, resolution: Size, **factory: Any) -> nn.Module:
    """Build the mixer of GFFormer: one learned spectrum for each inner channel."""
    return InnerMixer(dim, GlobalFilter(EXPANSION * dim, resolution, **factory), **factory)


def build_dynamic_filter(dim: int, resolution: Size, **factory: Any) -> nn.Module:
    """Build the mixer of DFFormer."""
    return DynamicFilter(dim, resolution, expansion=EXPANSION, **factory)


MIXERS = {
    "conv": build_separable_conv,
    "dynamic": build_dynamic_filter,
    "global": build_global_filter,
}


class Block(nn.Module):
    """r1 * x + mixer(norm1(x)), then r2 * x + mlp(norm2(x)); r1 and r2 in some stages only."""

    def __init__(
        self,
        dim: int,
        mixer: nn.Module,
        mlp_ratio: float,
        drop_path: float,
        is_scaled: bool,
        **factory: Any,
    ) -> None:
        super().__init__()

        def build_scale() -> nn.Module:
            return LayerScale2d(dim, 1.0, **factory) if is_scaled else nn.Identity()

        self.norm1 = LayerNorm2d(dim, eps=1e-6, bias=False, **factory)
        self.mixer = mixer
        self.scale1 = build_scale()
        self.norm2 = LayerNorm2d(dim, eps=1e-6, bias=False, **factory)
        act = partial(StarReLU, **factory)
        self.mlp = Mlp(dim, mlp_ratio, act_layer=act, bias=False, **factory)
        self.scale2 = build_scale()
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.scale1(x) + self.drop_path(self.mixer(self.norm1(x)))
        return self.scale2(x) + self.drop_path(self.mlp(self.norm2(x)))


class Downsample(nn.Sequential):
    """Norm and 3x3 s2 convolution."""

    def __init__(self, in_chans: int, out_chans: int, **factory: Any) -> None:
        super().__init__()
        self.norm = LayerNorm2d(in_chans, eps=1e-6, bias=False, **factory)
        self.conv = nn.Conv2d(in_chans, out_chans, 3, stride=2, padding=1, **factory)


class DFFormer(PooledBackbone):
    """DFFormer for images of any size, (B, in_chans, H, W) -> (B, num_classes).

    Args:
        in_chans, num_classes, drop_rate, drop_path_rate: as in timm.
        global_pool: "avg", or "" for the last map.
        img_size: input size that the spectra belong to; they are interpolated for others.
        dims, depths, mlp_ratios: of the four stages.
        mixers: of the four stages: "dynamic", "global" or "conv".
        mixer_layer: builds a mixer (B, dim, H, W) -> the same from (dim, resolution), in place of
            these.

    Raises:
        ValueError: another pooling or mixer, or a number of dims, depths, ratios or mixers other
            than four.
    """

    chunk_elements = 400 << 10

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        img_size: int | tuple[int, int] = 224,
        dims: Sequence[int] = (64, 128, 320, 512),
        depths: Sequence[int] = (3, 3, 9, 3),
        mlp_ratios: Sequence[float] = (4, 4, 4, 4),
        mixers: Sequence[str] = ("dynamic",) * 4,
        mixer_layer: MixerLayer | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not len(dims) == len(depths) == len(mlp_ratios) == len(mixers) == 4:
            raise ValueError(
                f"DFFormer has four stages, got dims={dims}, depths={depths}, "
                f"mlp_ratios={mlp_ratios}, mixers={mixers}"
            )
        if unknown := set(mixers) - set(MIXERS):
            raise ValueError(f"mixers must be of {', '.join(MIXERS)}, got {unknown.pop()!r}")
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.global_pool = check_pool(global_pool, "DFFormer")
        self.num_features = self.head_hidden_size = dims[-1]

        # 1. Sizes: channels of the stages, and the maps that the mixers work on
        self.feature_info = [
            {"num_chs": dim, "reduction": 4 * 2**i, "module": f"stages.{i}"}
            for i, dim in enumerate(dims)
        ]
        resolutions = self.map_sizes(img_size)
        own_mixers: list[nn.Module] = []

        def build(stage: int) -> nn.Module:
            dim, resolution = dims[stage], resolutions[stage]
            if mixer_layer is None:
                return MIXERS[mixers[stage]](dim, resolution, **factory)
            own_mixers.append(build_mixer(mixer_layer, dim, resolution, **factory))
            return own_mixers[-1]

        # 2. Stem and stages
        self.stem = nn.Sequential()
        self.stem.conv = nn.Conv2d(in_chans, dims[0], 7, stride=4, padding=2, **factory)
        self.stem.norm = LayerNorm2d(dims[0], eps=1e-6, bias=False, **factory)
        rates: Any = calculate_drop_path_rates(drop_path_rate, list(depths), stagewise=True)
        stages = []
        for i, (dim, ratio) in enumerate(zip(dims, mlp_ratios, strict=True)):
            is_scaled = i in SCALED_STAGES
            blocks = [Block(dim, build(i), ratio, rate, is_scaled, **factory) for rate in rates[i]]
            downsample = Downsample(dims[i - 1], dim, **factory) if i else nn.Identity()
            stages.append(Stage(downsample, blocks))
        self.stages = nn.Sequential(*stages)

        # 3. Head
        self.norm = nn.LayerNorm(dims[-1], eps=1e-6, **factory)
        self.head_drop = nn.Identity()
        self.head_drop_rate = drop_rate
        self.head = self.build_head(num_classes, **factory)
        init_weights(self, _init_module, keep=own_mixers)

    def forward_final(self, x: Tensor) -> Tensor:
        """Return the last stage's map; its norm is applied after the mean."""
        return x

    def pool(self, x: Tensor) -> Tensor:
        """Return the normalized mean (B, C) of the last map."""
        return self.norm(x.mean(dim=(2, 3)))

    def build_head(self, num_classes: int, **factory: Any) -> nn.Module:
        """Build the MLP head; 0 classes for none."""
        if num_classes == 0:
            return nn.Identity()
        norm = partial(nn.LayerNorm, eps=1e-5)
        return MlpHead(
            self.num_features,
            num_classes,
            norm_layer=norm,  # type: ignore[arg-type]
            drop_rate=self.head_drop_rate,
            **factory,
        )

    def map_sizes(self, img_size: int | Size) -> list[Size]:
        """Return (H, W) of each stage's map; the stem leaves out up to two rows and columns."""
        height, width = ((max(side, 3) - 3) // 4 + 1 for side in to_2tuple(img_size))
        return [(-(-height // 2**i), -(-width // 2**i)) for i in range(4)]


def _init_module(module: nn.Module) -> None:
    init_linear(module)
    if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


SIZES: dict[str, dict[str, Any]] = {
    "s18": {"dims": (64, 128, 320, 512), "depths": (3, 3, 9, 3)},
    "s36": {"dims": (64, 128, 320, 512), "depths": (3, 12, 18, 3)},
    "m36": {"dims": (96, 192, 384, 576), "depths": (3, 12, 18, 3)},
    "b36": {"dims": (128, 256, 512, 768), "depths": (3, 12, 18, 3)},
}
CONVOLUTIONS_FIRST = ("conv", "conv", "dynamic", "dynamic")
VARIANTS: dict[str, dict[str, Any]] = {
    **{f"dfformer_{size}": options for size, options in SIZES.items()},
    **{
        f"cdfformer_{size}": options | {"mixers": CONVOLUTIONS_FIRST}
        for size, options in SIZES.items()
    },
    "gfformer_s18": SIZES["s18"] | {"mixers": ("global",) * 4},
}
REPORTED_TOP1 = {"cdfformer_b36": 85.0}

default_cfgs = generate_default_cfgs(
    {variant: imagenet_cfg(1.0, "stem.conv", "head.fc2") for variant in VARIANTS}
)


def _create(variant: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    top1 = REPORTED_TOP1.get(variant)
    reported = (
        f"its authors report {top1} % top-1 at 224"
        if top1
        else "its authors report its accuracy in the paper (arXiv 2303.03932)"
    )
    feature_cfg = {"out_indices": (0, 1, 2, 3), "flatten_sequential": True}
    return build_variant(
        DFFormer, variant, pretrained, reported, feature_cfg, **{**VARIANTS[variant], **kwargs}
    )


@register_model
def dfformer_s18(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """DFFormer-S18, 30.3 M parameters."""
    return _create("dfformer_s18", pretrained, **kwargs)


@register_model
def dfformer_s36(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """DFFormer-S36, 45.6 M parameters."""
    return _create("dfformer_s36", pretrained, **kwargs)


@register_model
def dfformer_m36(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """DFFormer-M36, 65.3 M parameters."""
    return _create("dfformer_m36", pretrained, **kwargs)


@register_model
def dfformer_b36(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """DFFormer-B36, 115.0 M parameters."""
    return _create("dfformer_b36", pretrained, **kwargs)


@register_model
def cdfformer_s18(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """CDFFormer-S18, 30.2 M parameters."""
    return _create("cdfformer_s18", pretrained, **kwargs)


@register_model
def cdfformer_s36(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """CDFFormer-S36, 45.2 M parameters."""
    return _create("cdfformer_s36", pretrained, **kwargs)


@register_model
def cdfformer_m36(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """CDFFormer-M36, 64.4 M parameters."""
    return _create("cdfformer_m36", pretrained, **kwargs)


@register_model
def cdfformer_b36(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """CDFFormer-B36, 113.4 M parameters."""
    return _create("cdfformer_b36", pretrained, **kwargs)


@register_model
def gfformer_s18(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """GFFormer-S18, 29.6 M parameters."""
    return _create("gfformer_s18", pretrained, **kwargs)
