"""SVT, the Scattering Vision Transformer (Patro & Agneeswaran, NeurIPS 2023, arXiv 2311.01310).

`svt_h_*` are the published models: scattering in stages 1 and 2, channel and token mixing. `svt_*`
are what the released code builds: scattering in stage 1, channel mixing only. The large published
model cannot be built by the released code; its sizes follow the pattern of the small one. This
implementation adds to both: any input size (see `ScatteringMixer`), feature maps, and training
without token labels.

    stem /4 | 4 stages of blocks, with 3x3 s2 convolutions in between | class block
    | head (and an auxiliary head on the tokens)

| variant | stem | dims           | depths   | parameters, with aux head | GMACs  | published |
|---------|------|----------------|----------|--------------------------:|-------:|----------:|
| svt_h_s | 32   | 64 128 320 448 | 3 4 6 3  |   21,570,248 / 22,019,248 |  4.655 |      3.93 |
| svt_h_b | 64   | 64 128 320 512 | 3 4 12 3 |   32,332,200 / 32,845,200 |  7.197 |      6.33 |
| svt_h_l | 64   | 96 192 384 512 | 3 6 18 3 |   53,578,536 / 54,091,536 | 14.293 |     12.70 |
| svt_s   | 32   | as svt_h_s     |          |   21,603,592 / 22,052,592 |  5.601 |      4.13 |
| svt_b   | 64   | as svt_h_b     |          |   32,365,544 / 32,878,544 |  8.143 |      6.53 |
| svt_l   | 64   | as svt_h_l     |          |   54,081,000 / 54,594,000 | 16.460 |     13.39 |

GMACs at 224 x 224 are counted in full (`analysis/macs.py`), beside the published count.
Maps are (B, C, H, W) throughout, with channels last in memory after the stem, so that tokens are
views of them.

Length: the whole network and its variants in one file, as in timm; its blocks: `svt_blocks.py`.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import torch
from timm.layers import LayerNorm2d, calculate_drop_path_rates, trunc_normal_
from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from spectralvision.mixers import ScatteringMixer
from spectralvision.mixers.scattering import Mixing
from spectralvision.models.backbone import (
    MixerLayer,
    SpectralBackbone,
    absolute_indices,
    build_mixer,
    init_weights,
)
from spectralvision.models.build import build_variant, imagenet_cfg
from spectralvision.models.conv_norm import ConvBatchNormAct
from spectralvision.models.mix_token import EMPTY, Box, TokenLabelOutput, exchange, sample_box
from spectralvision.models.svt_blocks import (
    Attention,
    Block,
    ClassBlock,
    Downsample,
    Stage,
    to_tokens,
)

HEAD_DIM = 32
NUM_PREFIX_TOKENS = 1
AUXILIARY_WEIGHT = 0.5  # of the largest token logit in evaluation


class SVT(SpectralBackbone):
    """SVT for images of any size, also odd, (B, in_chans, H, W) -> (B, num_classes).

    With an auxiliary head (`token_label=True`) the logits are those of the class token plus 0.5 x
    the largest token logit of each class.

    Args: in_chans, num_classes, drop_rate, attn_drop_rate, drop_path_rate: as in timm. global_pool:
    "token" (the class token), "avg" (mean of the normalized tokens) or "" (all). img_size: input
    size that the scattering weights belong to; they are interpolated for others. output_stride:
    32, or 16, at which the last stage keeps the resolution of the third. stem_dim: channels of the
    convolutions of the stem. dims, depths, mlp_ratios: of the four stages. Attention has dim / 32
    heads. scattering_stages: number of stages, from the first, that mix by scattering, the others
    by attention. mixing: of the scattering mixers, "channel_token" or "channel". token_label:
    whether to build the auxiliary head. mixer_layer: builds a mixer (B, dim, H, W) -> the same from
    (dim, resolution), in place of the scattering mixers.

    Raises:
        ValueError: another output stride or pooling, scattering_stages outside 0..4, or a number of
            dims, depths or ratios other than four.
    """

    num_prefix_tokens = NUM_PREFIX_TOKENS

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "token",
        img_size: int | tuple[int, int] = 224,
        output_stride: int = 32,
        stem_dim: int = 32,
        dims: Sequence[int] = (64, 128, 320, 448),
        depths: Sequence[int] = (3, 4, 6, 3),
        mlp_ratios: Sequence[float] = (8, 8, 4, 4),
        scattering_stages: int = 2,
        mixing: Mixing = "channel_token",
        token_label: bool = False,
        mixer_layer: MixerLayer | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if output_stride not in (16, 32):
            raise ValueError(
                f"output_stride of SVT must be 32 or 16, got {output_stride}: use an AFFNet for 8"
            )
        if not len(dims) == len(depths) == len(mlp_ratios) == 4:
            raise ValueError(
                f"SVT has four stages, got dims={dims}, depths={depths}, mlp_ratios={mlp_ratios}"
            )
        if scattering_stages not in range(5):
            raise ValueError(f"scattering_stages must be 0 to 4, got {scattering_stages}")
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.drop_rate = drop_rate
        self.token_label = token_label
        self.global_pool = _check_pool(global_pool)

        # 1. Sizes: channels of the stages, and the maps that the mixers work on
        self.feature_info = [
            {"num_chs": dim, "reduction": step, "module": "norm" if i == 3 else f"stages.{i}"}
            for i, (dim, step) in enumerate(zip(dims, (4, 8, 16, output_stride), strict=True))
        ]
        resolutions = self.map_sizes(img_size)
        own_mixers: list[nn.Module] = []

        def build_stage_mixer(stage: int) -> nn.Module:
            dim, resolution = dims[stage], resolutions[stage]
            if stage >= scattering_stages:
                return Attention(dim, _num_heads(dim), attn_drop_rate, **factory)
            if mixer_layer is None:
                return ScatteringMixer(dim, resolution, mixing, **factory)
            own_mixers.append(build_mixer(mixer_layer, dim, resolution, **factory))
            return own_mixers[-1]

        # 2. Stem and stages
        self.stem = nn.Sequential(
            ConvBatchNormAct(in_chans, stem_dim, 7, stride=2, act_layer=nn.ReLU, **factory),
            ConvBatchNormAct(stem_dim, stem_dim, 3, act_layer=nn.ReLU, **factory),
            ConvBatchNormAct(stem_dim, stem_dim, 3, act_layer=nn.ReLU, **factory),
            Downsample(stem_dim, dims[0], **factory),
        )
        rates: Any = calculate_drop_path_rates(drop_path_rate, list(depths), stagewise=True)
        stages = []
        for i, (dim, ratio) in enumerate(zip(dims, mlp_ratios, strict=True)):
            blocks = [Block(dim, build_stage_mixer(i), ratio, rate, **factory) for rate in rates[i]]
            stride = output_stride // 16 if i == 3 else 2
            downsample = Downsample(dims[i - 1], dim, stride, **factory) if i else nn.Identity()
            norm = nn.Identity() if i == 3 else LayerNorm2d(dim, eps=1e-6, **factory)
            stages.append(Stage(downsample, blocks, norm))
        self.stages = nn.Sequential(*stages)
        self.norm: nn.Module = LayerNorm2d(dims[-1], eps=1e-6, **factory)

        # 3. Class token and heads
        self.num_features = self.head_hidden_size = dims[-1]
        self.class_block: ClassBlock | None = ClassBlock(
            dims[-1], _num_heads(dims[-1]), mlp_ratios[-1], attn_drop_rate, **factory
        )
        self.head_drop = nn.Dropout(drop_rate)
        self.head = _build_head(dims[-1], num_classes, **factory)
        self.aux_head = _build_head(dims[-1], num_classes, **factory) if token_label else None
        init_weights(self, _init_module, keep=own_mixers)

    def forward_final(self, x: Tensor) -> Tensor:
        """Compute normalized tokens (B, 1 + N, C), class token first, from maps (B, C, h, w)."""
        tokens = to_tokens(self.norm(x))
        if self.class_block is None:  # pruned to feature maps
            c = tokens.mean(dim=1, keepdim=True)
        else:
            norm: Any = self.norm  # LayerNorm2d normalizes maps, its base class tokens
            c = nn.LayerNorm.forward(norm, self.class_block(to_tokens(x)))
        return torch.cat([c, tokens], dim=1)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Compute logits (B, num_classes), or pooled features with `pre_logits`."""
        pooled = self._pool(x)
        if pre_logits or self.num_classes == 0:
            return pooled
        logits = self.head(self.head_drop(pooled))
        if self.aux_head is None:
            return logits
        return logits + AUXILIARY_WEIGHT * self.aux_head(x[:, NUM_PREFIX_TOKENS:]).amax(dim=1)

    def forward_token_label(self, x: Tensor) -> TokenLabelOutput:
        """Compute class and token logits for a token-labelling loss, with MixToken in training.

        Raises:
            ValueError: the model has no auxiliary head or no classifier.
        """
        if self.aux_head is None or self.num_classes == 0:
            raise ValueError(
                "token labelling needs the auxiliary head: create the model with token_label=True"
            )
        # 1. Mix the stem's maps inside a random box, which is a box of whole tokens
        grid = self.map_sizes((x.shape[-2], x.shape[-1]))[-1]
        box = sample_box(*grid) if self.training else EMPTY
        scale = self.feature_info[-1]["reduction"] // self.feature_info[0]["reduction"]
        x, _ = self.forward_stages(exchange(self.stem(x), box, scale))

        # 2. Classify the tokens and swap those of the box back
        features = self.forward_final(x)
        tokens = self.aux_head(features[:, NUM_PREFIX_TOKENS:])  # (B, N, classes)
        tokens = to_tokens(exchange(tokens.transpose(-2, -1).unflatten(-1, grid), box))
        return TokenLabelOutput(self.head(self.head_drop(features[:, 0])), tokens, Box(*box))

    def normalize_map(self, stage: int, x: Tensor) -> Tensor:
        """Return a stage's output as a feature map: the last one takes the network's norm."""
        return self.norm(x) if stage == len(self.feature_info) - 1 else x

    def prefix_tokens(self, x: Tensor, indices: list[int], maps: list[Tensor]) -> list[Tensor]:
        """Return the class token (B, 1, C) for each map: in the last stage that of the network.

        In the others it is the mean of the tokens, from which the class block starts.
        """
        return [
            self.forward_final(x)[:, :NUM_PREFIX_TOKENS]
            if i == len(self.feature_info) - 1
            else y.flatten(2).mean(dim=2).unsqueeze(1)
            for i, y in zip(indices, maps, strict=True)
        ]

    def _pool(self, x: Tensor) -> Tensor:
        if self.global_pool == "token":
            return x[:, 0]
        return x[:, NUM_PREFIX_TOKENS:].mean(dim=1) if self.global_pool == "avg" else x

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the feature maps in `indices` do not need; return the indices from 0."""
        take = absolute_indices(len(self.stages), indices)
        last = max(take)
        self.stages = self.stages[: last + 1]
        if last + 1 < len(self.feature_info):
            self.norm = nn.Identity()
            self.num_features = self.head_hidden_size = self.feature_info[last]["num_chs"]
            prune_head = True
        if prune_head:
            self.class_block = None
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
            (r"^stages\.(\d+)\.norm", (99,)),
            (r"^class_block|^norm", (9999,)),
        ]
        return {"stem": r"^stem", "blocks": blocks}

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        """Return the classification layer."""
        return self.head

    def reset_classifier(
        self,
        num_classes: int,
        global_pool: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Replace the head, and the auxiliary head if there is one; 0 classes for none."""
        weight = next(self.stem.parameters())
        factory = {"device": device or weight.device, "dtype": dtype or weight.dtype}
        if global_pool is not None:
            self.global_pool = _check_pool(global_pool)
        self.num_classes = num_classes
        self.head = _build_head(self.head_hidden_size, num_classes, **factory)
        if self.token_label:
            self.aux_head = _build_head(self.head_hidden_size, num_classes, **factory)
        for head in (self.head, self.aux_head):
            if isinstance(head, nn.Linear):
                _init_module(head)


