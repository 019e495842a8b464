"""Constant factors of spectral mixers, as real arrays."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectralvision.ops.complex_linear import stacked_bias, stacked_matrix

ProductForm = Literal["left", "right", "convolution"]


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


class LeftProduct(nn.Module):
    """A constant matrix (M, K) times the last two axes of (..., K, N), which makes (..., M, N).

    Attributes:
        form: How it is computed; which is fastest depends on the runtime. "left" is the product
            itself, "right" one with the transposed matrix on the right, and "convolution" one of
            K channels with a 1x1 kernel.
    """

    matrix: Tensor

    def __init__(self, matrix: np.ndarray, form: ProductForm = "left") -> None:
        super().__init__()
        self.register_buffer("matrix", to_float(matrix))
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "left":
            return self.matrix @ x
        if self.form == "right":
            return F.linear(x.transpose(-2, -1), self.matrix).transpose(-2, -1)
        maps = x.reshape(-1, x.shape[-2], 1, x.shape[-1])
        y = F.conv2d(maps, self.matrix[..., None, None])
        return y.reshape(*x.shape[:-2], *y.shape[1::2])
