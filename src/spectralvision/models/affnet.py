"""AFFNet: mobile networks that mix tokens by adaptive frequency filters (Huang et al., ICCV 2023, arXiv 2307.14008).

Computes what the authors' released code computes. Where that differs from the paper: the filter has an inner skip; the
activation is SiLU throughout (the figure has ReLU in the mask network). What differs from the released code: stochastic
depth is really applied, linear from 0 to `drop_path_rate` over all blocks (the released runs have none), and every
variant can be built.

    stem: 3x3 s2 | stage 1: MBConv | stage 2: MBConv s2, MBConv x2 | stages 3-5: MBConv s2, AFF stage | 1x1 conv | head

| variant      | dims                | depths     | parameters | GMACs at 256 | published count | reported top-1 |
|--------------|---------------------|------------|-----------:|-------------:|----------------:|---------------:|
| affnet_et    | 32 48 64 104 144    | 1 3 2 4 3  |  1,436,264 |        0.361 |           0.356 |           73.0 |
| affnet_t     | 32 48 96 160 192    | 1 3 2 4 3  |  2,654,232 |        0.794 |           0.786 |           77.0 |
| affnet       | 32 64 128 256 320   | 1 3 2 4 3  |  5,568,696 |        1.464 |           1.454 |           79.8 |
| affnet_base  | 64 128 256 512 640  | 1 3 2 4 3  | 17,178,104 |        5.363 |            5.340 |              - |
| affnet_large | 64 128 256 512 768  | 2 6 4 18 6 | 46,068,088 |       13.309 |           13.240 |              - |

GMACs are counted in full (`analysis/macs.py`), the transforms as the FFT; the published count leaves them out.
"""

from collections.abc import Callable, Sequence
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
from timm.models import generate_default_cfgs, register_model, register_notrace_module
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from spectralvision.mixers import AdaptiveFrequencyFilter
from spectralvision.models.common import ConvNormAct, SpectralBackbone, build, shipped

register_notrace_module(AdaptiveFrequencyFilter)

Layer = Callable[..., nn.Module]
STEM_DIM = 16
MAX_HEAD_DIM = 960


class MBConv(nn.Module):
    """Inverted residual: 1x1 expand, 3x3 depthwise, 1x1 project, each with batch norm; skip where the shape stays."""

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
        self.skip = stride == 1 and in_chans == out_chans
        self.expand = ConvNormAct(in_chans, hidden, 1, act_layer=act_layer, **factory)
        self.depthwise = ConvNormAct(hidden, hidden, 3, stride, dilation, groups=hidden, act_layer=act_layer, **factory)
        self.project = ConvNormAct(hidden, out_chans, 1, act_layer=None, **factory)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.skip else y


class Block(nn.Module):
    """Local mixing, then global mixing, in one residual: x + filter(norm2(local(norm1(x))))."""

    def __init__(
        self, dim: int, drop_path: float, act_layer: Layer, norm_layer: Layer, filter_layer: Layer, **factory: Any
    ) -> None:
        super().__init__()
        self.norm1 = norm_layer(dim, **factory)
        self.local = MBConv(dim, dim, expand=2, act_layer=act_layer, **factory)
        self.norm2 = norm_layer(dim, **factory)
        self.filter = filter_layer(dim, **factory)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.filter(self.norm2(self.local(self.norm1(x)))))


