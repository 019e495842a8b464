"""Wavelet convolution: WTConv (Finder et al., ECCV 2024, arXiv 2407.05848).

    L_0 = x
    L_i, H_i = haar2d(L_{i-1})                                       i = 1 .. levels          (1)
    L'_i, H'_i = s_i * conv_i([L_i, H_i])                            depthwise                (2)
    Z_{i-1} = ihaar2d(L'_i + Z_i, H'_i),        Z_levels = 0                                  (3)
    y = s_0 * conv_0(x) + Z_0                                                                 (4)

All convolutions are depthwise with the same kernel size, so that the receptive field doubles with
each level; s are learned scales of each channel. The transform is in `ops/haar.py`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from spectralvision.ops.checks import check_real_maps
from spectralvision.ops.haar import haar2d, ihaar2d

INITIAL_SCALE = 0.1
"""Of the convolutions of bands."""


class WaveletConvolution(nn.Module):
    """Depthwise convolution of a map and of its Haar bands, for maps of any size.

    Maps (B, C, H, W) to the same shape.

    Args:
        dim: number of channels C.
        levels: number of levels of the transform.
        kernel_size: side of the kernels, odd.

    Raises:
        ValueError: dim or levels is not positive, or the kernel size is not odd.
    """

    def __init__(
        self,
        dim: int,
        levels: int = 2,
        kernel_size: int = 5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if dim < 1 or levels < 1:
            raise ValueError(f"dim and levels must be positive, got {dim} and {levels}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        factory: dict[str, Any] = {"device": device, "dtype": dtype}

        def depthwise(channels: int, bias: bool) -> nn.Conv2d:
            padding = kernel_size // 2
            return nn.Conv2d(
                channels, channels, kernel_size, padding=padding, groups=channels, bias=bias,
                **factory,
            )  # fmt: skip

        self.conv = depthwise(dim, bias=True)
        self.scale = nn.Parameter(torch.ones(dim, 1, 1, **factory))
        self.band_convs = nn.ModuleList(depthwise(4 * dim, bias=False) for _ in range(levels))
        self.band_scales = nn.ParameterList(
            torch.full((4 * dim, 1, 1), INITIAL_SCALE, **factory) for _ in range(levels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Mix maps (B, C, H, W), equations (1) to (4)."""
        check_real_maps(x, "WaveletConvolution", ndim=4)
        low, bands, sizes = x, [], []
        for conv, scale in zip(self.band_convs, self.band_scales, strict=True):
            sizes.append((low.shape[-2], low.shape[-1]))
            band = haar2d(low)  # (1)
            mixed = scale * conv(band.flatten(1, 2))  # (2)
            bands.append(mixed.unflatten(1, (-1, 4)))
            low = band[:, :, 0]
        z = torch.zeros_like(low)
        for band, size in zip(reversed(bands), reversed(sizes), strict=True):
            first = (band[:, :, 0] + z).unsqueeze(2)
            z = ihaar2d(torch.cat([first, band[:, :, 1:]], dim=2), size)  # (3)
        return self.scale * self.conv(x) + z  # (4)
