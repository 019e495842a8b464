"""A few images at a time: on a CPU, what lies between the first and the last step of a part then stays in the cache.

A large batch writes every intermediate result to fresh memory, which costs more than the arithmetic of a spectral part.
Where nothing is kept for a gradient, the images of a batch can go through the whole part one after the other instead.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def in_portions(part: Callable[[Tensor], Tensor], x: Tensor, samples: int) -> Tensor:
    """part(x) of images x (B, ...) that do not depend on each other, some at a time on a CPU without gradients.

    Args:
        part: Gives a tensor (B, ...), for maps either contiguous or with channels last in memory.
        x: The images.
        samples: Of x that are about as many as should be worked on at a time.
    """
    few = list(portions(x, samples))
    graph = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if len(few) < 2 or torch.is_grad_enabled() or x.device.type != "cpu" or graph:
        return part(x)
    first = part(x[few[0]])
    last = first.ndim == 4 and not first.is_contiguous() and first.is_contiguous(memory_format=torch.channels_last)
    order = torch.channels_last if last else torch.contiguous_format
    out = torch.empty((len(x), *first.shape[1:]), dtype=first.dtype, memory_format=order)
    out[few[0]] = first
    for some in few[1:]:
        out[some] = part(x[some])
    return out


def portions(x: Tensor, samples: int) -> Iterator[slice]:
    """Slices of the first axis that hold about so many samples of x, one image at least."""
    number = max(1, round(samples / max(1, x.numel() // max(1, len(x)))))
    return (slice(start, start + number) for start in range(0, len(x), number))
