"""Constant factors of spectral mixers, as real arrays."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectralvision.ops.complex_linear import stacked_bias, stacked_matrix

ProductForm = Literal["direct", "right", "columns", "channels"]


def to_float(values: np.ndarray) -> Tensor:
    """Return a float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(values)).float()


def pointwise_weight(weight: Tensor) -> Tensor:
    """Return a complex weight (2, G, I, O) as that of a 1x1 convolution with G groups.

    Returns:
        (2 G O, 2 I, 1, 1), channels ordered (group, feature, part).
    """
    stacked = stacked_matrix(weight.detach())  # (G, 2 I, 2 O)
    groups, inputs, outputs = stacked.shape
    parts = stacked.view(groups, 2, inputs // 2, 2, outputs // 2)
    return parts.permute(0, 4, 3, 2, 1).reshape(groups * outputs, inputs, 1, 1).contiguous()


def pointwise_bias(bias: Tensor) -> Tensor:
    """Return (2 G O) of a complex bias (2, G, O), channels ordered (group, feature, part)."""
    return stacked_bias(bias.detach()).unflatten(-1, (2, -1)).transpose(-2, -1).flatten()


class AxisProduct(nn.Module):
    """The product of maps (B, C, H, W) with a constant matrix along H or W.

    Args:
        matrix: (M, H) for a product along H, from the left; (W, M) for one along W, from the right.
        axis: 2 for H, or 3 for W.

    Attributes:
        form: How it is computed; which is fastest depends on the runtime.
            "direct": matrix @ x along H, x @ matrix along W.
            "right": from the right also along H, on transposed maps.
            "columns": along H as a 1x1 convolution with the rows of each map as its channels.
            "channels": as a 1x1 convolution, with the axis exchanged for the channels.
    """

    matrix: Tensor

    def __init__(self, matrix: np.ndarray, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.form: ProductForm = "direct"
        self.register_buffer("matrix", to_float(matrix))

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "channels":
            weight = self.matrix if self.axis == 2 else self.matrix.T
            y = F.conv2d(x.transpose(1, self.axis), weight[..., None, None])
            return y.transpose(1, self.axis)
        if self.axis == 3:
            return x @ self.matrix
        if self.form == "direct":
            return self.matrix @ x
        if self.form == "right":
            return F.linear(x.transpose(2, 3), self.matrix).transpose(2, 3)
        maps = x.reshape(-1, x.shape[2], 1, x.shape[3])
        y = F.conv2d(maps, self.matrix[..., None, None])
        return y.reshape(*x.shape[:2], *y.shape[1::2])
