"""The mixers by their Triton kernels, as functions of a mixer and its input.

    filtered(mixer, x)       AdaptiveFrequencyFilter   two launches, two back              `ops/adaptive_filter.py`
    scattered(mixer, x)      ScatteringMixer           split, one launch, join             `ops/complex_mlp.py`

They compute what `mixer(x)` computes, in the dtype of x with float32 sums, where the mixers work in float32 throughout.
Nothing calls them by itself: they are here for `benchmarks/gpu.py` until that has measured them on a GPU.
Importing this module needs Triton.
"""

import torch
from torch import Tensor, nn

from spectralvision.mixers.adaptive_frequency import AdaptiveFrequencyFilter
from spectralvision.mixers.scattering import ScatteringMixer
from spectralvision.ops.adaptive_filter import adaptive_filter
from spectralvision.ops.complex_mlp import complex_mlp_channels_last
from spectralvision.ops.dtcwt_channels_last import join, split
from spectralvision.ops.tables import no_autocast

FILTERS = "near_sym_b"  # of the scattering mixer's one level


def filtered(mixer: AdaptiveFrequencyFilter, x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H, W), float32, float16 or bfloat16, sides up to 64.

    Raises:
        ValueError: the activation is neither SiLU nor ReLU, or see `adaptive_filter`.
    """
    act = {nn.SiLU: "silu", nn.ReLU: "relu"}.get(type(mixer.act))
    if act is None:
        raise ValueError(f"the kernel has SiLU and ReLU, got {mixer.act}: call the mixer itself")
    return adaptive_filter(x, mixer.w1, mixer.b1, mixer.w2, mixer.b2, act, mixer.threshold, mixer.inner_skip)


def scattered(mixer: ScatteringMixer, x: Tensor) -> Tensor:
    """(B, C, H, W), best channels last in memory, even sides -> (B, C, H, W), channels last in memory.

    Raises:
        ValueError: a side is odd, or see `complex_mlp`.
    """
    if x.shape[-2] % 2 or x.shape[-1] % 2:
        raise ValueError(f"the kernel takes maps of even sides, got {tuple(x.shape)}: call the mixer itself")
    if mixer.mixing == "channel":
        return _scattered(mixer, x)
    local, spectral = x.chunk(2, dim=1)
    return torch.stack([mixer.conv(local).to(x.dtype), _scattered(mixer, spectral)], dim=2).flatten(1, 2)


def _scattered(mixer: ScatteringMixer, x: Tensor) -> Tensor:
    with no_autocast(x):
        weights = {name: weight.to(x.dtype) for name, weight in mixer._weights((x.shape[-2], x.shape[-1])).items()}
        low, bands = split(x.permute(0, 2, 3, 1), FILTERS, "analysis")  # (2, B, K, h, w, C)
        re, im = bands.unbind(0)
        re, im = complex_mlp_channels_last(re, im, mixer.w1, mixer.b1, mixer.w2, mixer.b2, "relu", 0.0, False)
        if mixer.mixing == "channel_token":
            re, im = mixer._mix_width(torch.stack([re, im]), weights).contiguous().unbind(0)
        low = low * weights["gain"].permute(1, 2, 0)
        return join(low, re, im, FILTERS, "synthesis").permute(0, 3, 1, 2)


class Accelerated(nn.Module):
    """A mixer whose forward pass goes through its kernels, for whoever takes modules."""

    def __init__(self, mixer: AdaptiveFrequencyFilter | ScatteringMixer) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.mixer, ScatteringMixer):
            return scattered(self.mixer, x)
        return filtered(self.mixer, x)
