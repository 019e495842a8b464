"""Global and dynamic filters for maps of one size, with all constants computed, for runtimes.

The same functions as `ops/global_filter.py` and `ops/dynamic_filter.py`, in real products with
constant matrices, without tensors of more than four axes. Spectra have their parts (re, im) one
after the other.
Letters: B batch, C channels, F spectra, H W rows and columns, U V frequencies, 2 = (re, im).
"""

from typing import Any

import torch
from torch import Tensor, nn

from spectralvision.export.fixed_transforms import build_transform, multiply_parts
from spectralvision.mixers import DynamicFilter, GlobalFilter


class FixedGlobalFilter(nn.Module):
    """(B, C, H, W) -> the same, for one H and W.

    Args:
        module: The filter.
        size: (H, W).
    """

    weight: Tensor

    def __init__(self, module: GlobalFilter, size: tuple[int, int]) -> None:
        super().__init__()
        self.transform = build_transform(size)
        with torch.no_grad():
            weight = module.weights_for(size)["weight"].float()
            self.register_buffer("weight", weight.transpose(0, 1).flatten(1).clone())  # (C, 2 U V)

    def forward(self, x: Tensor) -> Tensor:
        return self.transform.inverse(multiply_parts(self.weight, self.transform.forward(x)))


class FixedMixture(nn.Module):
    """Maps (B, C, H, W), filtered by mixtures of spectra with weights (B, C, F) -> the same.

    Args:
        spectra: (2, F, H, W // 2 + 1).
        size: (H, W).
    """

    spectra: Tensor

    def __init__(self, spectra: Tensor, size: tuple[int, int]) -> None:
        super().__init__()
        self.transform = build_transform(size)
        self.register_buffer("spectra", spectra.float().transpose(0, 1).flatten(1).clone())

    def forward(self, z: Tensor, weights: Tensor) -> Tensor:
        k = weights @ self.spectra  # (B, C, 2 U V)
        return self.transform.inverse(multiply_parts(k, self.transform.forward(z)))


class FixedDynamicFilter(nn.Module):
    """(B, C, H, W) -> the same, for one H and W; the mixture of the spectra stays computed.

    Args:
        module: The filter.
        size: (H, W).
    """

    def __init__(self, module: DynamicFilter, size: tuple[int, int]) -> None:
        super().__init__()
        self.num_filters = module.num_filters
        self.mixture: Any = module.mixture
        self.expand, self.act, self.project = module.expand, module.act, module.project
        with torch.no_grad():
            self.filter = FixedMixture(module.weights_for(size)["spectra"], size)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.mixture(x.mean(dim=(2, 3))).unflatten(1, (self.num_filters, -1))
        weights = weights.softmax(dim=1).transpose(1, 2)  # (B, C', F)
        return self.project(self.filter(self.act(self.expand(x)), weights))
