"""Adaptive frequency filter: the token mixer of AFFNet (Huang et al., ICCV 2023, arXiv 2307.14008).

The equations are in `ops/adaptive_frequency.py`; here are the parameters. Equation numbers refer to
that file.
"""

import torch
from torch import Tensor, nn

from spectralvision.ops.adaptive_frequency import (
    adaptive_frequency_filter,
    adaptive_frequency_mask,
)
from spectralvision.ops.checks import check_groups
from spectralvision.ops.fourier import irfft2, rfft2
from spectralvision.ops.precision import no_autocast, working_dtype
from spectralvision.ops.torchscript import reject_torchscript


class AdaptiveFrequencyFilter(nn.Module):
    """Global token mixing by an input-dependent mask on the spectrum, for maps of any size.

    Maps (B, C, H, W) to the same shape. Computed in float32 (float64 for float64 input), also under
    autocast; the result has the dtype of x.

    Args:
        dim: number of channels C, a multiple of `groups`.
        groups: number of blocks of the block-diagonal matrices W1 and W2.
        act_layer: activation between them (ReLU in the paper's figure, SiLU in the released runs).
        threshold: threshold of the softshrink, at least 0.
        inner_skip: whether to add x to the result, as the released code does.

    Raises:
        ValueError: dim is not a multiple of groups, or threshold < 0.
    """

    __prepare_scriptable__ = reject_torchscript

    def __init__(
        self,
        dim: int,
        groups: int = 8,
        act_layer: type[nn.Module] = nn.SiLU,
        threshold: float = 0.01,
        inner_skip: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_groups(dim, groups)
        if threshold < 0:
            raise ValueError(f"threshold must be at least 0, got {threshold}")
        self.dim = dim
        self.groups = groups
        self.threshold = threshold
        self.inner_skip = inner_skip
        width = dim // groups
        self.w1 = nn.Parameter(torch.empty(2, groups, width, width, device=device, dtype=dtype))
        self.b1 = nn.Parameter(torch.empty(2, groups, width, device=device, dtype=dtype))
        self.w2 = nn.Parameter(torch.empty(2, groups, width, width, device=device, dtype=dtype))
        self.b2 = nn.Parameter(torch.empty(2, groups, width, device=device, dtype=dtype))
        self.act = act_layer()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights and biases from a normal distribution of standard deviation 0.02."""
        for parameter in self.parameters(recurse=False):
            nn.init.normal_(parameter, std=0.02)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that take no weight decay: all of them."""
        return {"w1", "b1", "w2", "b2"}

    def forward(self, x: Tensor) -> Tensor:
        """Filter maps (B, C, H, W), equations (1) to (3)."""
        weights = (self.w1, self.b1, self.w2, self.b2)
        return adaptive_frequency_filter(x, *weights, self.act, self.threshold, self.inner_skip)

    def mask(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mask M of equation (2) for maps x: (re, im), each (B, C, H, W // 2 + 1)."""
        dtype = working_dtype(x.dtype)
        w1, b1 = self.w1.to(dtype), self.b1.to(dtype)
        w2, b2 = self.w2.to(dtype), self.b2.to(dtype)
        with no_autocast(x):
            re, im = rfft2(x.to(dtype).unflatten(1, (self.groups, -1)))  # (1)
            re, im = adaptive_frequency_mask(
                re, im, w1, b1, w2, b2, self.act, self.threshold
            )  # (2)
        return re.flatten(1, 2), im.flatten(1, 2)

    def kernel(self, x: Tensor) -> Tensor:
        """Return the kernel of equation (4) for maps x: (B, C, H, W), with its origin at [0, 0]."""
        height, width = x.shape[-2], x.shape[-1]
        with no_autocast(x):
            return irfft2(*self.mask(x), (height, width)) / (height * width) ** 0.5  # (4)

    def extra_repr(self) -> str:
        return (
            f"{self.dim}, groups={self.groups}, threshold={self.threshold}, "
            f"inner_skip={self.inner_skip}"
        )
