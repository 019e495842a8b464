"""What an adaptive frequency filter computes for some images: masks, kernels, how much they adapt.

    mask(b, c) = FFT(kernel(b, c))        the multiplier on the spectrum of image b, channel c  (1)
    adaptivity = sum_b |mask(b) - mean|^2 / sum_b |mask(b)|^2                                   (2)

(1) is Hermitian also in the columns 0 and W/2, where the half-spectrum of the mixer need not be:
only that part of it has an effect. (2) sums over images and frequencies; it is 0 for a filter that
is the same for each image, and 1 for masks that have nothing in common.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from spectralvision.mixers import AdaptiveFrequencyFilter


class FilterMasks(NamedTuple):
    """Masks and kernels of a filter for B images of C channels.

    Attributes:
        mask: (B, C, H, W) complex, zero frequency at [H // 2, W // 2].
        kernel: (B, C, H, W), its origin at [H // 2, W // 2]. The skip of the mixer is not part of
            either.
        zeroed: (B, C) fraction of the real and imaginary parts that the softshrink set to 0.
        groups: number of blocks of channels that share a matrix.
    """

    mask: Tensor
    kernel: Tensor
    zeroed: Tensor
    groups: int

    def adaptivity(self) -> Tensor:
        """Return the fraction (C,) of each channel's mask energy that varies by image, (2).

        It is NaN for one image, and where the mask is 0.
        """
        if len(self.mask) < 2:
            return torch.full((self.mask.shape[1],), torch.nan)
        varying = (self.mask - self.mask.mean(dim=0)).abs().square().sum(dim=(0, 2, 3))
        return varying / self.mask.abs().square().sum(dim=(0, 2, 3))

    def mean_adaptivity(self) -> float:
        """Return (2) with the energies of all channels added up."""
        if len(self.mask) < 2:
            return float("nan")
        varying = (self.mask - self.mask.mean(dim=0)).abs().square().sum()
        return float(varying / self.mask.abs().square().sum())

    def by_group(self) -> Tensor:
        """Return the mean amplitude (B, G, H, W) of the masks in each group of channels."""
        return self.mask.abs().unflatten(1, (self.groups, -1)).mean(dim=2)


@torch.no_grad()
def filter_masks(mixer: AdaptiveFrequencyFilter, x: Tensor) -> FilterMasks:
    """Return masks and kernels of a filter for its input x (B, C, H, W)."""
    re, im = mixer.mask(x)
    zeroed = torch.stack([re == 0, im == 0]).float().mean(dim=(0, 3, 4))
    kernel = mixer.kernel(x)
    mask = torch.fft.fft2(kernel)  # (1)
    return FilterMasks(
        torch.fft.fftshift(mask, dim=(-2, -1)).cpu(),
        torch.fft.fftshift(kernel, dim=(-2, -1)).cpu(),
        zeroed.cpu(),
        mixer.groups,
    )