def _build_head(dim: int, num_classes: int, **factory: Any) -> nn.Module:
    return nn.Linear(dim, num_classes, **factory) if num_classes > 0 else nn.Identity()


def _check_pool(global_pool: str) -> str:
    if global_pool not in ("token", "avg", ""):
        raise ValueError(f"global_pool of SVT must be 'token', 'avg' or '', got {global_pool!r}")
    return global_pool


def _num_heads(dim: int) -> int:
    """Return dim / 32, or for narrower test models the next smaller number that divides dim."""
    return next(heads for heads in range(max(dim // HEAD_DIM, 1), 0, -1) if dim % heads == 0)


def _init_module(module: nn.Module) -> None:
    if not isinstance(module, nn.Linear | nn.Conv2d):
        return
    if isinstance(module, nn.Linear) or module.kernel_size == (1, 1):
        trunc_normal_(module.weight, std=0.02)
    else:
        kernel_size = module.kernel_size[0] * module.kernel_size[1]
        fan_out = kernel_size * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=sqrt(2 / fan_out))
    if module.bias is not None:
        nn.init.zeros_(module.bias)


SMALL: dict[str, Any] = {"dims": (64, 128, 320, 448), "depths": (3, 4, 6, 3), "stem_dim": 32}
BASE: dict[str, Any] = {"dims": (64, 128, 320, 512), "depths": (3, 4, 12, 3), "stem_dim": 64}
LARGE: dict[str, Any] = {"dims": (96, 192, 384, 512), "depths": (3, 6, 18, 3), "stem_dim": 64}
PUBLISHED: dict[str, Any] = {"scattering_stages": 2, "mixing": "channel_token"}
RELEASED: dict[str, Any] = {"scattering_stages": 1, "mixing": "channel"}
VARIANTS: dict[str, dict[str, Any]] = {
    "svt_h_s": SMALL | PUBLISHED,
    "svt_h_b": BASE | PUBLISHED,
    "svt_h_l": LARGE | PUBLISHED,
    "svt_s": SMALL | RELEASED,
    "svt_b": BASE | RELEASED,
    "svt_l": LARGE | RELEASED,
}
REPORTED = {
    "svt_h_s": "its authors report 83.1 % top-1 at 224, 84.2 % with token labels",
    "svt_h_b": "its authors report 85.2 % top-1 at 224 with token labels",
    "svt_h_l": "its authors report 85.7 % top-1 at 224 with token labels",
}
REPORTED_TOP1 = {"svt_h_s": 83.1, "svt_h_b": 85.2, "svt_h_l": 85.7}

default_cfgs = generate_default_cfgs(
    {variant: imagenet_cfg(0.96, "stem.0.conv", "head") for variant in VARIANTS}
)


def _create(variant: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    reported = REPORTED.get(variant, "its authors report no result for it")
    feature_cfg = {"out_indices": (0, 1, 2, 3), "flatten_sequential": True}
    return build_variant(
        SVT, variant, pretrained, reported, feature_cfg, **{**VARIANTS[variant], **kwargs}
    )


@register_model
def svt_h_s(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """SVT-H-S as published, 21.6 M parameters (22.0 M with the auxiliary head)."""
    return _create("svt_h_s", pretrained, **kwargs)


@register_model
def svt_h_b(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """SVT-H-B as published, 32.3 M parameters (32.8 M with the auxiliary head)."""
    return _create("svt_h_b", pretrained, **kwargs)


@register_model
def svt_h_l(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """SVT-H-L as published, 53.6 M parameters (54.1 M with the auxiliary head)."""
    return _create("svt_h_l", pretrained, **kwargs)


@register_model
def svt_s(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """SVT-S as the released code builds it, 21.6 M parameters."""
    return _create("svt_s", pretrained, **kwargs)


@register_model
def svt_b(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """SVT-B as the released code builds it, 32.4 M parameters."""
    return _create("svt_b", pretrained, **kwargs)


@register_model
def svt_l(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """SVT-L as the released code builds it, 54.1 M parameters."""
    return _create("svt_l", pretrained, **kwargs)
