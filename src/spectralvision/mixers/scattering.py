"""Scattering mixers: the token mixers of SVT (Patro & Agneeswaran, NeurIPS 2023, arXiv 2311.01310).

The equations are in `ops/scattering.py`; here are the parameters. `mixing="channel"` applies
equations (1) (2) (3) (5) of that file to all channels. `mixing="channel_token"` splits the
channels: the first half goes through a 3 x 3 depthwise convolution, the second half through
equations (1) to (5), and the two are interleaved (even channels from the convolution, odd ones
from the scattering).

`blending` replaces equations (2) to (4) by one of the other combinations of the paper's ablation,
see `ops/scattering_blending.py`.

T, V and c belong to a map size, the resolution. For maps of another size they are interpolated, see
`ops/resize_scattering.py`.
"""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from spectralvision.mixers.sized_weights import Resize, SizedWeights
from spectralvision.ops.checks import check_real_maps
from spectralvision.ops.dtcwt import Pyramid, dtcwt2d, idtcwt2d
from spectralvision.ops.precision import no_autocast, working_dtype
from spectralvision.ops.resize_scattering import (
    resize_band_gain,
    resize_gain,
    resize_lowpass_bias,
    resize_lowpass_matrix,
    resize_width_bias,
    resize_width_matrix,
)
from spectralvision.ops.scattering import (
    mix_channels,
    scattering_channel_mixing,
    scattering_channel_token_mixing,
)
from spectralvision.ops.scattering_blending import (
    blend_lowpass_channels,
    blend_lowpass_width,
    scale_bands,
)
from spectralvision.ops.width_mixing import mix_width

Mixing = Literal["channel", "channel_token"]
OWN_BLENDING = {"channel_token": "TTEE", "channel": "TTXE"}
"""Of the published models, and of the released code."""
BLENDINGS = ("TTEE", "TTXE", "TTEX", "TTTT", "EETT", "EEEE")


