"""Constant tables (DFT matrices, filter matrices, sample indices) and the precision that the spectral ops work in.

A table is built once in float64 by NumPy and kept per (arguments, dtype, device). Compilers and exporters see it as a
constant, never as the arithmetic that made it, so no module has to own it as a buffer.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, wraps
from operator import index

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes


def table(build: Callable[..., np.ndarray]) -> Callable[..., Tensor]:
    """Turn `build(*args) -> array` into `f(like, *args) -> Tensor` on the device of `like`, cached.

    A float table takes the dtype of `like`, an integer table (indices) keeps its own. Arguments must be hashable;
    sizes are made plain integers, so that a compiled graph is specialised on them.
    """

    @lru_cache(maxsize=512)
    def make(dtype: torch.dtype, device: torch.device, *args: str | int) -> Tensor:
        # Real memory even under export's fake tensors, and usable by autograd even if first asked for in inference.
        with _disable_current_modes(), torch.inference_mode(False):
            array = torch.from_numpy(np.ascontiguousarray(build(*args)))
            return array.to(device, dtype if array.is_floating_point() else None)

    @torch.compiler.allow_in_graph
    def constant(like: Tensor, *args: str | int) -> Tensor:
        return torch.ops.aten.lift_fresh(make(like.dtype, like.device, *args))

    @wraps(build)
    def lookup(like: Tensor, *args: str | int) -> Tensor:
        return constant(like, *[a if isinstance(a, str) else index(a) for a in args])

    return lookup


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 stays float64; everything else is computed in float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def no_autocast(x: Tensor) -> AbstractContextManager:
    """The explicit float32 island: autocast off on the device of `x`, where it is on."""
    kind = x.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def check_real_maps(x: Tensor, name: str, ndim: int | None = None) -> None:
    """Raise ValueError unless `x` is real, of at least two (or exactly `ndim`) axes, and its maps are not empty."""
    if not x.is_floating_point():
        raise ValueError(f"{name} takes real floating-point tensors, got {x.dtype}: convert first, e.g. x.float()")
    if x.ndim < 2 or (ndim is not None and x.ndim != ndim):
        wanted = f"{ndim} axes" if ndim else "at least two axes (..., H, W)"
        raise ValueError(f"{name} takes a tensor of {wanted}, got shape {tuple(x.shape)}")
    if x.shape[-1] == 0 or x.shape[-2] == 0:
        raise ValueError(f"{name} takes maps of at least 1 x 1 samples, got shape {tuple(x.shape)}")
