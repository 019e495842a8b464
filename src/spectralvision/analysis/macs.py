"""Count the multiply-adds of a model, in full, on the meta device.

Counted, one multiply-add = 1: convolutions, linear layers, attention products, block-diagonal
products, and transforms in the form that runs: a matrix form by its products, an FFT of n real
points as n log2(n), of n complex points as 2 n log2(n). Norms, activations, additions and pointwise
products are not counted. Published counts made with hooks leave out everything that is not a
module; the model files state them beside these.
"""

from copy import deepcopy
from math import log2, prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_macs(model: nn.Module, input_size: tuple[int, int, int] = (3, 224, 224)) -> int:
    """Return the multiply-adds of one image in evaluation mode; the model is not changed.

    Args:
        model: Any model that runs on the meta device.
        input_size: (C, H, W) of the image.
    """
    copy = deepcopy(model).to("meta").eval()
    counter = FlopCounterMode(display=False, custom_mapping=FFT_FLOPS)
    with counter, torch.no_grad():
        copy(torch.empty(1, *input_size, device="meta"))
    return counter.get_total_flops() // 2


def _fft_flops(components: int):  # type: ignore[no-untyped-def]
    """Return a function that counts the FLOPs, twice the multiply-adds, of an FFT along `dim`.

    `components` is 1 for a transform between real and complex points, 2 for complex points only.
    """

    def flops(in_shape: Any, dim: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
        shape = out_shape if prod(out_shape) > prod(in_shape) else in_shape
        length = prod(shape[axis] for axis in dim)
        return round(2 * components * prod(shape) * log2(max(length, 1)))

    return flops


FFT_FLOPS: dict[Any, Any] = {
    torch.ops.aten._fft_r2c: _fft_flops(1),
    torch.ops.aten._fft_c2r: _fft_flops(1),
    torch.ops.aten._fft_c2c: _fft_flops(2),
}
"""How to count the transforms, for `FlopCounterMode`."""
