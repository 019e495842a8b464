"""Let ops that reshape or transform their maps also take an empty batch."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])


def accept_empty_batch(function: F) -> F:
    """Run `function` on one image of zeros where its tensors have no image, and drop the result.

    Its batched arguments are positional, with the batch as the first axis, and so are its results.
    Gradients of an empty batch are zero for the weights.
    """

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or not _is_empty(args[0]):
            return function(*args, **kwargs)
        one_image: Any = [_add_image(arg) if _is_empty(arg) else arg for arg in args]
        out = function(*one_image, **kwargs)
        return out[:0] if isinstance(out, Tensor) else tuple(part[:0] for part in out)

    return cast(F, run)


def _is_empty(arg: Any) -> bool:
    return isinstance(arg, Tensor) and arg.ndim > 0 and arg.shape[0] == 0


def _add_image(x: Tensor) -> Tensor:
    return torch.cat([x, x.new_zeros(1, *x.shape[1:])])
