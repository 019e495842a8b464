"""The adaptive frequency filter for maps of one size, with all constants computed, for runtimes.

The same function as `ops/adaptive_frequency.py`, in real products with constant matrices. The
parts (re, im) of a channel's spectrum stand next to each other, so that no product needs a copy in
another order, and no tensor has more than four axes:

    z = F x                                               the spectrum, parts (re, im)        (1)
    m = softshrink(M2 act(M1 z + b1) + b2)                the mask                            (2)
    p = (m_re z_re - m_im z_im,  m_re z_im + m_im z_re)                                       (3)
    y = F' p + x                                                                              (4)

F and F' are those of `fixed_transforms.py`. M and b are those of `ops/complex_linear.py` as 1x1
convolutions, channels ordered (group, feature, part).
Letters: B batch, C channels, G groups, H W rows and columns, U V frequencies, 2 = (re, im).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectralvision.export.constants import pointwise_bias, pointwise_weight
from spectralvision.export.fixed_transforms import build_transform, multiply_parts
from spectralvision.mixers import AdaptiveFrequencyFilter


class FixedFilter(nn.Module):
    """(B, C, H, W) -> the same, for one H and W.

    Args:
        module: The filter.
        size: (H, W).
    """

    m1: Tensor
    b1: Tensor
    m2: Tensor
    b2: Tensor

    def __init__(self, module: AdaptiveFrequencyFilter, size: tuple[int, int]) -> None:
        super().__init__()
        self.size, self.groups = size, module.groups
        self.act: Any = module.act
        self.threshold, self.inner_skip = module.threshold, module.inner_skip
        self.transform = build_transform(size)
        with torch.no_grad():
            self.register_buffer("m1", pointwise_weight(module.w1))
            self.register_buffer("b1", pointwise_bias(module.b1))
            self.register_buffer("m2", pointwise_weight(module.w2))
            self.register_buffer("b2", pointwise_bias(module.b2))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        z = self.transform.forward(x)  # (1): (B, C, 2 U V)
        m = z.reshape(batch, 2 * channels, self.size[0], -1)  # (B, 2 C, U, V)
        m = self.act(F.conv2d(m, self.m1, self.b1, groups=self.groups))
        m = F.conv2d(m, self.m2, self.b2, groups=self.groups)
        m = m - m.clamp(-self.threshold, self.threshold)  # (2)
        p = multiply_parts(m.reshape(batch, channels, -1), z)  # (3)
        y = self.transform.inverse(p)
        return y + x if self.inner_skip else y  # (4)
