"""Self-attention over the positions of maps (Vaswani et al., NeurIPS 2017), with timm's layer."""

import torch
from timm.layers import Attention
from torch import Tensor, nn

from spectralvision.ops.checks import check_real_maps

HEAD_DIM = 32


class SelfAttention(nn.Module):
    """Multi-head self-attention, for maps of any size; there is no position embedding.

    Maps (B, C, H, W) to the same shape.

    Args:
        dim: number of channels C, a multiple of `num_heads`.
        num_heads: number of heads; None: as many of at least 32 channels as divide dim, or one.

    Raises:
        ValueError: dim is not a positive multiple of the heads.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        heads = num_heads
        if heads is None:  # the most that divide the channels
            heads = next((n for n in range(dim // HEAD_DIM, 1, -1) if dim % n == 0), 1)
        if heads < 1 or dim < 1 or dim % heads:
            raise ValueError(
                f"dim must be a positive multiple of the heads, got dim={dim} and {heads} heads"
            )
        self.attention = Attention(dim, num_heads=heads, qkv_bias=True, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Mix maps (B, C, H, W)."""
        check_real_maps(x, "SelfAttention", ndim=4)
        tokens = self.attention(x.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).unflatten(2, (x.shape[-2], x.shape[-1]))
