"""The loss along a line through the weights of a network.

    L(a) = loss(w + a d),        d_f = g_f |w_f| / |g_f|                                        (1)

g is a random direction, scaled filter by filter: f is a row of a matrix or an output channel of a
convolution. Norms, biases and other weights with one axis stay as they are.
Source: Li et al., Visualizing the loss landscape of neural nets, NeurIPS 2018.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import nn

STEPS = tuple(step / 10 for step in range(-10, 11))


@torch.no_grad()
def loss_along_line(
    model: nn.Module,
    loss: Callable[[nn.Module], float],
    steps: Sequence[float] = STEPS,
    seed: int = 0,
) -> list[float]:
    """Return the loss at each step along a random direction, equation (1).

    Args:
        model: Not changed.
        loss: Of a network with other weights, the same images at each call.
        steps: Values of a; 0 is the network itself.
        seed: Of the direction.
    """
    copy = deepcopy(model).eval()
    generator = torch.Generator().manual_seed(seed)
    moved = [one for one in copy.parameters() if one.ndim > 1]
    start = [one.clone() for one in moved]
    direction = [_scaled_direction(one, generator) for one in moved]
    found = []
    for step in steps:
        for parameter, weight, change in zip(moved, start, direction, strict=True):
            parameter.copy_(weight + step * change)
        found.append(loss(copy))
    return found


def _scaled_direction(weight: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return a random direction in which each filter is as long as that of the weight, (1)."""
    g = torch.randn(weight.shape, generator=generator).to(weight)
    lengths = [one.flatten(1).norm(dim=1) for one in (weight, g)]
    ratio = lengths[0] / lengths[1].clamp(min=1e-12)
    return g * ratio.view(-1, *[1] * (weight.ndim - 1))  # (1)
