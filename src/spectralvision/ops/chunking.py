"""Run a function over a batch in cache-sized chunks.

On a CPU, a large batch writes every intermediate result of a spectral op to main memory, which
costs more than the arithmetic. Without gradients the images of a batch can go through the whole op
one after the other instead, and the channel groups of a large image too if the op does not mix
them, so that intermediate results stay in the processor's cache. Ops whose result is small
compared with their intermediates also gain with gradients.

Chunk sizes are numbers of tensor elements, not bytes. A batch is never divided while compiling,
exporting or tracing, on an accelerator, or when forward hooks have to see the whole batch.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import wraps
from inspect import signature
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

SPLIT_IMAGES_FROM_CHUNKS = 3  # an image is divided by channel groups from this many chunks on

Function = Callable[..., Tensor]


def chunked_inference(method: Function) -> Function:
    """Run `method(self, x)` or `method(self, part, x)` of a module over x in chunks of images.

    `self.chunk_elements` elements of x make one chunk. The images are independent in evaluation
    mode; in training mode (batch norm) and with gradients the batch is not divided, nor when `part`
    (or `self` if there is none) contains a module with forward hooks.
    """

    @wraps(method)
    def run(self: nn.Module, *args: Any) -> Tensor:
        *parts, x = args
        if self.training or must_run_whole(x, *(parts or [self])):
            return method(self, *args)
        chunk_elements: Any = self.chunk_elements
        return in_chunks(lambda chunk: method(self, *parts, chunk), x, chunk_elements)

    return run


def chunked_groups(
    elements: int,
    group_axes: dict[str, int],
    min_channels: int = 1,
    batched: Sequence[str] = (),
) -> Callable[[Function], Function]:
    """Run an op on maps x (B, C, H, W) over chunks of images and of channel groups.

    The op is called as `function(x, *args)` on some images and some groups. Its result has the
    shape of x. With gradients only images are divided, so that the backward pass needs memory for
    one chunk.

    Args:
        elements: number of elements of x per chunk; the attribute `chunk_elements` of the result.
        group_axes: for each argument that belongs to channel groups, the axis to slice; the first
            one has one entry per group, the others a multiple of that.
        min_channels: lower limit of the channels per chunk.
        batched: arguments besides x whose first axis is the batch.
    """

    def decorate(function: Function) -> Function:
        names = list(signature(function).parameters)
        positions = {names.index(name): axis for name, axis in group_axes.items()}
        with_images = {0, *map(names.index, batched)}

        @wraps(function)
        def run(*args: Any) -> Tensor:
            x = args[0]
            modules = (arg for arg in args if isinstance(arg, nn.Module))
            if must_run_whole(x, *modules) or len(x) == 0:
                return function(*args)
            elements = run.chunk_elements  # type: ignore[attr-defined]

            def run_images(images: slice) -> Tensor:
                return function(*_take_images(args, with_images, images))

            if torch.is_grad_enabled():
                slices = list(image_slices(x, elements))
                return function(*args) if len(slices) < 2 else torch.cat([*map(run_images, slices)])
            first, axis = next(iter(positions.items()))
            groups = args[first].shape[axis]
            step = _groups_per_chunk(x, groups, elements, min_channels)
            if step >= groups:
                return _in_slices(run_images, x, elements)
            axes = {0: 1, **positions}
            return _in_chunks_of_groups(function, args, axes, with_images, groups, step, elements)

        run.chunk_elements = elements  # type: ignore[attr-defined]
        return run

    return decorate


def in_chunks(function: Function, x: Tensor, elements: int) -> Tensor:
    """Return function(x) for independent images x (B, ...), computed in chunks of `elements`.

    The result has a leading batch axis and the memory format that the function gives. With
    gradients the batch is not divided.
    """
    if torch.is_grad_enabled():
        return function(x)
    return _in_slices(lambda images: function(x[images]), x, elements)


def _in_slices(function: Callable[[slice], Tensor], x: Tensor, elements: int) -> Tensor:
    """Return the results of `function` for slices of the batch of x, put together."""
    slices = list(image_slices(x, elements))
    if len(slices) < 2:
        return function(slice(None))
    first = function(slices[0])
    out = _empty_like(first, len(x), *first.shape[1:])
    out[slices[0]] = first
    for images in slices[1:]:
        out[images] = function(images)
    return out


def _take_images(args: tuple[Any, ...], positions: Collection[int], images: slice) -> list[Any]:
    """Return the arguments with some images of those whose first axis is the batch."""
    return [arg[images] if i in positions else arg for i, arg in enumerate(args)]


def image_slices(x: Tensor, elements: int) -> Iterator[slice]:
    """Return equal slices of the batch axis of about `elements` elements, at least one image."""
    most = max(1, round(elements / max(1, x.numel() // max(1, len(x)))))
    count = max(1, ceil(len(x) / max(1, ceil(len(x) / most))))
    return (slice(start, start + count) for start in range(0, len(x), count))


def must_run_whole(x: Tensor, *modules: nn.Module) -> bool:
    """Return whether the batch must not be divided: traced, compiled, hooked, or not on a CPU."""
    if not isinstance(x, Tensor) or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    return x.device.type != "cpu" or any(map(has_forward_hooks, modules))


def has_forward_hooks(module: nn.Module) -> bool:
    """Return whether the module or one inside it has forward hooks or forward pre-hooks."""
    # Private: nn.Module has no public way to ask for its hooks.
    return any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())


def _groups_per_chunk(x: Tensor, groups: int, elements: int, min_channels: int) -> int:
    chunks_per_image = max(1, ceil(x[:1].numel() / (SPLIT_IMAGES_FROM_CHUNKS * elements)))
    channels_per_group = x.shape[1] // groups
    return max(ceil(groups / chunks_per_image), ceil(min_channels / channels_per_group))


def _in_chunks_of_groups(
    function: Function,
    args: tuple[Any, ...],
    axes: dict[int, int],
    with_images: Collection[int],
    groups: int,
    step: int,
    elements: int,
) -> Tensor:
    """Run `function` on `step` groups of some images at a time; slice `axes` of the arguments."""
    x = args[0]
    out: Tensor | None = None
    for images in image_slices(x, elements):
        for start in range(0, groups, step):
            stop = min(start + step, groups)
            some = _take_images(args, with_images, images)
            for position, axis in axes.items():
                size = args[position].shape[axis] // groups
                some[position] = some[position].narrow(axis, start * size, (stop - start) * size)
            y = function(*some)
            out = _empty_like(y, *x.shape) if out is None else out
            size = x.shape[1] // groups
            out[images, start * size : stop * size] = y
    assert out is not None
    return out


def _empty_like(first: Tensor, *shape: int) -> Tensor:
    """Return an empty tensor with the dtype and memory format of `first`.

    It is derived from `first`, so that it belongs to the same transform of torch.func.
    """
    if first.ndim == 4 and first.stride(1) == 1 and not first.is_contiguous():  # channels last
        batch, chans, height, width = shape
        return first.new_empty(batch, height, width, chans).permute(0, 3, 1, 2)
    return first.new_empty(shape)
