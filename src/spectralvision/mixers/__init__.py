"""Token mixers, one paper per file: modules (B, C, H, W) -> (B, C, H, W)."""

from spectralvision.mixers.adaptive_frequency import AdaptiveFrequencyFilter
from spectralvision.mixers.scattering import ScatteringMixer

__all__ = ["AdaptiveFrequencyFilter", "ScatteringMixer"]
