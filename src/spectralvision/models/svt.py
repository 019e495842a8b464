"""SVT, the Scattering Vision Transformer (Patro & Agneeswaran, NeurIPS 2023, arXiv 2311.01310).

`svt_h_*` are the published models: scattering in stages 1 and 2, channel and token mixing. `svt_*` are what the
released code builds: scattering in stage 1, channel mixing only. The large published model cannot be built by the
released code; its sizes follow the small one's pattern. What differs from both: any input size (see
`ScatteringMixer`), feature maps, and training without token labels.

    stem /4 | 4 stages of Blocks, joined by 3x3 s2 convolutions | class block | head (+ auxiliary head on the tokens)

| variant | stem | dims            | depths   | parameters, with auxiliary head | GMACs at 224 | published count |
|---------|------|-----------------|----------|--------------------------------:|-------------:|----------------:|
| svt_h_s | 32   | 64 128 320 448  | 3 4 6 3  |         21,570,248 / 22,019,248 |        4.655 |            3.93 |
| svt_h_b | 64   | 64 128 320 512  | 3 4 12 3 |         32,332,200 / 32,845,200 |        7.197 |            6.33 |
| svt_h_l | 64   | 96 192 384 512  | 3 6 18 3 |         53,578,536 / 54,091,536 |       14.293 |           12.70 |
| svt_s   | 32   | as svt_h_s      |          |         21,603,592 / 22,052,592 |        5.601 |            4.13 |
| svt_b   | 64   | as svt_h_b      |          |         32,365,544 / 32,878,544 |        8.143 |            6.53 |
| svt_l   | 64   | as svt_h_l      |          |         54,081,000 / 54,594,000 |       16.460 |           13.39 |

Maps are (B, C, H, W) throughout, in channels-last memory after the stem, so that tokens are views of them.
Letters: B batch, C channels, H W rows and columns of a stage's map, N = H W tokens.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath, LayerNorm2d, calculate_drop_path_rates, to_2tuple, trunc_normal_
from timm.models import generate_default_cfgs, register_model, register_notrace_module
from timm.models._features import feature_take_indices
from timm.models._input import update_model_input_size
from torch import Tensor, nn

from spectralvision.mixers import ScatteringMixer
from spectralvision.mixers.scattering import Mixing
from spectralvision.models.common import ConvNormAct, SpectralBackbone, build
from spectralvision.models.mix_token import EMPTY, Box, TokenLabelOutput, exchange, sample_box
from spectralvision.ops.portions import in_portions

register_notrace_module(ScatteringMixer)

HEAD_DIM = 32
NUM_PREFIX_TOKENS = 1
SAMPLES = 3 << 20  # of an MLP's widest map that are worked on at a time, see `in_portions`
AUXILIARY_WEIGHT = 0.5  # of the largest token logit, at evaluation


class Pointwise(nn.Conv2d):
    """A linear layer over the channels of a map, (B, C, H, W) -> (B, C', H, W), as the 1x1 convolution that it is."""

    def __init__(self, in_chans: int, out_chans: int, **factory: Any) -> None:
        super().__init__(in_chans, out_chans, 1, **factory)


class Attention(nn.Module):
    """Multi-head attention with q and (k, v) as two layers; as a mixer, every token attends to all."""

    def __init__(self, dim: int, num_heads: int, **factory: Any) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = Pointwise(dim, dim, **factory)
        self.kv = Pointwise(dim, 2 * dim, **factory)
        self.proj = Pointwise(dim, dim, **factory)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, C, H, W), attending to the tokens of `context`, by default to its own -> (B, C, H, W)."""
        heads = (self.num_heads, -1)
        q = self.q(x).flatten(2).mT.unflatten(-1, heads).transpose(1, 2)  # (B, heads, tokens, C / heads)
        kv = self.kv(x if context is None else context).flatten(2).mT
        k, v = kv.unflatten(-1, (2, *heads)).permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.proj(out.mT.unflatten(2, x.shape[2:]))


class ConvMlp(nn.Module):
    """Linear, 3x3 depthwise convolution, GELU, linear, on maps."""

    def __init__(self, dim: int, hidden: int, **factory: Any) -> None:
        super().__init__()
        self.fc1 = Pointwise(dim, hidden, **factory)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, **factory)
        self.act = nn.GELU()
        self.fc2 = Pointwise(hidden, dim, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return in_portions(self._mlp, x, SAMPLES * self.fc1.in_channels // self.fc1.out_channels, self)

    def _mlp(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.dwconv(self.fc1(x))))


class Block(nn.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, dim: int, mixer: nn.Module, mlp_ratio: float, drop_path: float, **factory: Any) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(dim, eps=1e-6, **factory)
        self.mixer = mixer
        self.norm2 = LayerNorm2d(dim, eps=1e-6, **factory)
        self.mlp = ConvMlp(dim, int(dim * mlp_ratio), **factory)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.mixer(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class ClassBlock(nn.Module):
    """The class token: mean of the tokens, refined by attention to itself and them, then by a plain MLP."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, **factory: Any) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6, **factory)
        self.attn = Attention(dim, num_heads, **factory)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6, **factory)
        self.fc1 = nn.Linear(dim, int(dim * mlp_ratio), **factory)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(int(dim * mlp_ratio), dim, **factory)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, 1, C)."""
        c = tokens.mean(dim=1, keepdim=True)
        context = self.norm1(torch.cat([c, tokens], dim=1)).mT.unsqueeze(2)  # (B, C, 1, 1 + N)
        c = c + self.attn(context[..., :1], context).flatten(2).mT
        return c + self.fc2(self.act(self.fc1(self.norm2(c))))


class Downsample(nn.Sequential):
    """3x3 s2 convolution and norm."""

    def __init__(self, in_chans: int, out_chans: int, **factory: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chans, out_chans, 3, stride=2, padding=1, **factory)
        self.norm = LayerNorm2d(out_chans, eps=1e-5, **factory)


class Stage(nn.Sequential):
    """Downsampling (none in stage 1), blocks, norm (in stage 4 it is the network's)."""

    def __init__(self, downsample: nn.Module, blocks: Sequence[nn.Module], norm: nn.Module) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)
        self.norm = norm


