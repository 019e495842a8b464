"""A few images at a time: on a CPU, what lies between the first and the last step of a part then stays in the cache.

A large batch writes every intermediate result to fresh memory, which costs more than the arithmetic of a spectral part.
Where nothing is kept for a gradient, the images of a batch can go through the whole part one after the other instead;
and of a large image the groups of its channels, where the part does not mix them. A part whose results take little
memory beside what lies between them gains from it with gradients, too.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from math import ceil

import torch
from torch import Tensor, nn

LARGE = 3  # times the samples of a portion that an image holds before it is cut itself
LEARNT = (32 << 20) - (64 << 10)  # bytes: just below the largest block that glibc takes for a hint


def in_portions(part: Callable[[Tensor], Tensor], x: Tensor, samples: int, owner: nn.Module | None = None) -> Tensor:
    """part(x) of images x (B, ...) that do not depend on each other, some at a time on a CPU without gradients.

    Args:
        part: Gives a tensor (B, ...), for maps either contiguous or with channels last in memory.
        x: The images.
        samples: Of x that are about as many as should be worked on at a time.
        owner: The module that part is of: where it or one inside has forward hooks, these get to see the whole batch.
    """
    if _whole(x, owner) or torch.is_grad_enabled() or len(few := list(portions(x, samples))) < 2:
        return part(x)
    first = part(x[few[0]])
    out = _like(first, len(x), *first.shape[1:])
    out[few[0]] = first
    for some in few[1:]:
        out[some] = part(x[some])
    return out


def in_portions_of_groups(
    part: Callable[[Tensor, slice], Tensor], x: Tensor, groups: int, samples: int, owner: nn.Module | None = None,
    chans: int = 1,
) -> Tensor:  # fmt: skip
    """part(x, groups) of maps x (B, C, H, W) whose groups of channels do not depend on each other either.

    With gradients it is images that go one after the other, not groups: a gradient then needs memory for some images.

    Args:
        part: Gives maps of the shape of those that it gets, which are some groups of some images.
        groups: Of the C channels, equally large.
        x, samples, owner: As for `in_portions`; an image is cut where it holds `LARGE` times as many samples.
        chans: That a piece should have at least.
    """
    everything = slice(0, groups)
    if _whole(x, owner):
        return part(x, everything)
    if torch.is_grad_enabled():
        some = next(portions(x, samples), slice(0, 1))
        pieces = x.split(some.stop)
        return part(x, everything) if len(pieces) < 2 else torch.cat([part(piece, everything) for piece in pieces])
    parts, size = max(1, ceil(x[:1].numel() / (LARGE * samples))), x.shape[1] // groups
    few = max(ceil(groups / parts), ceil(chans / size))
    if few >= groups:
        return in_portions(lambda images: part(images, everything), x, samples)
    out: Tensor | None = None
    for some in portions(x, samples):
        for start in range(0, groups, few):
            here = slice(start, min(start + few, groups))
            place = some, slice(here.start * size, here.stop * size)
            y = part(x[place], here)
            out = _like(y, *x.shape) if out is None else out
            out[place] = y
    assert out is not None
    return out


def _whole(x: Tensor, owner: nn.Module | None) -> bool:
    """Whether x has to go through in one piece: seen by torch.fx, compilers, hooks; or not on a CPU."""
    if not isinstance(x, Tensor) or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    return x.device.type != "cpu" or (owner is not None and _hooked(owner))


def _like(first: Tensor, *shape: int) -> Tensor:
    """An empty tensor with the dtype and the order in memory of `first`."""
    last = first.ndim == 4 and not first.is_contiguous() and first.is_contiguous(memory_format=torch.channels_last)
    order = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=first.dtype, memory_format=order)


def _hooked(module: nn.Module) -> bool:
    return any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Lets the C library keep freed memory for the next result, once for this process.

    glibc hands blocks above a threshold back to the system as they are freed, and every page of the next result has to
    be faulted in anew. It raises that threshold to the size of a freed block, up to 32 MiB; so one is freed here.
    """
    torch.empty(LEARNT, dtype=torch.uint8)


def portions(x: Tensor, samples: int) -> Iterator[slice]:
    """Slices of the first axis that hold about so many samples of x, one image at least, as equal as can be."""
    most = max(1, round(samples / max(1, x.numel() // max(1, len(x)))))
    number = max(1, ceil(len(x) / max(1, ceil(len(x) / most))))
    return (slice(start, start + number) for start in range(0, len(x), number))
