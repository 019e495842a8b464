"""Prepare a network for export: fused, with all that depends on the size of the maps computed."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from timm.models import reparameterize_model
from torch import Tensor, nn

from spectralvision.export.fixed_filter import FixedFilter
from spectralvision.mixers import AdaptiveFrequencyFilter

Size = tuple[int, int]
FIXED: dict[type[nn.Module], Callable[[Any, Size], nn.Module]] = {
    AdaptiveFrequencyFilter: FixedFilter,
}
"""Modules that have a form for maps of one size."""


def prepare(module: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy for inference on images of the size of an example, equal up to rounding.

    Batch norms and other linear layers are merged into convolutions, and mixers replaced by their
    form for one size of map.

    Args:
        module: In evaluation mode; (B, 3, H, W) -> anything.
        example: (B, 3, H, W).
    """
    module = reparameterize_model(deepcopy(module)).eval()
    sizes = _map_sizes(module, example)
    for name, size in sizes.items():
        parent, _, leaf = name.rpartition(".")
        old = module.get_submodule(name)
        setattr(module.get_submodule(parent), leaf, FIXED[type(old)](old, size))
    return module.eval()


def _map_sizes(module: nn.Module, example: Tensor) -> dict[str, Size]:
    """Return the size of the map that each module of `FIXED` gets."""
    sizes: dict[str, Size] = {}

    def hook(name: str) -> Any:
        def note(one: nn.Module, args: tuple[Tensor, ...]) -> None:
            sizes[name] = (args[0].shape[-2], args[0].shape[-1])

        return note

    hooks = [
        one.register_forward_pre_hook(hook(name))
        for name, one in module.named_modules()
        if type(one) in FIXED
    ]
    with torch.no_grad():
        module(example)
    for one in hooks:
        one.remove()
    return sizes
