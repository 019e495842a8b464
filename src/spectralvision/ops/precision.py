"""The precision of the spectral ops: float32 (float64 for float64 input), also inside autocast."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype to compute in: float64 for float64, float32 for everything else."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def no_autocast(x: Tensor) -> AbstractContextManager:
    """Return a context that disables autocast on the device of `x`, if it is enabled there."""
    device = x.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


def float32_island(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compute `function(x, *args)` in the working dtype, outside autocast.

    All tensors among the arguments are converted; the result has the dtype of x.
    """

    @wraps(function)
    def run(x: Tensor, *args: Any) -> Tensor:
        dtype = working_dtype(x.dtype)
        converted = [arg.to(dtype) if isinstance(arg, Tensor) else arg for arg in args]
        with no_autocast(x):
            return function(x.to(dtype), *converted).to(x.dtype)

    return run
