"""Haar wavelet mixing: the token mixer of WaveMix (Jeevan et al., 2022, arXiv 2205.14375).

    z = haar2d(P x)                                                                           (1)
    y = norm(D mlp(z))                                                                        (2)

P reduces the channels to a quarter, so that the four bands of z together have C channels at half
the resolution; mlp works at each place, D is a transposed convolution back to the size of x, and
norm a batch norm. The transform is in `ops/haar.py`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from spectralvision.ops.checks import check_real_maps
from spectralvision.ops.haar import haar2d


class WaveletMixing(nn.Module):
    """Local token mixing of Haar bands, for maps of any size.

    Maps (B, C, H, W) to the same shape.

    Args:
        dim: number of channels C, a multiple of 4.
        expansion: hidden features of the mlp per channel.

    Raises:
        ValueError: dim is not a positive multiple of 4, or expansion < 1.
    """

    def __init__(
        self,
        dim: int,
        expansion: int = 2,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if dim < 4 or dim % 4:
            raise ValueError(f"dim must be a positive multiple of 4, got {dim}")
        if expansion < 1:
            raise ValueError(f"expansion must be at least 1, got {expansion}")
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.reduce = nn.Conv2d(dim, dim // 4, 1, **factory)
        self.mlp = nn.Sequential(
            nn.Conv2d(dim, expansion * dim, 1, **factory),
            nn.GELU(),
            nn.Conv2d(expansion * dim, dim, 1, **factory),
        )
        self.restore = nn.ConvTranspose2d(dim, dim, 4, stride=2, padding=1, **factory)
        self.norm = nn.BatchNorm2d(dim, **factory)

    def forward(self, x: Tensor) -> Tensor:
        """Mix maps (B, C, H, W), equations (1) and (2)."""
        check_real_maps(x, "WaveletMixing", ndim=4)
        height, width = x.shape[-2:]
        z = haar2d(self.reduce(x)).flatten(1, 2)  # (1)
        return self.norm(self.restore(self.mlp(z)))[..., :height, :width]  # (2)
