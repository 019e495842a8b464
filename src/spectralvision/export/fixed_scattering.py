"""The scattering mixer for maps of one size, with all constants computed, for runtimes.

The same function as `ops/scattering.py`, in real products with constant matrices and without
tensors of more than five axes. Equation numbers are those of that file; (1) and (5) are those of
`ops/dtcwt_matmul.py` with odd sides extended and cropped by the matrices. The lowpass stays in the
order that the products along W give, columns (parity, w), as does its gain T. The orientations
stay in the order outer, inner, because (3) and (4) are the same for all of them.
Letters: B batch, C channels, G groups, H W rows and columns, h w = H/2 W/2, K = 6 orientations,
2 = (re, im).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectralvision.export.constants import (
    AxisProduct,
    pointwise_bias,
    pointwise_weight,
)
from spectralvision.mixers import ScatteringMixer
from spectralvision.ops.dtcwt_matrices import (
    HIGH,
    LOW,
    inner_rows,
    matrices,
    order_by_parity,
    outer_rows,
)

FILTERS = "near_sym_b"
OUTER, INNER = 2, 4
"""Orientations that are high along H only (15 and 165 degrees), and the others."""


class FixedScattering(nn.Module):
    """(B, C, H, W) -> the same, for one H and W.

    Args:
        module: The mixer.
        size: (H, W).
    """

    gain: Tensor
    m1: Tensor
    b1: Tensor
    m2: Tensor
    b2: Tensor
    v1_re: Tensor
    v1_im: Tensor
    c1: Tensor
    v2: Tensor
    c2: Tensor

    def __init__(self, module: ScatteringMixer, size: tuple[int, int]) -> None:
        super().__init__()
        self.mixing, self.size, self.groups = module.mixing, size, module.groups
        self.conv = module.conv if module.mixing == "channel_token" else None
        self.half_size: tuple[int, int] = (-(-size[0] // 2), -(-size[1] // 2))
        (rows, rows_back), (columns, columns_back) = (_matrices(side) for side in size)
        self.low_rows = AxisProduct(rows[LOW], axis=2)
        self.outer = AxisProduct(outer_rows(rows), axis=2)
        self.inner = AxisProduct(inner_rows(rows), axis=2)
        self.outer_back = AxisProduct(outer_rows(rows_back.transpose(0, 2, 1)).T, axis=2)
        self.inner_back = AxisProduct(inner_rows(rows_back.transpose(0, 2, 1)).T, axis=2)
        self.low_rows_back = AxisProduct(rows_back[LOW], axis=2)
        self.split_low = AxisProduct(order_by_parity(columns[LOW]).T, axis=3)
        self.split_high = AxisProduct(order_by_parity(columns[HIGH]).T, axis=3)
        self.join_low = AxisProduct(order_by_parity(columns_back[LOW].T), axis=3)
        self.join_high = AxisProduct(order_by_parity(columns_back[HIGH].T), axis=3)
        with torch.no_grad():
            weights = module.weights_for(size)
            gain = weights["gain"].unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)
            self.register_buffer("gain", gain.contiguous())  # columns (parity, w)
            for name in ("1", "2"):
                weight, bias = getattr(module, f"w{name}"), getattr(module, f"b{name}")
                self.register_buffer(f"m{name}", pointwise_weight(weight))
                self.register_buffer(f"b{name}", pointwise_bias(bias))
            if self.conv is not None:
                re, im = _row_matrix(weights["v1"]).chunk(2, dim=1)
                self.register_buffer("v1_re", re.contiguous())
                self.register_buffer("v1_im", im.contiguous())
                self.register_buffer("c1", _row_bias(weights["c1"]))
                self.register_buffer("v2", _row_matrix(weights["v2"]))
                self.register_buffer("c2", _row_bias(weights["c2"]))

    def forward(self, x: Tensor) -> Tensor:
        if self.conv is None:
            return self.scatter(x)
        local, spectral = x.chunk(2, dim=1)
        mixed = torch.stack([self.conv(local), self.scatter(spectral)], dim=2)
        return mixed.flatten(1, 2)

    def scatter(self, x: Tensor) -> Tensor:
        """Apply the equations to (B, C, H, W)."""
        batch, channels = x.shape[:2]
        h, w = self.half_size

        # (1): columns (parity, w), then rows (part, orientation, h) of what is read as 2 H rows
        low_columns, high_columns = self.split_low(x), self.split_high(x)
        low = self.low_rows(low_columns)
        outer = self.outer(low_columns.reshape(batch, channels, -1, w))
        inner = self.inner(high_columns.reshape(batch, channels, -1, w))
        parts = [one.reshape(batch * channels, 2, -1, h * w) for one in (outer, inner)]
        d = torch.cat(parts, dim=2)  # (B C, 2, K, h w)

        low = low * self.gain  # (2)
        d = d.reshape(batch, 2 * channels, OUTER + INNER, h * w)
        d = F.conv2d(d, self.m1, self.b1, groups=self.groups).relu()
        d = F.conv2d(d, self.m2, self.b2, groups=self.groups)  # (3)
        d = d.reshape(batch * channels, 2, OUTER + INNER, h * w)
        if self.conv is not None:
            re, im = (one.reshape(-1, h, w).transpose(0, 1) for one in d.unbind(1))
            rows = (re @ self.v1_re + im @ self.v1_im + self.c1).relu()  # (h, B C K, 2 w)
            rows = rows @ self.v2 + self.c2  # (4)
            maps = (-1, OUTER + INNER, h * w)
            parts = [one.transpose(0, 1).reshape(maps) for one in rows.chunk(2, dim=-1)]
            d = torch.stack(parts, dim=1)

        # (5)
        shape = (batch, channels, -1, w)
        outer, inner = (one.reshape(shape) for one in d.split([OUTER, INNER], dim=2))
        low_columns = self.outer_back(outer).reshape(*x.shape[:3], 2 * w)
        low_columns = low_columns + self.low_rows_back(low)
        high_columns = self.inner_back(inner).reshape(*x.shape[:3], 2 * w)
        return self.join_low(low_columns) + self.join_high(high_columns)


def _matrices(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return analysis and synthesis along an axis; an odd side is extended by its last sample."""
    even = side + side % 2
    analysis, synthesis = matrices(even, FILTERS)
    extend = np.eye(even)[:, :side]
    extend[side:, -1] = 1
    return analysis @ extend, synthesis[:, :side]


def _row_matrix(weight: Tensor) -> Tensor:
    """Return V (h, 2 w, 2 w) of a weight (2, h, w, w), for rows (part, w)."""
    re, im = weight.detach().unbind(0)
    return torch.cat([torch.cat([re, im], dim=-1), torch.cat([-im, re], dim=-1)], dim=-2)


def _row_bias(bias: Tensor) -> Tensor:
    """Return c (h, 1, 2 w) of a bias (2, h, w)."""
    return torch.cat(bias.detach().unbind(0), dim=-1).unsqueeze(1)
