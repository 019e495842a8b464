"""Adaptive frequency filter: the token mixer of AFFNet (Huang et al., ICCV 2023, arXiv 2307.14008).

    X = rfft2(x)                                                                                         (1)
    M = softshrink(W2 act(W1 X + b1) + b2, threshold)          the mask, one matrix for all frequencies  (2)
    y = irfft2(M * X) + x                                                                                (3)

W1, W2 are complex and block diagonal over the channels; act and softshrink take real and imaginary part apart. By the
convolution theorem (3) is a circular convolution of x with an input-dependent kernel as large as x,

    y = kernel (*) x + x,        kernel = irfft2(M) / sqrt(H W)                                          (4)

The skip in (3) is in the authors' code, not in the paper's figure: `inner_skip=False` leaves it out.
Letters: B batch, C channels, H W rows and columns, U V frequencies, G groups.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectralvision.ops import complex_linear, irfft2, rfft2
from spectralvision.ops.tables import no_autocast, working_dtype


class AdaptiveFrequencyFilter(nn.Module):
    """Global token mixing by an input-dependent mask on the spectrum, (B, C, H, W) -> (B, C, H, W), any H and W.

    Computed in float32 (float64 for float64 input), under autocast, too; the result has the dtype of x.

    Args:
        dim: channels C, a multiple of `groups`.
        groups: blocks of the block-diagonal W1 and W2.
        act_layer: activation between them (the figure has ReLU, the released runs SiLU).
        threshold: of the softshrink, at least 0.
        inner_skip: add x, as the released code does.

    Raises:
        ValueError: dim is no multiple of groups, or threshold < 0.
    """

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
        if groups < 1 or dim < 1 or dim % groups:
            raise ValueError(f"dim is a multiple of groups, got dim={dim} and groups={groups}")
        if threshold < 0:
            raise ValueError(f"threshold is at least 0, got {threshold}")
        self.dim, self.groups, self.threshold, self.inner_skip = dim, groups, threshold, inner_skip
        width = dim // groups
        self.w1 = nn.Parameter(torch.empty(2, groups, width, width, device=device, dtype=dtype))
        self.b1 = nn.Parameter(torch.empty(2, groups, width, device=device, dtype=dtype))
        self.w2 = nn.Parameter(torch.empty(2, groups, width, width, device=device, dtype=dtype))
        self.b2 = nn.Parameter(torch.empty(2, groups, width, device=device, dtype=dtype))
        self.act = act_layer()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for parameter in self.parameters(recurse=False):
            nn.init.normal_(parameter, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W), equations (1) to (3)."""
        with no_autocast(x):
            z = x.to(working_dtype(x.dtype))
            re, im = rfft2(z)  # (1)
            mask_re, mask_im = self._mask(re, im)  # (2)
            y = irfft2(mask_re * re - mask_im * im, mask_re * im + mask_im * re, _size(x))  # (3)
            return (y + z if self.inner_skip else y).to(x.dtype)

    def mask(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mask M of equation (2) for maps x (B, C, H, W): (re, im), each (B, C, H, W // 2 + 1)."""
        with no_autocast(x):
            return self._mask(*rfft2(x.to(working_dtype(x.dtype))))

    def kernel(self, x: Tensor) -> Tensor:
        """The spatial twin of the mask, equation (4), for maps x (B, C, H, W): (B, C, H, W), its origin at [0, 0]."""
        height, width = _size(x)
        with no_autocast(x):
            return irfft2(*self.mask(x), (height, width)) / (height * width) ** 0.5  # (4)

    def _mask(self, re: Tensor, im: Tensor) -> tuple[Tensor, Tensor]:
        dtype, sizes = re.dtype, (self.groups, self.dim // self.groups)
        lead = (re.shape[0], *re.shape[-2:])
        # (B, C, U, V) -> (G, C / G, B U V): all frequencies of all images share the weights
        re, im = (part.unflatten(1, sizes).permute(1, 2, 0, 3, 4).flatten(2) for part in (re, im))
        re, im = complex_linear(re, im, self.w1.to(dtype), self.b1.to(dtype))
        re, im = complex_linear(self.act(re), self.act(im), self.w2.to(dtype), self.b2.to(dtype))
        re, im = (F.softshrink(part, self.threshold).unflatten(2, lead) for part in (re, im))
        return re.permute(2, 0, 1, 3, 4).flatten(1, 2), im.permute(2, 0, 1, 3, 4).flatten(1, 2)

    def extra_repr(self) -> str:
        return f"{self.dim}, groups={self.groups}, threshold={self.threshold}, inner_skip={self.inner_skip}"


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]
