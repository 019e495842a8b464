"""Token mixers, one paper per file: modules (B, C, H, W) -> (B, C, H, W)."""

from spectralvision.mixers.adaptive_frequency import AdaptiveFrequencyFilter
from spectralvision.mixers.dynamic_filter import DynamicFilter
from spectralvision.mixers.global_filter import GlobalFilter
from spectralvision.mixers.heat_conduction import HeatConduction
from spectralvision.mixers.scattering import ScatteringMixer

__all__ = [
    "AdaptiveFrequencyFilter",
    "DynamicFilter",
    "GlobalFilter",
    "HeatConduction",
    "ScatteringMixer",
]
