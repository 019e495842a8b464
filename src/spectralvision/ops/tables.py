"""Constant tables: DFT matrices, filter matrices, sample indices.

A table is built once in float64 by NumPy and cached per (arguments, dtype, device). Compilers and
exporters see it as a constant, not as the arithmetic that builds it, so no module has to own it as
a buffer.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, wraps
from operator import index

import numpy as np
import torch
from torch import Tensor


def table(build: Callable[..., np.ndarray]) -> Callable[..., Tensor]:
    """Turn `build(*args) -> array` into a cached `f(like, *args)` on the device of `like`.

    A float table takes the dtype of `like`, an integer table (indices) keeps its own. Arguments
    must be hashable; sizes are converted to plain integers, so that a compiled graph is
    specialised on them.
    """

    @lru_cache(maxsize=512)
    def make(dtype: torch.dtype, device: torch.device, *args: str | int) -> Tensor:
        def convert() -> Tensor:
            array = torch.from_numpy(np.ascontiguousarray(build(*args)))
            return array.to(device, dtype if array.is_floating_point() else None)

        # Tracers, fake tensors, transforms of torch.func and inference mode belong to a thread. A
        # cached table must outlive them, so another thread builds it.
        with ThreadPoolExecutor(1) as other_thread:
            return other_thread.submit(convert).result()

    @torch.compiler.allow_in_graph
    def constant(like: Tensor, *args: str | int) -> Tensor:
        return torch.ops.aten.lift_fresh(make(like.dtype, like.device, *args))

    @wraps(build)
    def lookup(like: Tensor, *args: str | int) -> Tensor:
        return constant(like, *[a if isinstance(a, str) else index(a) for a in args])

    return lookup