class AFFStage(nn.Module):
    """Downsampling MBConv, N blocks, norm, 1x1 projection; `fusion` joins the result with what entered the blocks."""

    def __init__(
        self,
        downsample: MBConv,
        dim: int,
        drop_path_rates: Sequence[float],
        fuse_input: bool,
        act_layer: Layer,
        norm_layer: Layer,
        filter_layer: Layer,
        **factory: Any,
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(
            *(Block(dim, rate, act_layer, norm_layer, filter_layer, **factory) for rate in drop_path_rates)
        )
        self.norm = norm_layer(dim, **factory)
        self.proj = ConvNormAct(dim, dim, 1, act_layer=None, **factory)
        self.fusion = ConvNormAct(2 * dim, dim, 1, act_layer=act_layer, **factory) if fuse_input else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.downsample(x)
        y = self.proj(self.norm(self.blocks(x)))
        return y if self.fusion is None else self.fusion(torch.cat([x, y], dim=1))


class AFFNet(SpectralBackbone):
    """The network, (B, in_chans, H, W) -> (B, num_classes), any H and W.

    Args:
        in_chans, num_classes, global_pool, drop_rate, drop_path_rate: as in timm.
        output_stride: 32, 16 or 8; the last stages then keep their resolution.
        dims: output channels of the five stages; those of stages 3 to 5 are multiples of 8.
        depths: MBConvs in stages 1 and 2, blocks in stages 3 to 5.
        mlp_ratios: expansion of the MBConvs of the five stages (inside blocks it is 2).
        fuse_input: whether stages 3, 4, 5 join their input with the blocks' result.
        act_layer, norm_layer, mask_act_layer: activation, norm of the blocks, activation of the mask network.
        threshold: softshrink threshold of the mask.

    Raises:
        ValueError: another output stride, or a number of dims, depths or ratios that is not five.
    """

    samples = 512 << 10

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        output_stride: int = 32,
        dims: Sequence[int] = (32, 64, 128, 256, 320),
        depths: Sequence[int] = (1, 3, 2, 4, 3),
        mlp_ratios: Sequence[float] = (4, 4, 4, 4, 4),
        fuse_input: Sequence[bool] = (True, True, True),
        act_layer: str | Layer = nn.SiLU,
        norm_layer: str | Layer = GroupNorm1,
        mask_act_layer: str | Layer = nn.SiLU,
        threshold: float = 0.01,
        drop_rate: float = 0.1,
        drop_path_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if output_stride not in (8, 16, 32):
            raise ValueError(f"AFFNet has output stride 32, 16 or 8, got {output_stride}")
        if not len(dims) == len(depths) == len(mlp_ratios) == 5:
            raise ValueError(f"AFFNet has five stages, got dims={dims}, depths={depths}, mlp_ratios={mlp_ratios}")
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        act, norm = get_act_layer(act_layer), get_norm_layer(norm_layer)
        mask_act = get_act_layer(mask_act_layer)

        def filter_layer(dim: int, **factory: Any) -> nn.Module:
            return AdaptiveFrequencyFilter(dim, act_layer=mask_act, threshold=threshold, **factory)

        self.in_chans, self.num_classes, self.drop_rate = in_chans, num_classes, drop_rate
        self.stem = ConvNormAct(in_chans, STEM_DIM, 3, stride=2, act_layer=act, **factory)

        drop_path_rates: Any = calculate_drop_path_rates(drop_path_rate, [0, 0, *depths[2:]], stagewise=True)
        stages: list[nn.Module] = []
        self.feature_info = []
        width, reduction = STEM_DIM, 2
        for i, (dim, depth, ratio) in enumerate(zip(dims, depths, mlp_ratios, strict=True)):
            stride = 1 if i == 0 or reduction == output_stride else 2
            dilation = 2 if i == 4 and output_stride == 8 else 1
            entry = MBConv(width, dim, ratio, stride, dilation, act, **factory)
            if i < 2:
                rest = (MBConv(dim, dim, ratio, act_layer=act, **factory) for _ in range(depth - 1))
                stages.append(nn.Sequential(entry, *rest))
            else:
                stages.append(
                    AFFStage(entry, dim, drop_path_rates[i], fuse_input[i - 2], act, norm, filter_layer, **factory)
                )
            width, reduction = dim, reduction * stride
            self.feature_info.append({"num_chs": dim, "reduction": reduction, "module": f"stages.{i}"})
        self.stages = nn.Sequential(*stages)

        self.num_features = self.head_hidden_size = min(4 * width, MAX_HEAD_DIM)
        self.final_conv: nn.Module = ConvNormAct(width, self.num_features, 1, act_layer=act, **factory)
        self.head = ClassifierHead(self.num_features, num_classes, global_pool, drop_rate, **factory)
        self.apply(_init_weights)

    def _finish(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, num_features, h, w)."""
        return self.final_conv(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        return self.head(x, pre_logits=pre_logits)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the intermediates in `indices` do not need; returns the indices as positive numbers."""
        take, last = feature_take_indices(len(self.stages), indices)
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
        return self.head.fc

    def reset_classifier(
        self,
        num_classes: int,
        global_pool: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.num_classes = num_classes
        self.head.reset(num_classes, global_pool, in_features=self.num_features, device=device, dtype=dtype)


def _init_weights(module: nn.Module) -> None:
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
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

default_cfgs = generate_default_cfgs(
    {
        "affnet_et.cifar10": CFG | shipped("affnet_et.cifar10", 64, CIFAR10),
        **{f"{variant}.*": CFG for variant in VARIANTS},  # the star: weights for small images are no default
    }
)


def _create(variant: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    top1 = REPORTED_TOP1.get(variant)
    reported = f"its authors report {top1} % top-1 at 256" if top1 else "its authors report no result for it"
    feature_cfg = {"out_indices": (0, 1, 2, 3, 4), "flatten_sequential": True}
    return build(AFFNet, variant, pretrained, reported, feature_cfg, **{**VARIANTS[variant], **kwargs})


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
    """AFFNet base, 17.2 M parameters (in the released code only)."""
    return _create("affnet_base", pretrained, **kwargs)


@register_model
def affnet_large(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """AFFNet large, 46.1 M parameters (in the released code only)."""
    return _create("affnet_large", pretrained, **kwargs)
