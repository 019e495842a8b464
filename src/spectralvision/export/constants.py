"""Weights of complex layers as real matrices, with rows and columns ordered (feature, part)."""

import numpy as np
import torch
from torch import Tensor

from spectralvision.ops.complex_linear import stacked_bias, stacked_matrix


def to_float(values: np.ndarray) -> Tensor:
    """Return a float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(values)).float()


def part_matrix(weight: Tensor) -> Tensor:
    """Return (1, G, 2 O, 2 I) of a complex weight (2, G, I, O)."""
    stacked = stacked_matrix(weight.detach())  # (G, 2 I, 2 O)
    groups, inputs, outputs = stacked.shape
    parts = stacked.view(groups, 2, inputs // 2, 2, outputs // 2)
    return parts.permute(0, 4, 3, 2, 1).reshape(1, groups, outputs, inputs).contiguous()


def part_bias(bias: Tensor) -> Tensor:
    """Return (1, G, 2 O, 1) of a complex bias (2, G, O)."""
    parts = stacked_bias(bias.detach()).unflatten(-1, (2, -1))  # (G, 1, 2, O)
    return parts.transpose(-2, -1).reshape(1, len(parts), -1, 1).contiguous()
