"""Choose between an op in plain PyTorch and its Triton kernel, from a table of measurements.

A kernel runs where `FASTER_FROM_ELEMENTS` has an entry for the op, the device and the dtype and the
input is at least that large, provided that the kernel supports the arguments. It computes in the
dtype of x with float32 sums, whereas the plain op computes in float32 throughout.
"""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

# (op, device name, dtype) -> elements of x from which the kernel is faster than the compiled op,
# measured by benchmarks/gpu_kernels.py. Empty until that has run on a GPU, so no kernel is chosen.
FASTER_FROM_ELEMENTS: dict[tuple[str, str, torch.dtype], int] = {}


def with_kernel(module: str) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Run the kernel of an op where it was measured to be faster, otherwise the op itself.

    Args: module: name of the module with the kernel, imported on first use because it needs
    Triton. It has a function with the name and the arguments of the op, and `supports(*args) ->
    bool`.
    """

    def decorate(op: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @wraps(op)
        def run(x: Tensor, *args: Any) -> Tensor:
            if kernel_is_faster(op.__name__, x):
                kernels = import_module(module)
                if kernels.supports(x, *args) and not is_transformed(x, *args):
                    return getattr(kernels, op.__name__)(x, *args)
            return op(x, *args)

        return run

    return decorate


def kernel_is_faster(op: str, x: Tensor) -> bool:
    """Return whether the table lists the kernel of `op` as faster on the device and size of x."""
    if not FASTER_FROM_ELEMENTS or not isinstance(x, Tensor):
        return False
    if torch.compiler.is_exporting() or torch.jit.is_tracing():
        return False  # an exported program runs without Triton
    least = FASTER_FROM_ELEMENTS.get((op, device_name(x.device), x.dtype))
    return least is not None and x.numel() >= least


def is_transformed(*args: Any) -> bool:
    """Return whether one of the tensors has a tangent, or is wrapped by a transform of torch.func.

    Kernels are differentiable in reverse mode only; a wrapped tensor has no storage.
    """
    if torch.compiler.is_compiling():
        return False
    for value in args:
        if not isinstance(value, Tensor):
            continue
        if forward_ad.unpack_dual(value).tangent is not None:
            return True
        try:
            value.data_ptr()
        except RuntimeError:
            return True
    return False


@torch.compiler.assume_constant_result
def device_name(device: torch.device) -> str:
    """Return the name of a GPU, e.g. "NVIDIA H100 80GB HBM3", or the type of another device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
