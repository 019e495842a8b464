"""MixToken (Jiang et al., 2021): mix two images at the stem, swap their tokens back at the end.

One box per batch is drawn on the grid of final tokens, lambda ~ Beta(1, 1): sides int(H sqrt(1 -
lambda)) and int(W sqrt(1 - lambda)), centre uniform over the cells, clipped to the grid. The
content of the corresponding box in the stem's map, `scale` times larger, is exchanged with that of
the batch in reverse order; the tokens inside the box are swapped back at the end.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Box(NamedTuple):
    """A box of tokens: rows top to bottom - 1, columns left to right - 1."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """Return the number of tokens."""
        return (self.bottom - self.top) * (self.right - self.left)


class TokenLabelOutput(NamedTuple):
    """The input of a token-labelling loss.

    Attributes:
        logits: (B, classes), of the class head alone; an image's target is mixed with that of the
            reversed batch by the fraction of tokens in the box.
        tokens: (B, N, classes), of the auxiliary head on the N tokens in row-major order, swapped
            back.
        box: the exchanged box, in tokens; empty in evaluation mode.
    """

    logits: Tensor
    tokens: Tensor
    box: Box


EMPTY = Box(0, 0, 0, 0)


def sample_box(height: int, width: int) -> Box:
    """Draw a box on a grid of height x width tokens from torch's default generator."""
    cut = float(1 - torch.rand(())) ** 0.5  # sqrt(1 - lambda); Beta(1, 1) is uniform
    rows, columns = int(height * cut), int(width * cut)
    y = int(torch.randint(height, ()))
    x = int(torch.randint(width, ()))
    top, left = y - rows // 2, x - columns // 2
    return Box(max(top, 0), max(left, 0), min(top + rows, height), min(left + columns, width))


def exchange(maps: Tensor, box: Box, scale: int = 1) -> Tensor:
    """Return maps (B, C, H, W) whose box, `scale` times larger, is that of the reversed batch."""
    if box.area == 0:
        return maps
    top, left, bottom, right = (scale * side for side in box)
    mixed = maps.clone()
    mixed[:, :, top:bottom, left:right] = maps.flip(0)[:, :, top:bottom, left:right]
    return mixed
