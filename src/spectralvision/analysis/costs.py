"""What the parts of a network cost: parameters, multiply-adds and time.

The parts are the blocks of `find_blocks` and whatever lies beside them; a last row has what runs in
none of the parts, such as pooling. So the rows add up to the network.
"""

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from spectralvision.analysis.layers import find_blocks
from spectralvision.analysis.macs import FFT_FLOPS

HOOKED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
"""Modules that counters with hooks see, as for most published counts."""
REST = "outside of these"


@dataclass(frozen=True)
class Cost:
    """The cost of a part for one image.

    Attributes:
        name: of the module.
        kind: its class.
        parameters: number of them.
        macs: multiply-adds in full, see `macs.py`.
        module_macs: those of convolutions and linear layers that are modules, as published counts.
        seconds: median time of a forward pass; None if it was not measured.
    """

    name: str
    kind: str
    parameters: int
    macs: int
    module_macs: int
    seconds: float | None = None


def find_parts(model: nn.Module) -> dict[str, nn.Module]:
    """Return modules that do not overlap and hold all parameters: blocks, and what is beside."""
    blocks = find_blocks(model)
    found: dict[str, nn.Module] = {}

    def visit(prefix: str, module: nn.Module) -> None:
        for name, child in module.named_children():
            path = f"{prefix}{name}"
            if path not in blocks and any(one.startswith(f"{path}.") for one in blocks):
                visit(f"{path}.", child)
            else:
                found[path] = child

    visit("", model)
    return found


def cost_by_part(model: nn.Module, input_size: tuple[int, int, int]) -> list[Cost]:
    """Return parameters and multiply-adds of each part, and of what runs in none of them.

    Args:
        model: Any model that runs on the meta device.
        input_size: (C, H, W) of the image.
    """
    copy: Any = deepcopy(model).to("meta").eval()
    parts = find_parts(copy)
    totals = dict.fromkeys(parts, 0)
    hooked = dict.fromkeys([*parts, REST], 0)
    counter = FlopCounterMode(display=False, custom_mapping=FFT_FLOPS)
    before: list[int] = []
    handles = []
    for name, part in parts.items():

        def enter(*_: Any) -> None:
            before.append(counter.get_total_flops())

        def leave(*_: Any, name: str = name) -> None:
            totals[name] += counter.get_total_flops() - before.pop()

        handles += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]
    for name, module in copy.named_modules():
        if isinstance(module, HOOKED):

            def count(layer: nn.Module, inputs: Any, out: Tensor, name: str = name) -> None:
                hooked[_part_of(name, parts)] += _module_macs(layer, inputs[0], out)

            handles.append(module.register_forward_hook(count))
    with counter, torch.no_grad():
        copy(torch.empty(1, *input_size, device="meta"))
    for handle in handles:
        handle.remove()
    macs = {name: totals[name] // 2 for name in parts}
    macs[REST] = counter.get_total_flops() // 2 - sum(macs.values())

    # Parameters that are the model's own, such as position embeddings
    sizes = {name: sum(one.numel() for one in part.parameters()) for name, part in parts.items()}
    sizes[REST] = sum(one.numel() for one in model.parameters()) - sum(sizes.values())
    return [
        Cost(
            name,
            type(parts[name]).__name__ if name in parts else "",
            sizes[name],
            macs[name],
            hooked[name],
        )
        for name in macs
    ]


def _part_of(name: str, parts: Mapping[str, nn.Module]) -> str:
    return next((part for part in parts if f"{name}.".startswith(f"{part}.")), REST)


def _module_macs(layer: Any, x: Tensor, out: Tensor) -> int:
    """Return the multiply-adds of a convolution or linear layer from its input and output."""
    per_weight = x if isinstance(layer, nn.ConvTranspose2d) else out
    return per_weight.numel() * layer.weight[0].numel()


def time_by_part(
    model: nn.Module,
    images: Tensor,
    rounds: int = 11,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the seconds of each part of a forward pass, and outside of all parts (`REST`).

    They are those of the pass that took the median time of all, so they add up to it. On an
    accelerator each part is waited for.

    Args:
        model: In evaluation mode.
        images: A batch.
        rounds: Number of passes that are timed, after one that is not.
        clock: Returns seconds.
    """
    parts = find_parts(model)
    wait = (lambda: None) if images.device.type == "cpu" else torch.accelerator.synchronize
    spent: dict[str, float] = {}
    starts: list[float] = []
    handles = []
    for name, part in parts.items():

        def enter(*_: Any) -> None:
            wait()
            starts.append(clock())

        def leave(*_: Any, name: str = name) -> None:
            wait()
            spent[name] = spent.get(name, 0.0) + clock() - starts.pop()

        handles += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]
    passes: list[tuple[float, dict[str, float]]] = []
    try:
        with torch.inference_mode():
            for number in range(rounds + 1):
                spent.clear()
                wait()
                start = clock()
                model(images)
                wait()
                whole = clock() - start
                if number:  # the first one warms up
                    seconds = {name: spent.get(name, 0.0) for name in parts}
                    passes.append((whole, seconds | {REST: whole - sum(spent.values())}))
    finally:
        for handle in handles:
            handle.remove()
    passes.sort(key=lambda one: one[0])
    return passes[len(passes) // 2][1]
