"""GFNet: a global filter and an MLP in one residual (Rao et al., NeurIPS 2021, arXiv 2107.00645).

Computes what the authors' released code computes. This implementation adds any input size, also
odd ones, and feature maps.

    isotropic:    16x16 patches + positions | blocks | norm | mean | linear
    hierarchical: 4x4 patches + positions | 4 stages of blocks, joined by 2x2 patches | norm | mean
                  | linear

| variant    | dims           | depths    | parameters | GMACs | top-1 |
|------------|----------------|-----------|-----------:|------:|------:|
| gfnet_ti   | 256            | 12        |  7,511,784 | 1.281 |  74.6 |
| gfnet_xs   | 384            | 12        | 15,985,768 | 2.847 |  78.6 |
| gfnet_s    | 384            | 19        | 24,869,608 | 4.474 |  80.0 |
| gfnet_b    | 512            | 19        | 43,120,616 | 7.917 |  80.7 |
| gfnet_h_ti | 64 128 256 512 | 3 3 10 3  | 15,085,096 | 2.068 |  80.1 |
| gfnet_h_s  | 96 192 384 768 | 3 3 10 3  | 32,162,632 | 4.625 |  81.5 |
| gfnet_h_b  | 96 192 384 768 | 3 3 27 3  | 53,744,200 | 8.576 |  82.9 |

GMACs at 224 x 224 are counted in full (`analysis/macs.py`). Top-1 accuracy on ImageNet is the
authors' (per cent). Maps are (B, C, H, W) throughout.
"""

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import DropPath, LayerNorm2d, LayerScale2d, calculate_drop_path_rates
from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from spectralvision.mixers import GlobalFilter
from spectralvision.models.backbone import MixerLayer, build_mixer, init_weights
from spectralvision.models.build import build_variant, imagenet_cfg
from spectralvision.models.layers import Mlp, PatchConv, PatchStem, Stage
from spectralvision.models.pooled_backbone import PooledBackbone, check_pool, init_linear


class Block(nn.Module):
    """x + scale * mlp(norm2(filter(norm1(x)))): one residual for both."""

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
        self.norm1 = LayerNorm2d(dim, eps=1e-6, **factory)
        self.filter = mixer
        self.norm2 = LayerNorm2d(dim, eps=1e-6, **factory)
        self.mlp = Mlp(dim, mlp_ratio, **factory)
        self.layer_scale = (
            nn.Identity() if layer_scale is None else LayerScale2d(dim, layer_scale, **factory)
        )
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.mlp(self.norm2(self.filter(self.norm1(x))))
        return x + self.drop_path(self.layer_scale(y))


