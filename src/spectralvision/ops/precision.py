"""The precision of the spectral ops: float32 (float64 for float64 input), also inside autocast."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from spectralvision.ops.checks import check_real_maps


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype to compute in: float64 for float64, float32 for everything else."""
    return torch.float64 if dtype == torch.float64 else torch.float32


class _Depth(threading.local):
    """The number of contexts of `no_autocast` that have disabled autocast, in this thread."""

    value = 0


_DEPTH = _Depth()


def no_autocast(x: Tensor) -> AbstractContextManager:
    """Return a context that disables autocast on the device of `x`, if it is enabled there."""
    device = x.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return nullcontext()
    if torch.compiler.is_compiling():
        return torch.autocast(device, enabled=False)
    return _disable_autocast(device)


def autocast_was_left() -> bool:
    """Return whether a context of `no_autocast` has disabled autocast, in this thread."""
    return _DEPTH.value > 0


@contextmanager
def _disable_autocast(device: str) -> Iterator[None]:
    _DEPTH.value += 1
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        _DEPTH.value -= 1


def float32_island(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compute `function(x, *args)` in the working dtype, outside autocast.

    All tensors among the arguments are converted; the result has the dtype of x. Raises ValueError
    unless x are real maps (B, C, H, W).
    """

    @wraps(function)
    def run(x: Tensor, *args: Any) -> Tensor:
        check_real_maps(x, function.__name__, ndim=4)
        dtype = working_dtype(x.dtype)
        converted = [arg.to(dtype) if isinstance(arg, Tensor) else arg for arg in args]
        with no_autocast(x):
            return function(x.to(dtype), *converted).to(x.dtype)

    return run