class ScatteringMixer(SizedWeights):
    """Token mixing in the dual-tree complex wavelet domain, for maps of any size.

    Maps (B, C, H, W) to the same shape. The scattering is computed in float32 (float64 for float64
    input), also under autocast; the result has the dtype of x.

    Args:
        dim: number of channels C, a multiple of `groups` ("channel") or 2 x `groups`
            ("channel_token").
        resolution: (H, W) of the maps that the weights belong to; odd sides are rounded up.
        mixing: "channel_token" (the published models) or "channel" (the released code).
        groups: number of blocks of the channel mixing.
        blending: letters for lowpass tokens, lowpass channels, highpass tokens and highpass
            channels (T: a gain, E: Einstein blending, X: nothing); None: that of the mixing, "TTEE"
            or "TTXE".

    Raises:
        ValueError: dim does not match the groups, the mixing or the blending is unknown, or the
            resolution is not positive.
    """

    resizes: ClassVar[dict[str, Resize]] = {
        "gain": resize_gain,
        "v1": resize_width_matrix,
        "c1": resize_width_bias,
        "v2": resize_width_matrix,
        "c2": resize_width_bias,
        "low_v1": resize_lowpass_matrix,
        "low_c1": resize_lowpass_bias,
        "low_v2": resize_lowpass_matrix,
        "low_c2": resize_lowpass_bias,
        "band_gain": resize_band_gain,
    }

    def __init__(
        self,
        dim: int,
        resolution: tuple[int, int] = (56, 56),
        mixing: Mixing = "channel_token",
        groups: int = 4,
        blending: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if mixing not in ("channel", "channel_token"):
            raise ValueError(f"mixing must be 'channel' or 'channel_token', got {mixing!r}")
        halves = 2 if mixing == "channel_token" else 1
        if groups < 1 or dim < 1 or dim % (halves * groups):
            raise ValueError(
                f"dim must be a positive multiple of {halves} x groups for mixing={mixing!r}, "
                f"got dim={dim} and groups={groups}"
            )
        self.blending = blending or OWN_BLENDING[mixing]
        if self.blending not in BLENDINGS:
            raise ValueError(
                f"blending must be one of {', '.join(BLENDINGS)}, got {self.blending!r}"
            )
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.dim = dim
        self.mixing = mixing
        self.groups = groups
        self.resolution = self.round_resolution(resolution)
        height, width = self.resolution
        scattered = dim // halves
        block = scattered // groups

        # 1. Lowpass
        if self.blending.startswith("TT"):
            self.gain = nn.Parameter(torch.empty(scattered, height, width, **factory))
        else:
            self.low_w1, self.low_b1 = _real_layer(groups, block, factory)
            self.low_w2, self.low_b2 = _real_layer(groups, block, factory)
            self.low_v1, self.low_c1 = _real_layer(height, width, factory)
            self.low_v2, self.low_c2 = _real_layer(height, width, factory)

        # 2. Bands
        if self.blending.endswith("TT"):
            self.band_gain = nn.Parameter(
                torch.empty(2, scattered, height // 2, width // 2, **factory)
            )
        if self.blending.endswith("E"):
            self.w1, self.b1 = _complex_layer(groups, block, factory)
            self.w2, self.b2 = _complex_layer(groups, block, factory)
        if self.blending[2] == "E":
            self.v1, self.c1 = _complex_layer(height // 2, width // 2, factory)
            self.v2, self.c2 = _complex_layer(height // 2, width // 2, factory)

        # 3. The other half of the channels
        if mixing == "channel_token":
            self.conv = nn.Conv2d(scattered, scattered, 3, padding=1, groups=scattered, **factory)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the spectral weights and biases from a normal distribution of deviation 0.02."""
        for parameter in self.parameters(recurse=False):
            nn.init.normal_(parameter, std=0.02)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that take no weight decay: all but the convolution."""
        return {name for name, _ in self.named_parameters(recurse=False)}

    def forward(self, x: Tensor) -> Tensor:
        """Mix real maps (B, C, H, W)."""
        check_real_maps(x, "ScatteringMixer", ndim=4)
        if self.mixing == "channel":
            return self.scatter(x)
        local, spectral = x.chunk(2, dim=1)
        mixed = [self.conv(local).to(x.dtype), self.scatter(spectral)]
        return torch.stack(mixed, dim=2).flatten(1, 2)  # even channels local, odd spectral

    def scatter(self, x: Tensor) -> Tensor:
        """Apply the equations to the scattered channels, all or half of C: (B, C', H, W)."""
        if self.blending not in OWN_BLENDING.values():
            return self._scatter_by_steps(x)
        sized = self.weights_for((x.shape[-2], x.shape[-1]))
        gain = _channels_last(sized.pop("gain"))
        channel_weights = (self.w1, self.b1, self.w2, self.b2)
        if self.blending == "TTXE":
            return scattering_channel_mixing(x, gain, *channel_weights)
        return scattering_channel_token_mixing(x, gain, *channel_weights, *sized.values())

    def _scatter_by_steps(self, x: Tensor) -> Tensor:
        with no_autocast(x):
            _, after = self._blend(x.to(working_dtype(x.dtype)))
            return idtcwt2d(after, size=(x.shape[-2], x.shape[-1])).to(x.dtype)

    def bands(self, x: Tensor) -> tuple[Pyramid, Pyramid]:
        """Return the bands of maps x (B, C, H, W), before and after blending.

        They are those of the scattered channels, equation (1) and equations (2) to (4).
        """
        check_real_maps(x, "ScatteringMixer", ndim=4)
        if self.mixing == "channel_token":
            x = x.chunk(2, dim=1)[1]
        with no_autocast(x):
            return self._blend(x.to(working_dtype(x.dtype)))

    def _blend(self, x: Tensor) -> tuple[Pyramid, Pyramid]:
        """Return the bands of x before and after blending, in the dtype of x."""
        sized = self.weights_for((x.shape[-2], x.shape[-1]))

        def weights(*names: str) -> list[Tensor]:
            return [sized.get(name, getattr(self, name)).to(x.dtype) for name in names]

        before = dtcwt2d(x)  # (1)
        low, (re, im) = before.lowpass, before.highpass[0]
        if self.blending.startswith("TT"):
            low = low * weights("gain")[0]  # (2)
        else:
            channels = weights("low_w1", "low_b1", "low_w2", "low_b2")
            low = blend_lowpass_channels(low, *channels)
            low = blend_lowpass_width(low, *weights("low_v1", "low_c1", "low_v2", "low_c2"))
        if self.blending.endswith("TT"):
            re, im = scale_bands(re, im, *weights("band_gain"))
        if self.blending.endswith("E"):
            re, im = mix_channels(re, im, *weights("w1", "b1", "w2", "b2"))  # (3)
        if self.blending[2] == "E":
            re, im = mix_width(re, im, *weights("v1", "c1", "v2", "c2"))  # (4)
        return before, Pyramid(low, ((re, im),))

    def round_resolution(self, resolution: tuple[int, int]) -> tuple[int, int]:
        """Return the resolution with sides rounded up to even numbers."""
        height, width = super().round_resolution(resolution)
        return height + height % 2, width + width % 2

    def extra_repr(self) -> str:
        return (
            f"{self.dim}, resolution={self.resolution}, mixing={self.mixing!r}, "
            f"groups={self.groups}, blending={self.blending!r}"
        )


def _channels_last(gain: Tensor) -> Tensor:
    """Return a gain (C, H, W) with channels last in memory, like the lowpass it multiplies."""
    return gain.permute(1, 2, 0).contiguous().permute(2, 0, 1)


def _complex_layer(
    groups: int, width: int, factory: dict[str, Any]
) -> tuple[nn.Parameter, nn.Parameter]:
    """Return weight (2, G, in, out) and bias (2, G, out) of a block-diagonal complex layer."""
    weight = torch.empty(2, groups, width, width, **factory)
    return nn.Parameter(weight), nn.Parameter(torch.empty(2, groups, width, **factory))


def _real_layer(
    groups: int, width: int, factory: dict[str, Any]
) -> tuple[nn.Parameter, nn.Parameter]:
    """Return weight (G, in, out) and bias (G, out) of a block-diagonal real layer."""
    weight = torch.empty(groups, width, width, **factory)
    return nn.Parameter(weight), nn.Parameter(torch.empty(groups, width, **factory))
