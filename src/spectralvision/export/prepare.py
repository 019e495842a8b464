"""Prepare a network for export: fused, with all that depends on the size of the maps computed."""

from functools import partial
from typing import Any

import torch
from timm.models import reparameterize_model
from torch import Tensor, nn

from spectralvision.export.fixed_filter import FixedFilter
from spectralvision.export.fixed_heat import FixedHeat, FixedHeatConduction
from spectralvision.export.fixed_scattering import FixedScattering
from spectralvision.export.fixed_spectra import FixedDynamicFilter, FixedGlobalFilter, FixedMixture
from spectralvision.mixers import (
    AdaptiveFrequencyFilter,
    DynamicFilter,
    GlobalFilter,
    HeatConduction,
    ScatteringMixer,
)

Size = tuple[int, int]
SPECTRAL = (FixedFilter, FixedScattering, FixedGlobalFilter, FixedMixture, FixedHeat)
"""Parts of a prepared network that compute spectra."""
FIXED: dict[type[nn.Module], Any] = {
    AdaptiveFrequencyFilter: FixedFilter,
    DynamicFilter: FixedDynamicFilter,
    GlobalFilter: FixedGlobalFilter,
    HeatConduction: FixedHeatConduction,
    ScatteringMixer: FixedScattering,
}
"""Mixer -> its form for maps of one size, made of the mixer, (H, W) and its other inputs."""


def prepare(module: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy for inference on images of the size of an example, equal up to rounding.

    Batch norms and consecutive linear layers are merged, and mixers replaced by their form for maps
    of one size.

    Args:
        module: In evaluation mode; (B, 3, H, W) -> anything.
        example: (B, 3, H, W).
    """
    module = reparameterize_model(module).eval()  # copies it
    # Converters take weights in their usual order only
    module = module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for name, (size, *others) in _mixer_inputs(module, example).items():
        mixer = module.get_submodule(name)
        parent, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(parent), leaf, FIXED[type(mixer)](mixer, size, *others))
    return module.eval()


def _mixer_inputs(module: nn.Module, example: Tensor) -> dict[str, list[Any]]:
    """Return the size of the map that each mixer gets, and its inputs besides the map."""
    inputs: dict[str, list[Any]] = {}

    def note(name: str, mixer: nn.Module, args: tuple[Any, ...]) -> None:
        inputs[name] = [(args[0].shape[-2], args[0].shape[-1]), *args[1:]]

    hooks = [
        mixer.register_forward_pre_hook(partial(note, name))
        for name, mixer in module.named_modules()
        if type(mixer) in FIXED
    ]
    with torch.no_grad():
        module(example)
    for hook in hooks:
        hook.remove()
    return inputs


def spectral_modules(module: nn.Module) -> dict[str, nn.Module]:
    """Return the modules of a prepared network that compute spectra, by name."""
    return {name: one for name, one in module.named_modules() if isinstance(one, SPECTRAL)}
