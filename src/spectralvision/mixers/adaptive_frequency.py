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

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectralvision.ops import irfft2, rfft2
from spectralvision.ops.complex_linear import stacked_bias, stacked_matrix
from spectralvision.ops.fourier import fourier_filter
from spectralvision.ops.portions import in_portions_of_groups
from spectralvision.ops.tables import no_autocast, working_dtype

SAMPLES = 160 << 10  # of a batch that are worked on at a time: 640 KiB in float32, and what comes of them


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
        dtype = working_dtype(x.dtype)
        with no_autocast(x):
            mask = self._mask_network(dtype)

            def mixed(x: Tensor, groups: slice) -> Tensor:
                z = x.to(dtype)
                spectral = z.unflatten(1, (groups.stop - groups.start, -1))
                y = fourier_filter(spectral, lambda re, im: mask(re, im, groups)).flatten(1, 2)  # (1) (2) (3)
                return (y.add_(z) if self.inner_skip else y).to(x.dtype)

            return in_portions_of_groups(mixed, x, self.groups, SAMPLES, self)

    def mask(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mask M of equation (2) for maps x (B, C, H, W): (re, im), each (B, C, H, W // 2 + 1)."""
        dtype = working_dtype(x.dtype)
        with no_autocast(x):
            spectrum = rfft2(x.to(dtype).unflatten(1, (self.groups, -1)))
            re, im = self._mask_network(dtype)(*spectrum, slice(0, self.groups))
        return re.flatten(1, 2), im.flatten(1, 2)

    def kernel(self, x: Tensor) -> Tensor:
        """The spatial twin of the mask, equation (4), for maps x (B, C, H, W): (B, C, H, W), its origin at [0, 0]."""
        height, width = _size(x)
        with no_autocast(x):
            return irfft2(*self.mask(x), (height, width)) / (height * width) ** 0.5  # (4)

    def _mask_network(self, dtype: torch.dtype) -> Callable[[Tensor, Tensor, slice], tuple[Tensor, Tensor]]:
        """Equation (2) as a function of the spectrum (re, im) of some groups, each (B, groups, C / G, U, V)."""
        (b1, w1), (b2, w2) = (
            (stacked_bias(bias.to(dtype)).mT, stacked_matrix(weight.to(dtype)).mT)
            for weight, bias in ((self.w1, self.b1), (self.w2, self.b2))
        )

        def mask(re: Tensor, im: Tensor, groups: slice) -> tuple[Tensor, Tensor]:
            z = torch.cat([part.permute(1, 2, 0, 3, 4) for part in (re, im)], dim=1)
            places = z.shape[2:]  # (B, U, V): all frequencies of all images share the weights
            z = self.act(torch.baddbmm(b1[groups], w1[groups], z.flatten(2)))  # (G, 2C / G, B U V)
            z = F.softshrink(torch.baddbmm(b2[groups], w2[groups], z), self.threshold)
            mask_re, mask_im = z.unflatten(2, places).permute(2, 0, 1, 3, 4).chunk(2, dim=2)
            return mask_re, mask_im

        return mask

    def extra_repr(self) -> str:
        return f"{self.dim}, groups={self.groups}, threshold={self.threshold}, inner_skip={self.inner_skip}"


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]
