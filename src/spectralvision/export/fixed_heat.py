"""Heat conduction for maps of one size, with all constants computed, for runtimes.

The same function as `mixers/heat_conduction.py`; the cosine transforms are products along each
axis, and the decay of each frequency is a constant.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectralvision.export.constants import AxisProduct
from spectralvision.mixers import HeatConduction
from spectralvision.ops.cosine import cosine_matrix


class FixedHeat(nn.Module):
    """Maps (B, C, H, W) after conducting heat -> the same.

    Args:
        decay: Of each frequency, (C, H, W).
    """

    decay: Tensor

    def __init__(self, decay: Tensor) -> None:
        super().__init__()
        height, width = (cosine_matrix(side) for side in decay.shape[1:])
        self.rows, self.rows_back = AxisProduct(width.T, axis=3), AxisProduct(width, axis=3)
        self.columns, self.columns_back = AxisProduct(height, axis=2), AxisProduct(height.T, axis=2)
        self.register_buffer("decay", decay.float().clone())

    def forward(self, z: Tensor) -> Tensor:
        a = self.columns(self.rows(z)) * self.decay
        return self.rows_back(self.columns_back(a))


class FixedHeatConduction(nn.Module):
    """(B, C, H, W) -> the same, for one H and W.

    Args:
        module: The mixer.
        size: (H, W).
        embedding: Of the frequencies, (C, H, W), if the mixer has none of its own.
    """

    def __init__(
        self, module: HeatConduction, size: tuple[int, int], embedding: Tensor | None = None
    ) -> None:
        super().__init__()
        self.conv, self.linear = module.conv, module.linear
        self.norm, self.project = module.norm, module.project
        with torch.no_grad():
            self.heat = FixedHeat(module.decay_for(size, embedding))

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Mix maps (B, C, H, W); the embedding is in the constants."""
        z, g = self.linear(self.conv(x)).chunk(2, dim=1)
        return self.project(self.norm(self.heat(z)) * F.silu(g))
