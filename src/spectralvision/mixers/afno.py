"""Adaptive Fourier neural operator: the mixer of AFNO (Guibas et al., ICLR 2022, arXiv 2111.13587).

    X = rfft2(x)                                                                              (1)
    Y = softshrink(W2 relu(W1 X + b1) + b2, threshold)                                        (2)
    y = irfft2(Y) + x                                                                         (3)

W1 and W2 are complex, block diagonal over the channels and shared by all frequencies. The adaptive
frequency filter takes (2) as a mask on X, AFNO as the new spectrum.
"""

import torch
from torch import Tensor, nn

from spectralvision.ops.adaptive_frequency import adaptive_frequency_mask
from spectralvision.ops.checks import check_groups, check_real_maps
from spectralvision.ops.empty_batch import accept_empty_batch
from spectralvision.ops.fourier import irfft2, rfft2
from spectralvision.ops.precision import float32_island
from spectralvision.ops.torchscript import reject_torchscript


class AdaptiveFourierOperator(nn.Module):
    """Global token mixing by a network on the spectrum, for maps of any size.

    Maps (B, C, H, W) to the same shape. Computed in float32 (float64 for float64 input), also under
    autocast; the result has the dtype of x.

    Args:
        dim: number of channels C, a multiple of `groups`.
        groups: number of blocks of the block-diagonal matrices W1 and W2.
        threshold: threshold of the softshrink, at least 0.

    Raises:
        ValueError: dim is not a multiple of groups, or threshold < 0.
    """

    __prepare_scriptable__ = reject_torchscript

    def __init__(
        self,
        dim: int,
        groups: int = 8,
        threshold: float = 0.01,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_groups(dim, groups)
        if threshold < 0:
            raise ValueError(f"threshold must be at least 0, got {threshold}")
        self.dim, self.groups, self.threshold = dim, groups, threshold
        width = dim // groups
        self.w1 = nn.Parameter(torch.empty(2, groups, width, width, device=device, dtype=dtype))
        self.b1 = nn.Parameter(torch.empty(2, groups, width, device=device, dtype=dtype))
        self.w2 = nn.Parameter(torch.empty(2, groups, width, width, device=device, dtype=dtype))
        self.b2 = nn.Parameter(torch.empty(2, groups, width, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights and biases from a normal distribution of standard deviation 0.02."""
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.02)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that take no weight decay: all of them."""
        return {"w1", "b1", "w2", "b2"}

    def forward(self, x: Tensor) -> Tensor:
        """Mix maps (B, C, H, W), equations (1) to (3)."""
        check_real_maps(x, "AdaptiveFourierOperator", ndim=4)
        return x + _filter(x, self.w1, self.b1, self.w2, self.b2, self.threshold)  # (3)

    def extra_repr(self) -> str:
        return f"{self.dim}, groups={self.groups}, threshold={self.threshold}"


@accept_empty_batch
@float32_island
def _filter(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, threshold: float) -> Tensor:
    """Return irfft2(Y), equations (1) and (2)."""
    re, im = rfft2(x.unflatten(1, (w1.shape[1], -1)))  # (1)
    re, im = adaptive_frequency_mask(re, im, w1, b1, w2, b2, torch.relu, threshold)  # (2)
    return irfft2(re, im, (x.shape[-2], x.shape[-1])).flatten(1, 2)
