"""Fast Fourier convolution: FFC (Chi et al., NeurIPS 2020), local and global channels.

    x = [l, g]                                                                                (1)
    l' = conv3x3(l) + conv3x3(g)                                                              (2)
    g' = conv3x3(l) + S(g)                                                                    (3)
    S(g) = P2 (z + irfft2(act(norm(U rfft2(z))))),        z = act(norm(P1 g))                 (4)

The convolutions of (2) and (3) are four different ones. U is a 1x1 convolution on real and
imaginary parts side by side, P1 halves the channels and P2 restores them; act is ReLU, norm a batch
norm. The paper's additional local Fourier unit is left out.
"""

from typing import Any

import torch
from torch import Tensor, nn

from spectralvision.ops.checks import check_real_maps
from spectralvision.ops.fourier import irfft2, rfft2
from spectralvision.ops.torchscript import reject_torchscript


class FourierUnit(nn.Module):
    """irfft2(act(norm(U rfft2(z)))) for maps (B, C, H, W), inside of equation (4)."""

    def __init__(self, dim: int, **factory: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * dim, 2 * dim, 1, bias=False, **factory)
        self.norm = nn.BatchNorm2d(2 * dim, **factory)

    def forward(self, z: Tensor) -> Tensor:
        parts = torch.cat(rfft2(z), dim=1)
        re, im = self.norm(self.conv(parts)).relu().to(z.dtype).chunk(2, dim=1)
        return irfft2(re, im, (z.shape[-2], z.shape[-1]))


class SpectralTransform(nn.Module):
    """The global path S of equation (4)."""

    def __init__(self, dim: int, **factory: Any) -> None:
        super().__init__()
        hidden = max(1, dim // 2)
        self.reduce = nn.Conv2d(dim, hidden, 1, bias=False, **factory)
        self.norm = nn.BatchNorm2d(hidden, **factory)
        self.unit = FourierUnit(hidden, **factory)
        self.project = nn.Conv2d(hidden, dim, 1, bias=False, **factory)

    def forward(self, g: Tensor) -> Tensor:
        z = self.norm(self.reduce(g)).relu()
        return self.project(z + self.unit(z))  # (4)


class FastFourierConvolution(nn.Module):
    """Local and global token mixing with exchange between them, for maps of any size.

    Maps (B, C, H, W) to the same shape.

    Args:
        dim: number of channels C, at least 2.
        global_ratio: fraction of the channels that are global; both kinds have at least one.

    Raises:
        ValueError: dim < 2, or the ratio is not between 0 and 1.
    """

    __prepare_scriptable__ = reject_torchscript

    def __init__(
        self,
        dim: int,
        global_ratio: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if dim < 2:
            raise ValueError(f"dim must be at least 2, got {dim}")
        if not 0 < global_ratio < 1:
            raise ValueError(f"global_ratio must be between 0 and 1, got {global_ratio}")
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        wide = min(max(1, round(global_ratio * dim)), dim - 1)
        self.split = (dim - wide, wide)

        def conv(inputs: int, outputs: int) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False, **factory)

        self.local_to_local = conv(self.split[0], self.split[0])
        self.global_to_local = conv(self.split[1], self.split[0])
        self.local_to_global = conv(self.split[0], self.split[1])
        self.global_to_global = SpectralTransform(self.split[1], **factory)

    def forward(self, x: Tensor) -> Tensor:
        """Mix maps (B, C, H, W), equations (1) to (4)."""
        check_real_maps(x, "FastFourierConvolution", ndim=4)
        l, g = x.split(self.split, dim=1)  # (1)  # noqa: E741
        local = self.local_to_local(l) + self.global_to_local(g)  # (2)
        return torch.cat([local, self.local_to_global(l) + self.global_to_global(g)], dim=1)  # (3)
