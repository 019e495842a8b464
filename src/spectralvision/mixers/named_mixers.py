"""Mixers by name, for comparisons and for models that are described by text alone.

    aff                                the mixer with its own settings
    aff(groups=1, threshold=0.0)       with settings of its constructor

`mixer_layer` of every family takes such a name in place of a function, so that a model with another
mixer can be saved and loaded again.
"""

import ast
from collections.abc import Callable
from functools import partial
from typing import Any

from timm.layers import get_act_layer
from timm.models.metaformer import Pooling
from torch import Tensor, nn

from spectralvision.mixers.adaptive_frequency import AdaptiveFrequencyFilter
from spectralvision.mixers.afno import AdaptiveFourierOperator
from spectralvision.mixers.dynamic_filter import DynamicFilter
from spectralvision.mixers.fast_fourier_convolution import FastFourierConvolution
from spectralvision.mixers.fnet import FourierMixing
from spectralvision.mixers.fno import FourierOperator
from spectralvision.mixers.global_filter import GlobalFilter
from spectralvision.mixers.heat_conduction import HeatConduction
from spectralvision.mixers.scattering import ScatteringMixer
from spectralvision.mixers.self_attention import SelfAttention
from spectralvision.mixers.wave_mix import WaveletMixing
from spectralvision.mixers.wavelet_convolution import WaveletConvolution

Size = tuple[int, int]
Build = Callable[..., nn.Module]
"""(dim, (H, W), settings) -> mixer."""


def _sizeless(kind: Callable[..., nn.Module]) -> Build:
    return lambda dim, resolution, **settings: kind(dim, **settings)


def _adaptive(dim: int, resolution: Size, **settings: Any) -> nn.Module:
    """Build an adaptive frequency filter; `groups="dim"` gives each channel its own."""
    if settings.get("groups") == "dim":
        settings["groups"] = dim
    if "act_layer" in settings:
        settings["act_layer"] = get_act_layer(settings["act_layer"])
    return AdaptiveFrequencyFilter(dim, **settings)


class InnerSkip(nn.Module):
    """x + mixer(x), as the adaptive frequency filter has it."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mixer(x)


def _global_filter(dim: int, resolution: Size, inner_skip: bool = False) -> nn.Module:
    mixer = GlobalFilter(dim, resolution)
    return InnerSkip(mixer) if inner_skip else mixer


def _depthwise(dim: int, resolution: Size, kernel_size: int = 7) -> nn.Module:
    return nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)


MIXERS: dict[str, Build] = {
    "aff": _adaptive,
    "scattering": ScatteringMixer,
    "scattering_channel": partial(ScatteringMixer, mixing="channel"),
    "global_filter": _global_filter,
    "dynamic_filter": DynamicFilter,
    "heat_conduction": HeatConduction,
    "afno": _sizeless(AdaptiveFourierOperator),
    "fno": _sizeless(FourierOperator),
    "fnet": lambda dim, resolution: FourierMixing(),
    "wave_mix": _sizeless(WaveletMixing),
    "wavelet_convolution": _sizeless(WaveletConvolution),
    "ffc": _sizeless(FastFourierConvolution),
    "depthwise": _depthwise,
    "attention": _sizeless(SelfAttention),
    "pooling": lambda dim, resolution, pool_size=3: Pooling(pool_size),
    "identity": lambda dim, resolution: nn.Identity(),
}
"""Name -> function that builds the mixer for channels and a map size."""


def named_mixer(name: str) -> Callable[[int, Size], nn.Module]:
    """Return the function (dim, resolution) -> mixer that a name stands for.

    Args:
        name: One of `MIXERS`, alone or with settings: `fno`, `fno(modes=8, groups=4)`.

    Raises:
        ValueError: There is no such mixer, or the settings are no literals. Settings that the mixer
            does not have are found when it is built.
    """
    plain, settings = _parse(name)
    if plain not in MIXERS:
        raise ValueError(f"{plain!r} is no mixer: the mixers are {', '.join(MIXERS)}")

    def build(dim: int, resolution: Size) -> nn.Module:
        try:
            return MIXERS[plain](dim, resolution, **settings)
        except TypeError as error:
            raise ValueError(f"the mixer {name} cannot be built: {error}") from error

    return build


def _parse(name: str) -> tuple[str, dict[str, Any]]:
    """Return a mixer's name and its settings. Nothing is executed."""
    wrong = ValueError(f"{name!r} is not the name of a mixer: write aff or aff(groups=1)")
    try:
        node = ast.parse(name.strip(), mode="eval").body
    except SyntaxError:
        raise wrong from None
    if isinstance(node, ast.Name):
        return node.id, {}
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
        raise wrong
    settings = {}
    for keyword in node.keywords:
        try:
            settings[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except ValueError:
            raise wrong from None
    return node.func.id, settings