class GFNet(PooledBackbone):
    """GFNet for images of any size, (B, in_chans, H, W) -> (B, num_classes).

    With one entry in `dims` it is isotropic, and each block is a stage of the feature maps.

    Args:
        in_chans, num_classes, drop_rate, drop_path_rate: as in timm.
        global_pool: "avg", or "" for the last map.
        img_size: input size that the spectra and the position embedding belong to; they are
            interpolated for others.
        patch_size: side of the patches of the stem.
        dims, depths, mlp_ratios: of the stages.
        layer_scale: initial scale of the blocks; None for none.
        mixer_layer: builds a mixer (B, dim, H, W) -> the same from (dim, resolution), in place of
            the global filter.

    Raises:
        ValueError: another pooling, or dims, depths and ratios of different numbers.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        dims: Sequence[int] = (384,),
        depths: Sequence[int] = (12,),
        mlp_ratios: Sequence[float] | None = None,
        layer_scale: float | None = None,
        mixer_layer: MixerLayer | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        ratios = mlp_ratios or (4,) * len(dims)
        if not len(dims) == len(depths) == len(ratios) > 0:
            raise ValueError(
                "GFNet needs as many depths and ratios as dims, got "
                f"dims={dims}, depths={depths}, mlp_ratios={ratios}"
            )
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.global_pool = check_pool(global_pool, "GFNet")
        self.num_features = self.head_hidden_size = dims[-1]

        # 1. Sizes: channels of the stages, and the maps that the filters work on
        is_isotropic = len(dims) == 1
        self.feature_info = [
            {"num_chs": dim, "reduction": patch_size * 2**i, "module": f"stages.{i}"}
            for i, dim in enumerate(dims)
        ]
        resolutions = self.map_sizes(img_size)

        # 2. Stem and stages
        self.stem = PatchStem(in_chans, dims[0], patch_size, resolutions[0], **factory)
        rates: Any = calculate_drop_path_rates(drop_path_rate, list(depths), stagewise=True)
        stages: list[nn.Module] = []
        own_mixers: list[nn.Module] = []
        for i, (dim, ratio) in enumerate(zip(dims, ratios, strict=True)):
            blocks = []
            for rate in rates[i]:
                if mixer_layer is None:
                    mixer: nn.Module = GlobalFilter(dim, resolutions[i], **factory)
                else:
                    mixer = build_mixer(mixer_layer, dim, resolutions[i], **factory)
                    own_mixers.append(mixer)
                blocks.append(Block(dim, mixer, ratio, rate, layer_scale, **factory))
            downsample = PatchConv(dims[i - 1], dim, 2, **factory) if i else nn.Identity()
            stages += blocks if is_isotropic else [Stage(downsample, blocks)]
        self.stages = nn.Sequential(*stages)
        if is_isotropic:
            self.feature_info = [
                {**self.feature_info[0], "module": f"stages.{i}"} for i in range(len(stages))
            ]

        # 3. Head
        self.norm = LayerNorm2d(dims[-1], eps=1e-6, **factory)
        self.head_drop = nn.Dropout(drop_rate)
        self.head = self.build_head(num_classes, **factory)
        init_weights(self, init_linear, keep=own_mixers)


def _hierarchical(dims: tuple[int, ...], depths: tuple[int, ...], scale: float) -> dict[str, Any]:
    return {"dims": dims, "depths": depths, "patch_size": 4, "layer_scale": scale}


VARIANTS: dict[str, dict[str, Any]] = {
    "gfnet_ti": {"dims": (256,), "depths": (12,)},
    "gfnet_xs": {"dims": (384,), "depths": (12,)},
    "gfnet_s": {"dims": (384,), "depths": (19,)},
    "gfnet_b": {"dims": (512,), "depths": (19,)},
    "gfnet_h_ti": _hierarchical((64, 128, 256, 512), (3, 3, 10, 3), 1e-3),
    "gfnet_h_s": _hierarchical((96, 192, 384, 768), (3, 3, 10, 3), 1e-5),
    "gfnet_h_b": _hierarchical((96, 192, 384, 768), (3, 3, 27, 3), 1e-6),
}
REPORTED_TOP1 = {
    "gfnet_ti": 74.6,
    "gfnet_xs": 78.6,
    "gfnet_s": 80.0,
    "gfnet_b": 80.7,
    "gfnet_h_ti": 80.1,
    "gfnet_h_s": 81.5,
    "gfnet_h_b": 82.9,
}


def _is_isotropic(variant: str) -> bool:
    return len(VARIANTS[variant]["dims"]) == 1


default_cfgs = generate_default_cfgs(
    {
        variant: imagenet_cfg(0.9, "stem.conv", "head", stride=16 if _is_isotropic(variant) else 32)
        for variant in VARIANTS
    }
)


def _create(variant: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    reported = f"its authors report {REPORTED_TOP1[variant]} % top-1 at 224"
    indices = 3 if _is_isotropic(variant) else (0, 1, 2, 3)  # the last three, as timm does
    feature_cfg = {"out_indices": indices, "flatten_sequential": True}
    return build_variant(
        GFNet, variant, pretrained, reported, feature_cfg, **{**VARIANTS[variant], **kwargs}
    )


@register_model
def gfnet_ti(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """GFNet-Ti, isotropic, 7.5 M parameters."""
    return _create("gfnet_ti", pretrained, **kwargs)


@register_model
def gfnet_xs(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """GFNet-XS, isotropic, 16.0 M parameters."""
    return _create("gfnet_xs", pretrained, **kwargs)


@register_model
def gfnet_s(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """GFNet-S, isotropic, 24.9 M parameters."""
    return _create("gfnet_s", pretrained, **kwargs)


@register_model
def gfnet_b(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """GFNet-B, isotropic, 43.1 M parameters."""
    return _create("gfnet_b", pretrained, **kwargs)


@register_model
def gfnet_h_ti(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """GFNet-H-Ti, hierarchical, 15.1 M parameters."""
    return _create("gfnet_h_ti", pretrained, **kwargs)


@register_model
def gfnet_h_s(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """GFNet-H-S, hierarchical, 32.2 M parameters."""
    return _create("gfnet_h_s", pretrained, **kwargs)


@register_model
def gfnet_h_b(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """GFNet-H-B, hierarchical, 53.7 M parameters."""
    return _create("gfnet_h_b", pretrained, **kwargs)