class SVT(SpectralBackbone):
    """The network, (B, in_chans, H, W) -> (B, num_classes), any H and W, odd ones too.

    With an auxiliary head (`token_label=True`) the logits are class + 0.5 x the largest token logit of each class.

    Args:
        in_chans, num_classes, drop_rate, drop_path_rate: as in timm.
        global_pool: "token" (the class token), "avg" (mean of the normalised tokens) or "" (all of them).
        img_size: input size that the scattering weights belong to; other sizes meet interpolated weights.
        output_stride: 32 only.
        stem_dim: width of the stem's convolutions.
        dims, depths, mlp_ratios: of the four stages. Attention has dim / 32 heads.
        scattering_stages: how many stages, from the first, mix by scattering; the others by attention.
        mixing: of the scattering mixers, "channel_token" or "channel".
        token_label: build the auxiliary head.

    Raises:
        ValueError: another output stride or pooling, scattering_stages outside 0..4, or not four stages.
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
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if output_stride != 32:
            raise ValueError(f"SVT has output stride 32 only, got {output_stride}: for 16 or 8 take an AFFNet")
        if not len(dims) == len(depths) == len(mlp_ratios) == 4:
            raise ValueError(f"SVT has four stages, got dims={dims}, depths={depths}, mlp_ratios={mlp_ratios}")
        if scattering_stages not in range(5):
            raise ValueError(f"scattering_stages is 0 to 4, got {scattering_stages}")
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.in_chans, self.num_classes, self.drop_rate = in_chans, num_classes, drop_rate
        self.token_label = token_label
        self.global_pool = _check_pool(global_pool)
        self.num_features = self.head_hidden_size = dims[-1]

        self.stem = nn.Sequential(
            ConvNormAct(in_chans, stem_dim, 7, stride=2, act_layer=nn.ReLU, **factory),
            ConvNormAct(stem_dim, stem_dim, 3, act_layer=nn.ReLU, **factory),
            ConvNormAct(stem_dim, stem_dim, 3, act_layer=nn.ReLU, **factory),
            Downsample(stem_dim, dims[0], **factory),
        )
        rates: Any = calculate_drop_path_rates(drop_path_rate, list(depths), stagewise=True)
        sizes = _map_sizes(to_2tuple(img_size))
        stages: list[nn.Module] = []
        self.feature_info = []
        for i, dim in enumerate(dims):

            def mixer(i: int = i, dim: int = dim) -> nn.Module:
                if i < scattering_stages:
                    return ScatteringMixer(dim, sizes[i], mixing, **factory)
                return Attention(dim, _num_heads(dim), **factory)

            last = i == len(dims) - 1
            blocks = [Block(dim, mixer(), mlp_ratios[i], rate, **factory) for rate in rates[i]]
            downsample = Downsample(dims[i - 1], dim, **factory) if i else nn.Identity()
            norm = nn.Identity() if last else LayerNorm2d(dim, eps=1e-6, **factory)
            stages.append(Stage(downsample, blocks, norm))
            module = "norm" if last else f"stages.{i}"
            self.feature_info.append({"num_chs": dim, "reduction": 4 * 2**i, "module": module})
        self.stages = nn.Sequential(*stages)
        self.norm: nn.Module = LayerNorm2d(dims[-1], eps=1e-6, **factory)
        self.class_block: ClassBlock | None = ClassBlock(dims[-1], _num_heads(dims[-1]), mlp_ratios[-1], **factory)

        self.head_drop = nn.Dropout(drop_rate)
        self.head = _linear(dims[-1], num_classes, **factory)
        self.aux_head = _linear(dims[-1], num_classes, **factory) if token_label else None
        self.apply(_init_weights)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        pooled = self._pool(x)
        if pre_logits or self.num_classes == 0:
            return pooled
        logits = self.head(self.head_drop(pooled))
        if self.aux_head is None:
            return logits
        return logits + AUXILIARY_WEIGHT * self.aux_head(x[:, NUM_PREFIX_TOKENS:]).amax(dim=1)

    def forward_token_label(self, x: Tensor) -> TokenLabelOutput:
        """Class logits and token logits for a token-labelling loss, with MixToken in training mode.

        Raises:
            ValueError: the model has no auxiliary head or no classifier.
        """
        if self.aux_head is None or self.num_classes == 0:
            raise ValueError("token labelling needs the auxiliary head: create the model with token_label=True")
        x = self.stem(x)
        grid = _map_sizes((x.shape[-2], x.shape[-1]), stem=1)[-1]
        box = sample_box(*grid) if self.training else EMPTY
        features = self._finish(self._run_stages(exchange(x, box, scale=8)))
        tokens = self.aux_head(features[:, NUM_PREFIX_TOKENS:])  # (B, N, classes)
        tokens = exchange(tokens.mT.unflatten(-1, grid), box).flatten(2).mT
        return TokenLabelOutput(self.head(self.head_drop(features[:, 0])), tokens, Box(*box))

    def _finish(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 1 + N, C): the class token, then the tokens, all normalised."""
        tokens = self.norm(x).flatten(2).mT
        if self.class_block is None:  # pruned to feature maps
            c = tokens.mean(dim=1, keepdim=True)
        else:
            c = nn.LayerNorm.forward(self.norm, self.class_block(x.flatten(2).mT))  # type: ignore[arg-type]
        return torch.cat([c, tokens], dim=1)

    def _feature_map(self, stage: int, x: Tensor) -> Tensor:
        return self.norm(x) if stage == len(self.feature_info) - 1 else x

    def _pool(self, x: Tensor) -> Tensor:
        if self.global_pool == "token":
            return x[:, 0]
        return x[:, NUM_PREFIX_TOKENS:].mean(dim=1) if self.global_pool == "avg" else x

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the intermediates in `indices` do not need; returns the indices as positive numbers."""
        take, last = feature_take_indices(len(self.stages), indices)
        self.stages = self.stages[: last + 1]
        if last + 1 < len(self.feature_info):
            self.norm, prune_head = nn.Identity(), True
            self.num_features = self.head_hidden_size = self.feature_info[last]["num_chs"]
        if prune_head:
            self.class_block = None
            self.reset_classifier(0, "")
        return take

    def set_input_size(self, img_size: int | tuple[int, int]) -> None:
        """Make the interpolation of the scattering weights to another input size permanent."""
        sizes = _map_sizes(to_2tuple(img_size))
        for stage, size in zip(self.stages, sizes, strict=False):
            for module in stage.modules():
                if isinstance(module, ScatteringMixer):
                    module.set_input_size(size)
        update_model_input_size(self, img_size)

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
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
        return self.head

    def reset_classifier(
        self,
        num_classes: int,
        global_pool: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """A new head, and auxiliary head where there was one; 0 classes leave neither."""
        weight = next(self.stem.parameters())
        factory = {"device": device or weight.device, "dtype": dtype or weight.dtype}
        if global_pool is not None:
            self.global_pool = _check_pool(global_pool)
        self.num_classes = num_classes
        self.head = _linear(self.head_hidden_size, num_classes, **factory)
        self.aux_head = _linear(self.head_hidden_size, num_classes, **factory) if self.token_label else None
        for head in (self.head, self.aux_head):
            if isinstance(head, nn.Linear):
                _init_weights(head)


def _linear(dim: int, num_classes: int, **factory: Any) -> nn.Module:
    return nn.Linear(dim, num_classes, **factory) if num_classes > 0 else nn.Identity()


def _check_pool(global_pool: str) -> str:
    if global_pool not in ("token", "avg", ""):
        raise ValueError(f"global_pool of SVT is 'token', 'avg' or '', got {global_pool!r}")
    return global_pool


def _num_heads(dim: int) -> int:
    """dim / 32 heads as in every published size; for narrower twins the next smaller number that divides dim."""
    return next(heads for heads in range(max(dim // HEAD_DIM, 1), 0, -1) if dim % heads == 0)


def _map_sizes(size: tuple[int, int], stem: int = 4) -> list[tuple[int, int]]:
    """Sizes of the four stages' maps; every stride-2 convolution halves and rounds up."""
    height, width = size
    steps = [stem * 2**i for i in range(4)]
    return [(-(-height // step), -(-width // step)) for step in steps]


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | Pointwise):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
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
    {
        variant: {
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "crop_pct": 0.96,
            "interpolation": "bicubic",
            "num_classes": 1000,
            "first_conv": "stem.0.conv",
            "classifier": "head",
        }
        for variant in VARIANTS
    }
)


def _create(variant: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    reported = REPORTED.get(variant, "its authors report no result for it")
    feature_cfg = {"out_indices": (0, 1, 2, 3), "flatten_sequential": True}
    return build(SVT, variant, pretrained, reported, feature_cfg, **{**VARIANTS[variant], **kwargs})


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
