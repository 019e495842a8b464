"""MixToken (Jiang et al., 2021): two images mixed at the stem, their tokens unmixed before the loss.

A box on the grid of final tokens is drawn a batch, lambda ~ Beta(1, 1): sides int(H sqrt(1 - lambda)) and
int(W sqrt(1 - lambda)), centre uniform over the cells, clipped to the grid. Its image in the stem map, `scale` times
larger, is exchanged with that of the batch in reverse order; the tokens inside the box are swapped back at the end.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Box(NamedTuple):
    """Rows top .. bottom - 1 and columns left .. right - 1, in tokens."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)


class TokenLabelOutput(NamedTuple):
    """What a token-labelling loss needs.

    Attributes:
        logits: (B, classes), the class head alone; an image's target is mixed with that of the reversed batch by the
            box's share of the tokens.
        tokens: (B, N, classes), the auxiliary head on the N tokens in row-major order, swapped back.
        box: what was exchanged, in tokens; empty in evaluation mode.
    """

    logits: Tensor
    tokens: Tensor
    box: Box


EMPTY = Box(0, 0, 0, 0)


def sample_box(height: int, width: int) -> Box:
    """Draw a box on a grid of height x width tokens from torch's default generator."""
    cut = float(1 - torch.rand(())) ** 0.5  # sqrt(1 - lambda); Beta(1, 1) is uniform
    rows, columns = int(height * cut), int(width * cut)
    y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
    top, left = y - rows // 2, x - columns // 2
    return Box(max(top, 0), max(left, 0), min(top + rows, height), min(left + columns, width))


def exchange(maps: Tensor, box: Box, scale: int = 1) -> Tensor:
    """Maps (B, C, H, W) with the box, `scale` times larger, taken from the batch in reverse order."""
    if box.area == 0:
        return maps
    top, left, bottom, right = (scale * side for side in box)
    mixed = maps.clone()
    mixed[:, :, top:bottom, left:right] = maps.flip(0)[:, :, top:bottom, left:right]
    return mixed
