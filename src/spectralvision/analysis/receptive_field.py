"""The effective receptive field: which pixels the middle of the last feature map depends on.

    E(p) = mean over images of sum_c |d y_c / d x(p)|^2                                         (1)

y are the features at the middle position. The sum over them is taken as the mean over random signs
s of |d (s . y) / d x(p)|^2, one draw an image; the colors of a pixel are added up.
Source: Luo et al., Understanding the effective receptive field, NeurIPS 2016.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

FRACTIONS = (0.5, 0.95)


class ReceptiveField(NamedTuple):
    """Energy of the gradient at each pixel of the input, its sum being 1.

    Attributes:
        energy: (H, W).
        areas: for each fraction of the energy the smallest number of pixels that hold it.
    """

    energy: Tensor
    areas: dict[float, int]


def effective_receptive_field(
    features: Callable[[Tensor], Tensor],
    images: Tensor,
) -> ReceptiveField:
    """Return the effective receptive field, equation (1).

    Args:
        features: From an image (1, 3, H, W) to maps (1, C, h, w), differentiable.
        images: (B, 3, H, W), over which is averaged.

    Raises:
        ValueError: The features do not depend on the image.
    """
    energy = torch.zeros(images.shape[-2:], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for image in images:
        x = image[None].detach().requires_grad_()
        with torch.enable_grad():
            maps = features(x)
            y = maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2]
            signs = torch.randint(0, 2, y.shape, generator=generator).to(y) * 2 - 1
            (gradient,) = torch.autograd.grad((signs * y).sum(), x)
        energy += gradient[0].double().square().sum(dim=0).cpu()  # (1)
    total = energy.sum()
    if not total > 0:
        raise ValueError("the features do not depend on the image: their gradient is 0")
    energy /= total
    return ReceptiveField(energy, {one: count_pixels(energy, one) for one in FRACTIONS})


def count_pixels(energy: Tensor, fraction: float) -> int:
    """Return the smallest number of pixels that hold a fraction of the energy, whose sum is 1."""
    held = energy.flatten().sort(descending=True).values.cumsum(0)
    return int((held < fraction * (1 - 1e-9)).sum()) + 1
