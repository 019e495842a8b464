"""The blocks of SVT, smallest first. Maps are (B, C, H, W), channels last in memory after the stem.

Letters: B batch, C channels, H W rows and columns of a stage's map, N = H W tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath, LayerNorm2d, use_fused_attn
from torch import Tensor, nn

from spectralvision.ops.chunking import chunked_inference

MLP_CHUNK_ELEMENTS = 3 << 20  # of the widest map of an MLP


def to_tokens(maps: Tensor) -> Tensor:
    """Return the tokens (B, N, C) of maps (B, C, H, W), a view."""
    return maps.flatten(2).transpose(-2, -1)


def build_pointwise(in_chans: int, out_chans: int, **factory: Any) -> nn.Conv2d:
    """Build a linear layer over the channels of a map, as the 1x1 convolution that it is."""
    return nn.Conv2d(in_chans, out_chans, 1, **factory)


class DotProductAttention(nn.Module):
    """Attention of every head, softmax(q k^T / sqrt(d)) v, on (B, heads, N, d).

    It is fused unless timm's `set_fused_attn(False)` was called before construction, or
    `fused_attn` is set to False later. Only the unfused form has an output of `attn_drop`, the
    attention (B, heads, N, N), which `timm.utils.AttentionExtract` returns.
    """

    def __init__(self, head_dim: int, drop: float) -> None:
        super().__init__()
        self.scale = head_dim**-0.5
        self.fused_attn = use_fused_attn()
        self.attn_drop = nn.Dropout(drop)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.fused_attn:
            drop = self.attn_drop.p if self.training else 0.0
            return F.scaled_dot_product_attention(q, k, v, dropout_p=drop)
        attn = (self.scale * q) @ k.transpose(-2, -1)
        return self.attn_drop(attn.softmax(dim=-1)) @ v


class Attention(nn.Module):
    """Multi-head attention with q and (k, v) as two layers; as a mixer, of all tokens to all."""

    def __init__(self, dim: int, num_heads: int, attn_drop: float = 0.0, **factory: Any) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = build_pointwise(dim, dim, **factory)
        self.kv = build_pointwise(dim, 2 * dim, **factory)
        self.attn = DotProductAttention(dim // num_heads, attn_drop)
        self.proj = build_pointwise(dim, dim, **factory)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Attend from the tokens of x (B, C, H, W) to those of `context`, by default its own."""
        heads = (self.num_heads, -1)
        q = to_tokens(self.q(x)).unflatten(-1, heads).transpose(1, 2)  # (B, heads, N, C / heads)
        kv = to_tokens(self.kv(x if context is None else context)).unflatten(-1, (2, -1))
        k = kv[..., 0, :].unflatten(-1, heads).transpose(1, 2)
        v = kv[..., 1, :].unflatten(-1, heads).transpose(1, 2)
        out = self.attn(q, k, v).transpose(1, 2).flatten(2)
        return self.proj(out.transpose(-2, -1).unflatten(2, x.shape[2:]))


class DepthwiseMlp(nn.Module):
    """Linear, 3x3 depthwise convolution, GELU, linear, on maps."""

    def __init__(self, dim: int, hidden: int, **factory: Any) -> None:
        super().__init__()
        self.chunk_elements = MLP_CHUNK_ELEMENTS * dim // hidden
        self.fc1 = build_pointwise(dim, hidden, **factory)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, **factory)
        self.act = nn.GELU()
        self.fc2 = build_pointwise(hidden, dim, **factory)

    @chunked_inference
    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.dwconv(self.fc1(x))))


class Block(nn.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x))."""

    def __init__(
        self, dim: int, mixer: nn.Module, mlp_ratio: float, drop_path: float, **factory: Any
    ) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(dim, eps=1e-6, **factory)
        self.mixer = mixer
        self.norm2 = LayerNorm2d(dim, eps=1e-6, **factory)
        self.mlp = DepthwiseMlp(dim, int(dim * mlp_ratio), **factory)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.mixer(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class ClassBlock(nn.Module):
    """The class token: mean of the tokens, refined by attention to itself and them, and an MLP."""

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float, attn_drop: float = 0.0, **factory: Any
    ) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6, **factory)
        self.attn = Attention(dim, num_heads, attn_drop, **factory)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6, **factory)
        self.fc1 = nn.Linear(dim, hidden, **factory)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim, **factory)

    def forward(self, tokens: Tensor) -> Tensor:
        """Compute the class token (B, 1, C) from tokens (B, N, C)."""
        c = tokens.mean(dim=1, keepdim=True)
        context = self.norm1(torch.cat([c, tokens], dim=1))  # (B, 1 + N, C)
        context = context.transpose(-2, -1).unsqueeze(2)  # (B, C, 1, 1 + N)
        c = c + to_tokens(self.attn(context[..., :1], context))
        return c + self.fc2(self.act(self.fc1(self.norm2(c))))


class Downsample(nn.Sequential):
    """3x3 s2 convolution and norm; of stride 1 where a stage keeps its resolution."""

    def __init__(self, in_chans: int, out_chans: int, stride: int = 2, **factory: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chans, out_chans, 3, stride, padding=1, **factory)
        self.norm = LayerNorm2d(out_chans, eps=1e-5, **factory)


class Stage(nn.Sequential):
    """Downsampling (none in stage 1), blocks, norm (in stage 4 it is part of the network)."""

    def __init__(self, downsample: nn.Module, blocks: Sequence[nn.Module], norm: nn.Module) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)
        self.norm = norm
