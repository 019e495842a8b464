"""Multiply-adds of a network, counted in full on the meta device.

Counted, one multiply-add = 1: convolutions, linear layers, attention products, block-diagonal products, and transforms
as the form that runs: a matrix form by its products, an FFT of n real points as n log2(n), of n complex points as
2 n log2(n). Norms, activations, additions and pointwise products are not counted. Published figures of hook-style
counters leave out whatever is no module; the model files state them beside these.
"""

from copy import deepcopy
from math import log2, prod

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_macs(model: nn.Module, input_size: tuple[int, int, int] = (3, 224, 224)) -> int:
    """Multiply-adds of one image of `input_size` (C, H, W) in evaluation mode; the model is left as it is."""
    twin = deepcopy(model).to("meta").eval()
    custom = {
        torch.ops.aten._fft_r2c: _fft_flops(1),
        torch.ops.aten._fft_c2r: _fft_flops(1),
        torch.ops.aten._fft_c2c: _fft_flops(2),
    }
    counter = FlopCounterMode(display=False, custom_mapping=custom)
    with counter, torch.no_grad():
        twin(torch.empty(1, *input_size, device="meta"))
    return counter.get_total_flops() // 2


def _fft_flops(parts: int):  # type: ignore[no-untyped-def]
    """FLOPs, twice the multiply-adds, of a transform of real (1 part) or complex (2 parts) points along `dim`."""

    def flops(in_shape, dim, *args, out_shape=None, **kwargs) -> int:  # type: ignore[no-untyped-def]
        shape = out_shape if prod(out_shape) > prod(in_shape) else in_shape
        length = prod(shape[axis] for axis in dim)
        return round(2 * parts * prod(shape) * log2(max(length, 1)))

    return flops
