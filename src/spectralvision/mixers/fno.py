"""Fourier neural operator: the layer of FNO (Li et al., ICLR 2021, arXiv 2010.08895).

    y = W x + irfft2(R rfft2(x))                                                              (1)

R multiplies the low frequencies by learned matrices, see `ops/fourier_operator.py`; W is a 1x1
convolution. Here are the parameters.
"""

import torch
from torch import Tensor, nn

from spectralvision.ops.checks import check_groups, check_real_maps
from spectralvision.ops.fourier_operator import fourier_operator
from spectralvision.ops.torchscript import reject_torchscript


class FourierOperator(nn.Module):
    """Global token mixing by matrices on the low frequencies, for maps of any size.

    Maps (B, C, H, W) to the same shape. The product is computed in float32 (float64 for float64
    input), also under autocast; the result has the dtype of x.

    Args:
        dim: number of channels C, a multiple of `groups`.
        modes: number M of frequencies along each axis: columns 0 .. M - 1, rows -M .. M - 1.
        groups: number of blocks of the matrices, 1 in the paper.

    Raises:
        ValueError: dim is not a multiple of groups, or modes < 1.
    """

    __prepare_scriptable__ = reject_torchscript

    def __init__(
        self,
        dim: int,
        modes: int = 4,
        groups: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_groups(dim, groups)
        if modes < 1:
            raise ValueError(f"modes must be at least 1, got {modes}")
        self.dim, self.modes, self.groups = dim, modes, groups
        width = dim // groups
        self.weight = nn.Parameter(
            torch.empty(2, 2 * modes, modes, groups, width, width, device=device, dtype=dtype)
        )
        self.linear = nn.Conv2d(dim, dim, 1, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw R uniformly from 0 to 1 / (features in a block), as the authors do."""
        nn.init.uniform_(self.weight, 0, self.groups / self.dim)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that take no weight decay: R."""
        return {"weight"}

    def forward(self, x: Tensor) -> Tensor:
        """Mix maps (B, C, H, W), equation (1)."""
        check_real_maps(x, "FourierOperator", ndim=4)
        return self.linear(x) + fourier_operator(x, self.weight)  # (1)

    def extra_repr(self) -> str:
        return f"{self.dim}, modes={self.modes}, groups={self.groups}"
