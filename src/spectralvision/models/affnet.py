"""AFFNet: mobile networks with adaptive frequency filters (Huang et al., arXiv 2307.14008).

Computes what the authors' released code computes. The released code differs from the paper: the
filter has an inner skip, and the activation is SiLU throughout (the figure has ReLU in the mask
network). This implementation differs from the released code: stochastic depth is applied, linear
from 0 to `drop_path_rate` over all blocks (the released runs use none), and every variant can be
built.

    stem: 3x3 s2 | stage 1: MBConv | stage 2: MBConv s2, MBConv x2
    | stages 3-5: MBConv s2, AFF stage | 1x1 conv | head

| variant      | dims               | depths     | parameters | GMACs  | published GMACs | top-1 |
|--------------|--------------------|------------|-----------:|-------:|----------------:|------:|
| affnet_et    | 32 48 64 104 144   | 1 3 2 4 3  |  1,436,264 |  0.361 |           0.356 |  73.0 |
| affnet_t     | 32 48 96 160 192   | 1 3 2 4 3  |  2,654,232 |  0.794 |           0.786 |  77.0 |
| affnet       | 32 64 128 256 320  | 1 3 2 4 3  |  5,568,696 |  1.464 |           1.454 |  79.8 |
| affnet_base  | 64 128 256 512 640 | 1 3 2 4 3  | 17,178,104 |  5.363 |           5.340 |     - |
| affnet_large | 64 128 256 512 768 | 2 6 4 18 6 | 46,068,088 | 13.309 |          13.240 |     - |

GMACs at 256 x 256 are counted in full (`analysis/macs.py`), the transforms as the FFT; the
published count omits them. Top-1 accuracy on ImageNet is the authors' (per cent).

Length: the whole model in one file, from the blocks to the table of variants, as in timm.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import torch
from timm.layers import (
    ClassifierHead,
    DropPath,
    GroupNorm1,
    calculate_drop_path_rates,
    get_act_layer,
    get_norm_layer,
    make_divisible,
    trunc_normal_,
)
from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from spectralvision.mixers import AdaptiveFrequencyFilter
from spectralvision.models.backbone import (
    MixerLayer,
    SpectralBackbone,
    absolute_indices,
    build_mixer,
    init_weights,
)
from spectralvision.models.build import build_variant, bundled_weights
from spectralvision.models.conv_norm import ConvBatchNormAct, absorb_affine, chain_pointwise

Layer = Callable[..., nn.Module]
STEM_DIM = 16
MAX_HEAD_DIM = 960


class MBConv(nn.Module):
    """Inverted residual: 1x1 expand, 3x3 depthwise, 1x1 project, each with batch norm.

    The skip connection is used where the shape does not change.
    """

    def __init__(
        self,
        in_chans: int,
        out_chans: int,
        expand: float,
        stride: int = 1,
        dilation: int = 1,
        act_layer: Layer = nn.SiLU,
        **factory: Any,
    ) -> None:
        super().__init__()
        hidden = make_divisible(in_chans * expand, 8)
        act = {"act_layer": act_layer, **factory}
        self.skip = stride == 1 and in_chans == out_chans
        self.expand = ConvBatchNormAct(in_chans, hidden, 1, **act)
        self.depthwise = ConvBatchNormAct(hidden, hidden, 3, stride, dilation, groups=hidden, **act)
        self.project = ConvBatchNormAct(hidden, out_chans, 1, act_layer=None, **factory)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.skip else y


class Block(nn.Module):
    """Local, then global mixing in one residual: x + filter(norm2(local(norm1(x))))."""

    def __init__(
        self,
        dim: int,
        build_filter: Callable[[], nn.Module],
        drop_path: float,
        act_layer: Layer,
        norm_layer: Layer,
        **factory: Any,
    ) -> None:
        super().__init__()
        self.norm1 = norm_layer(dim, **factory)
        self.local = MBConv(dim, dim, expand=2, act_layer=act_layer, **factory)
        self.norm2 = norm_layer(dim, **factory)
        self.filter = build_filter()
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.filter(self.norm2(self.local(self.norm1(x)))))


class AFFStage(nn.Module):
    """Downsampling MBConv, blocks, norm, 1x1 projection.

    `fusion` combines the result with the input of the blocks.
    """

    def __init__(
        self,
        downsample: MBConv,
        blocks: Sequence[Block],
        dim: int,
        fuse_input: bool,
        act_layer: Layer,
        norm_layer: Layer,
        **factory: Any,
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)
        self.norm = norm_layer(dim, **factory)
        self.proj: nn.Module = ConvBatchNormAct(dim, dim, 1, act_layer=None, **factory)
        self.fusion: nn.Module | None = None
        if fuse_input:
            self.fusion = ConvBatchNormAct(2 * dim, dim, 1, act_layer=act_layer, **factory)

    def forward(self, x: Tensor) -> Tensor:
        x = self.downsample(x)
        y = self.proj(self.norm(self.blocks(x)))
        return y if self.fusion is None else self.fusion(torch.cat([x, y], dim=1))

    def fuse(self) -> nn.Module:
        """Return the same function for evaluation, with the linear layers after the blocks as one.

        These are scale and shift of the norm, the projection, and, where there is one, the
        convolution of the fusion. Stages that are fused already stay as they are.
        """
        if not isinstance(self.proj, ConvBatchNormAct):
            return self
        proj: Any = self.proj.fuse()  # type: ignore[operator]
        self.norm = absorb_affine(self.norm, proj[0])
        self.proj = proj
        if self.fusion is not None:
            fusion: Any = self.fusion.fuse()  # type: ignore[operator]
            chain_pointwise(proj[0], fusion[0], start=proj[0].out_channels)
            self.proj, self.fusion = nn.Identity(), fusion
        return self


class AFFNet(SpectralBackbone):
    """AFFNet for images of any size, (B, in_chans, H, W) -> (B, num_classes).

    Args:
        in_chans, num_classes, global_pool, drop_rate, drop_path_rate: as in timm.
        img_size: input size for which mixers with weights of a map size are built; the adaptive
            frequency filter has none.
        output_stride: 32, 16 or 8; the last stages then keep their resolution.
        dims: output channels of the five stages; those of stages 3 to 5 are multiples of 8.
        depths: number of MBConvs in stages 1 and 2, of blocks in stages 3 to 5.
        mlp_ratios: expansion of the MBConvs of the five stages (inside blocks it is 2).
        fuse_input: whether stages 3, 4, 5 combine their input with the result of the blocks.
        act_layer, norm_layer: activation and norm of the blocks.
        mask_act_layer, threshold: activation and softshrink threshold of the mask network.
        mixer_layer: builds a mixer (B, dim, H, W) -> the same from (dim, resolution), in place of
            the adaptive frequency filter.

    Raises:
        ValueError: another output stride, or a number of dims, depths or ratios other than five.
    """

    chunk_elements = 512 << 10

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        img_size: int | tuple[int, int] = 256,
        output_stride: int = 32,
        dims: Sequence[int] = (32, 64, 128, 256, 320),
        depths: Sequence[int] = (1, 3, 2, 4, 3),
        mlp_ratios: Sequence[float] = (4, 4, 4, 4, 4),
        fuse_input: Sequence[bool] = (True, True, True),
        act_layer: str | Layer = nn.SiLU,
        norm_layer: str | Layer = GroupNorm1,
        mask_act_layer: str | Layer = nn.SiLU,
        threshold: float = 0.01,
        mixer_layer: MixerLayer | None = None,
        drop_rate: float = 0.1,
        drop_path_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride of AFFNet must be 32, 16 or 8, got {output_stride}")
        if not len(dims) == len(depths) == len(mlp_ratios) == 5:
            raise ValueError(
                f"AFFNet has five stages, got dims={dims}, depths={depths}, mlp_ratios={mlp_ratios}"
            )
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        act, norm = get_act_layer(act_layer), get_norm_layer(norm_layer)
        mask_act = get_act_layer(mask_act_layer)
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.drop_rate = drop_rate

        # 1. Sizes: channels and strides of the stages, and the maps that the mixers work on
        strides = _stage_strides(output_stride)
        self.feature_info = [
            {"num_chs": dim, "reduction": 2 * prod(strides[: i + 1]), "module": f"stages.{i}"}
            for i, dim in enumerate(dims)
        ]
        resolutions = self.map_sizes(img_size)

        def build_filter(stage: int) -> nn.Module:
            if mixer_layer is not None:
                return build_mixer(mixer_layer, dims[stage], resolutions[stage], **factory)
            return AdaptiveFrequencyFilter(
                dims[stage], act_layer=mask_act, threshold=threshold, **factory
            )

        # 2. Stem and stages
        self.stem = ConvBatchNormAct(in_chans, STEM_DIM, 3, stride=2, act_layer=act, **factory)
        rates: Any = calculate_drop_path_rates(drop_path_rate, [0, 0, *depths[2:]], stagewise=True)
        stages: list[nn.Module] = []
        for i, (dim, depth, ratio) in enumerate(zip(dims, depths, mlp_ratios, strict=True)):
            dilation = 2 if i == 4 and output_stride == 8 else 1
            width = dims[i - 1] if i else STEM_DIM
            entry = MBConv(width, dim, ratio, strides[i], dilation, act, **factory)
            if i < 2:
                rest = (MBConv(dim, dim, ratio, act_layer=act, **factory) for _ in range(depth - 1))
                stages.append(nn.Sequential(entry, *rest))
                continue
            build = partial(build_filter, i)
            blocks = [Block(dim, build, rate, act, norm, **factory) for rate in rates[i]]
            stages.append(AFFStage(entry, blocks, dim, fuse_input[i - 2], act, norm, **factory))
        self.stages = nn.Sequential(*stages)

        # 3. Head
        self.num_features = self.head_hidden_size = min(4 * dims[-1], MAX_HEAD_DIM)
        self.final_conv: nn.Module = ConvBatchNormAct(
            dims[-1], self.num_features, 1, act_layer=act, **factory
        )
        self.head = ClassifierHead(
            self.num_features, num_classes, global_pool, drop_rate, **factory
        )
        aff_stages: Any = stages[2:]
        filters = [block.filter for stage in aff_stages for block in stage.blocks]
        init_weights(self, _init_module, keep=filters if mixer_layer else [])

    def forward_final(self, x: Tensor) -> Tensor:
        """Compute the last feature map (B, num_features, h, w) from the last stage's."""
        return self.final_conv(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Compute logits (B, num_classes), or pooled features (B, num_features)."""
        return self.head(x, pre_logits=pre_logits)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the feature maps in `indices` do not need; return the indices from 0."""
        take = absolute_indices(len(self.stages), indices)
        last = max(take)
        self.stages = self.stages[: last + 1]
        if prune_norm or last + 1 < len(self.feature_info):
            self.final_conv = nn.Identity()
            self.num_features = self.head_hidden_size = self.feature_info[last]["num_chs"]
            prune_head = True
        if prune_head:
            self.reset_classifier(0, "")
        return take

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return timm's layer groups, for layer-wise learning rate decay."""
        if coarse:
            return {"stem": r"^stem", "blocks": r"^stages\.(\d+)"}
        blocks = [
            (r"^stages\.(\d+)\.downsample", (0,)),
            (r"^stages\.(\d+)\.blocks\.(\d+)", None),
            (r"^stages\.(\d+)\.(?:norm|proj|fusion)", (99,)),
            (r"^stages\.(\d+)\.(\d+)", None),
            (r"^final_conv", (9999,)),
        ]
        return {"stem": r"^stem", "blocks": blocks}

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        """Return the classification layer."""
        return self.head.fc

    def reset_classifier(
        self,
        num_classes: int,
        global_pool: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Replace the classifier by a new one; 0 classes for none."""
        self.num_classes = num_classes
        self.head.reset(
            num_classes, global_pool, in_features=self.num_features, device=device, dtype=dtype
        )


def _stage_strides(output_stride: int) -> list[int]:
    """Return the strides of the five stages after a stem of stride 2."""
    return [1] + [2 if 2**i < output_stride else 1 for i in range(1, 5)]


def _init_module(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


VARIANTS: dict[str, dict[str, Any]] = {
    "affnet_et": {"dims": (32, 48, 64, 104, 144), "mlp_ratios": (2, 2, 2, 2, 2)},
    "affnet_t": {"dims": (32, 48, 96, 160, 192)},
    "affnet": {"dims": (32, 64, 128, 256, 320)},
    "affnet_base": {"dims": (64, 128, 256, 512, 640), "fuse_input": (True, False, False)},
    "affnet_large": {
        "dims": (64, 128, 256, 512, 768),
        "depths": (2, 6, 4, 18, 6),
        "fuse_input": (True, False, False),
    },
}
REPORTED_TOP1 = {"affnet_et": 73.0, "affnet_t": 77.0, "affnet": 79.8}

CFG: dict[str, Any] = {
    "input_size": (3, 256, 256),
    "pool_size": (8, 8),
    "crop_pct": 256 / 288,
    "interpolation": "bilinear",
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
    "num_classes": 1000,
    "first_conv": "stem.conv",
    "classifier": "head.fc",
}
default_cfgs = generate_default_cfgs(
    {
        "affnet_et.tiny_imagenet": CFG
        | bundled_weights(
            "affnet_et.tiny_imagenet",
            128,
            data="Tiny ImageNet, compressed again",
            license="none is stated; ImageNet's terms allow non-commercial research only",
        ),
        "affnet_et.cifar10": CFG
        | bundled_weights(
            "affnet_et.cifar10", 64, data="CIFAR-10, compressed again", license="none is stated"
        ),
        # The star makes the entry without weights the default: those for small images are not.
        **{f"{variant}.*": CFG for variant in VARIANTS},
    }
)


def _create(variant: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    top1 = REPORTED_TOP1.get(variant)
    reported = (
        f"its authors report {top1} % top-1 at 256"
        if top1
        else "its authors report no result for it"
    )
    feature_cfg = {"out_indices": (0, 1, 2, 3, 4), "flatten_sequential": True}
    return build_variant(
        AFFNet, variant, pretrained, reported, feature_cfg, **{**VARIANTS[variant], **kwargs}
    )


@register_model
def affnet_et(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """AFFNet-ET, 1.4 M parameters."""
    return _create("affnet_et", pretrained, **kwargs)


@register_model
def affnet_t(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """AFFNet-T, 2.7 M parameters."""
    return _create("affnet_t", pretrained, **kwargs)


@register_model
def affnet(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """AFFNet, 5.6 M parameters."""
    return _create("affnet", pretrained, **kwargs)


@register_model
def affnet_base(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """AFFNet base, 17.2 M parameters (only in the released code)."""
    return _create("affnet_base", pretrained, **kwargs)


@register_model
def affnet_large(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """AFFNet large, 46.1 M parameters (only in the released code)."""
    return _create("affnet_large", pretrained, **kwargs)
