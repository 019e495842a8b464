"""Find the layers of a network that are looked at, and record what goes through them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def find_layers(model: nn.Module, kind: type[M]) -> dict[str, M]:
    """Return the modules of a class by name, in the network's order."""
    return {name: one for name, one in model.named_modules() if isinstance(one, kind)}


def find_blocks(model: nn.Module) -> dict[str, nn.Module]:
    """Return the blocks of a network by name, in its order.

    Blocks are the items of sequences and lists that have layers inside, but no such items: the
    residual blocks of most networks.
    """
    items = {
        f"{prefix}.{name}" if prefix else name: item
        for prefix, module in model.named_modules()
        if isinstance(module, nn.Sequential | nn.ModuleList)
        for name, item in module.named_children()
        if any(True for _ in item.children())
    }
    outer = {name for name in items for other in items if other.startswith(f"{name}.")}
    return {name: item for name, item in items.items() if name not in outer}


def spread(names: Sequence[str], count: int) -> list[str]:
    """Return at most `count` of the names, evenly spaced, the first and the last among them."""
    if len(names) <= count:
        return list(names)
    if count == 1:
        return [names[-1]]
    return [names[round(i * (len(names) - 1) / (count - 1))] for i in range(count)]


def record_inputs(run: Callable[[], Any], layers: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return the first input of each layer while `run` runs the network once, without gradients.

    Inputs of a layer that runs on several chunks of a batch are joined. Layers that do not run are
    left out.
    """
    return _record(run, layers, lambda inputs, output: inputs[0])


def record_outputs(run: Callable[[], Any], layers: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return the output of each layer while `run` runs the network once, likewise.

    Layers that do not return one tensor are left out, too.
    """
    return _record(run, layers, lambda inputs, output: output)


def _record(
    run: Callable[[], Any],
    layers: Mapping[str, nn.Module],
    choose: Callable[[tuple[Any, ...], Any], Any],
) -> dict[str, Tensor]:
    found: dict[str, list[Tensor]] = {}
    with _hooks() as handles, torch.no_grad():
        for name, layer in layers.items():

            def hook(_: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
                value = choose(inputs, output)
                if isinstance(value, Tensor):
                    found.setdefault(name, []).append(value.detach())

            handles.append(layer.register_forward_hook(hook))
        run()
    return {name: torch.cat(found[name]) for name in layers if name in found}


@contextmanager
def _hooks() -> Iterator[list[Any]]:
    """Remove the hooks whose handles were collected."""
    handles: list[Any] = []
    try:
        yield handles
    finally:
        for handle in handles:
            handle.remove()


def maps_of(model: Any, features: Tensor) -> Tensor | None:
    """Return the output of a layer of a model as maps (B, C, H, W).

    It is one, or a channels-last map of a model of timm that says so, or tokens of a square map,
    with the model's prefix tokens before them; None for other shapes.
    """
    if features.ndim == 4:
        is_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        return features.movedim(-1, 1) if is_last else features
    if features.ndim == 3:
        prefix = int(getattr(model, "num_prefix_tokens", 0))
        number = features.shape[1] - prefix
        side = round(max(number, 0) ** 0.5)
        if side and side * side == number:
            return features[:, prefix:].unflatten(1, (side, side)).movedim(-1, 1)
    return None
