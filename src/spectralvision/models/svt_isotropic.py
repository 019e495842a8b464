"""The isotropic SVT (Patro & Agneeswaran, NeurIPS 2023, arXiv 2311.01310).

The paper names four isotropic ("vanilla") models with their parameters and accuracy; their code is
not published. **What follows is an inference**: the skeleton of SpectFormer, by the same authors,
whose isotropic models have the same numbers of parameters, with the first four blocks mixing by
scattering. The counts fit to within 2 %, not exactly.

    16x16 patches + positions | 4 scattering blocks | attention blocks | norm | mean | linear

| variant  | dim | depth | parameters | GMACs  | parameters in the paper | top-1 in the paper |
|----------|-----|-------|-----------:|-------:|------------------------:|-------------------:|
| svt_v_t  | 256 | 12    |  9,108,328 |  1.913 |                   9   M |               76.9 |
| svt_v_xs | 384 | 12    | 19,999,464 |  4.132 |                  19.9 M |               79.9 |
| svt_v_s  | 384 | 19    | 32,420,712 |  6.766 |                  32.2 M |               81.5 |
| svt_v_b  | 512 | 19    | 57,184,360 | 11.784 |                  57.6 M |               82.0 |

GMACs at 224 x 224 are counted in full (`analysis/macs.py`). Maps are (B, C, H, W) throughout.
"""

from typing import Any

import torch
from timm.layers import DropPath, LayerNorm2d, calculate_drop_path_rates
from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from spectralvision.mixers import ScatteringMixer
from spectralvision.mixers.scattering import Mixing
from spectralvision.models.backbone import MixerLayer, build_mixer, init_weights
from spectralvision.models.build import build_variant, imagenet_cfg
from spectralvision.models.layers import Mlp, PatchStem
from spectralvision.models.pooled_backbone import PooledBackbone, check_pool, init_linear
from spectralvision.models.svt_blocks import Attention

HEAD_DIM = 32


class Block(nn.Module):
    """x + mixer(norm1(x)), then x + mlp(norm2(x))."""

    def __init__(
        self, dim: int, mixer: nn.Module, mlp_ratio: float, drop_path: float, **factory: Any
    ) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(dim, eps=1e-6, **factory)
        self.mixer = mixer
        self.norm2 = LayerNorm2d(dim, eps=1e-6, **factory)
        self.mlp = Mlp(dim, mlp_ratio, **factory)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.mixer(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class IsotropicSVT(PooledBackbone):
    """Isotropic SVT for images of any size, (B, in_chans, H, W) -> (B, num_classes).

    Each block is a stage of the feature maps.

    Args:
        in_chans, num_classes, drop_rate, attn_drop_rate, drop_path_rate: as in timm.
        global_pool: "avg", or "" for the normalized last map.
        img_size: input size that scattering weights and position embedding belong to; they are
            interpolated for others.
        patch_size: side of the patches of the stem.
        dims, depths, mlp_ratios: one number each. Attention has dim / 32 heads.
        scattering_blocks: number of blocks, from the first, that mix by scattering.
        mixing: of the scattering mixers, "channel_token" or "channel".
        mixer_layer: builds a mixer (B, dim, H, W) -> the same from (dim, resolution), in place of
            the scattering mixers.

    Raises:
        ValueError: another pooling, scattering_blocks outside 0..depth, or more than one number in
            dims, depths or mlp_ratios.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        dims: tuple[int] = (384,),
        depths: tuple[int] = (12,),
        mlp_ratios: tuple[float] = (4,),
        scattering_blocks: int = 4,
        mixing: Mixing = "channel_token",
        mixer_layer: MixerLayer | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not len(dims) == len(depths) == len(mlp_ratios) == 1:
            raise ValueError(
                "the isotropic SVT has one stage, got "
                f"dims={dims}, depths={depths}, mlp_ratios={mlp_ratios}"
            )
        dim, depth, ratio = dims[0], depths[0], mlp_ratios[0]
        if scattering_blocks not in range(depth + 1):
            raise ValueError(f"scattering_blocks must be 0 to {depth}, got {scattering_blocks}")
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.global_pool = check_pool(global_pool, "IsotropicSVT")
        self.num_features = self.head_hidden_size = dim

        # 1. Sizes, and the map that the mixers work on
        self.feature_info = [
            {"num_chs": dim, "reduction": patch_size, "module": f"stages.{i}"} for i in range(depth)
        ]
        resolution = self.map_sizes(img_size)[0]
        own_mixers: list[nn.Module] = []

        def build(block: int) -> nn.Module:
            if block >= scattering_blocks:
                return Attention(dim, max(1, dim // HEAD_DIM), attn_drop_rate, **factory)
            if mixer_layer is None:
                return ScatteringMixer(dim, resolution, mixing, **factory)
            own_mixers.append(build_mixer(mixer_layer, dim, resolution, **factory))
            return own_mixers[-1]

        # 2. Stem and blocks
        self.stem = PatchStem(in_chans, dim, patch_size, resolution, **factory)
        rates: Any = calculate_drop_path_rates(drop_path_rate, depth)
        self.stages = nn.Sequential(
            *(Block(dim, build(i), ratio, rate, **factory) for i, rate in enumerate(rates))
        )

        # 3. Head
        self.norm = LayerNorm2d(dim, eps=1e-6, **factory)
        self.head_drop = nn.Dropout(drop_rate)
        self.head = self.build_head(num_classes, **factory)
        init_weights(self, init_linear, keep=own_mixers)


VARIANTS: dict[str, dict[str, Any]] = {
    "svt_v_t": {"dims": (256,), "depths": (12,)},
    "svt_v_xs": {"dims": (384,), "depths": (12,)},
    "svt_v_s": {"dims": (384,), "depths": (19,)},
    "svt_v_b": {"dims": (512,), "depths": (19,)},
}
REPORTED_TOP1 = {"svt_v_t": 76.9, "svt_v_xs": 79.9, "svt_v_s": 81.5, "svt_v_b": 82.0}

default_cfgs = generate_default_cfgs(
    {variant: imagenet_cfg(0.96, "stem.conv", "head", stride=16) for variant in VARIANTS}
)


def _create(variant: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    reported = f"its authors report {REPORTED_TOP1[variant]} % top-1 at 224 and published no code"
    feature_cfg = {"out_indices": 3, "flatten_sequential": True}  # the last three, as timm does
    return build_variant(
        IsotropicSVT, variant, pretrained, reported, feature_cfg, **{**VARIANTS[variant], **kwargs}
    )


@register_model
def svt_v_t(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Isotropic SVT-T, its skeleton inferred, 9.1 M parameters."""
    return _create("svt_v_t", pretrained, **kwargs)


@register_model
def svt_v_xs(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Isotropic SVT-XS, its skeleton inferred, 20.0 M parameters."""
    return _create("svt_v_xs", pretrained, **kwargs)


@register_model
def svt_v_s(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Isotropic SVT-S, its skeleton inferred, 32.4 M parameters."""
    return _create("svt_v_s", pretrained, **kwargs)


@register_model
def svt_v_b(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Isotropic SVT-B, its skeleton inferred, 57.2 M parameters."""
    return _create("svt_v_b", pretrained, **kwargs)
