"""Token mixers, one paper per file: modules (B, C, H, W) -> (B, C, H, W)."""

from spectralvision.mixers.adaptive_frequency import AdaptiveFrequencyFilter
from spectralvision.mixers.afno import AdaptiveFourierOperator
from spectralvision.mixers.dynamic_filter import DynamicFilter
from spectralvision.mixers.fast_fourier_convolution import FastFourierConvolution
from spectralvision.mixers.fnet import FourierMixing
from spectralvision.mixers.fno import FourierOperator
from spectralvision.mixers.global_filter import GlobalFilter
from spectralvision.mixers.heat_conduction import HeatConduction
from spectralvision.mixers.named_mixers import MIXERS, named_mixer
from spectralvision.mixers.scattering import ScatteringMixer
from spectralvision.mixers.self_attention import SelfAttention
from spectralvision.mixers.wave_mix import WaveletMixing
from spectralvision.mixers.wavelet_convolution import WaveletConvolution

__all__ = [
    "MIXERS",
    "AdaptiveFourierOperator",
    "AdaptiveFrequencyFilter",
    "DynamicFilter",
    "FastFourierConvolution",
    "FourierMixing",
    "FourierOperator",
    "GlobalFilter",
    "HeatConduction",
    "ScatteringMixer",
    "SelfAttention",
    "WaveletConvolution",
    "WaveletMixing",
    "named_mixer",
]
