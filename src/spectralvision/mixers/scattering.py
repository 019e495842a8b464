"""Scattering mixers: the token mixers of SVT (Patro & Agneeswaran, NeurIPS 2023, arXiv 2311.01310).

    L, D = dtcwt2d(x)                one level; L real (B, C, H, W), D complex (B, C, 6, H/2, W/2)       (1)
    L <- L * T                       tensor blending: a real gain at every place of the lowpass map      (2)
    D <- W2 relu(W1 D + b1) + b2     Einstein blending over channels, block diagonal in groups           (3)
    D <- V2 relu(V1 D + c1) + c2     the same along the width, one matrix a row ("channel_token" only)   (4)
    y = idtcwt2d(L, D)                                                                                   (5)

(3) and (4) are complex; relu takes real and imaginary part apart. (3) is shared by all positions and orientations, (4)
by all channels and orientations. `mixing="channel"` is (1) (2) (3) (5) on all channels. `mixing="channel_token"`
splits the channels: the first half goes through a 3 x 3 depthwise convolution, the second through (1) to (5), and the
two are interleaved (even channels the convolution, odd ones the scattering).

T, V and c belong to a map size, the resolution. Maps of another size meet interpolated ones: see `resize_*`.
Letters: B batch, C channels, H W rows and columns of the even-sided map, h w = H/2 W/2, G groups, K = 6 orientations.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectralvision.ops import Pyramid, dtcwt2d, idtcwt2d
from spectralvision.ops.complex_linear import stacked_bias, stacked_matrix
from spectralvision.ops.dtcwt_channels_last import MIN_CHANNELS
from spectralvision.ops.portions import in_portions_of_groups
from spectralvision.ops.tables import no_autocast, working_dtype

Mixing = Literal["channel", "channel_token"]


SAMPLES = 400 << 10  # of a batch that are worked on at a time: 1.6 MiB in float32, and what comes of them


class ScatteringMixer(nn.Module):
    """Token mixing in the dual-tree complex wavelet domain, (B, C, H, W) -> (B, C, H, W), any H and W.

    The scattering part is computed in float32 (float64 for float64 input), under autocast, too; the result has the
    dtype of x.

    Args:
        dim: channels C; a multiple of `groups` ("channel") or of 2 x `groups` ("channel_token").
        resolution: (H, W) of the maps that the weights belong to; an odd side counts as the next even one.
        mixing: "channel_token" (the published models) or "channel" (the released code).
        groups: blocks of the channel mixing.

    Raises:
        ValueError: dim does not fit the groups, the mixing is unknown, or the resolution is not positive.
    """

    def __init__(
        self,
        dim: int,
        resolution: tuple[int, int] = (56, 56),
        mixing: Mixing = "channel_token",
        groups: int = 4,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if mixing not in ("channel", "channel_token"):
            raise ValueError(f"mixing is 'channel' or 'channel_token', got {mixing!r}")
        parts = 2 if mixing == "channel_token" else 1
        if groups < 1 or dim < 1 or dim % (parts * groups):
            raise ValueError(f"dim is a multiple of {parts} x groups for {mixing!r}, got dim={dim}, groups={groups}")
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.dim, self.mixing, self.groups = dim, mixing, groups
        self.resolution = _even(resolution)
        (height, width), scattered, block = self.resolution, dim // parts, dim // parts // groups

        self.gain = nn.Parameter(torch.empty(scattered, height, width, **factory))
        self.w1, self.b1 = _complex_layer(groups, block, factory)
        self.w2, self.b2 = _complex_layer(groups, block, factory)
        if mixing == "channel_token":
            self.v1, self.c1 = _complex_layer(height // 2, width // 2, factory)
            self.v2, self.c2 = _complex_layer(height // 2, width // 2, factory)
            self.conv = nn.Conv2d(scattered, scattered, 3, padding=1, groups=scattered, **factory)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for parameter in self.parameters(recurse=False):
            nn.init.normal_(parameter, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if self.mixing == "channel":
            return self._scatter(x)
        local, spectral = x.chunk(2, dim=1)
        local, spectral = self.conv(local), self._scatter(spectral)
        return torch.stack([local.to(x.dtype), spectral], dim=2).flatten(1, 2)  # even channels local, odd spectral

    def set_input_size(self, resolution: tuple[int, int]) -> None:
        """Make the interpolation to another resolution (H, W) permanent."""
        resolution = _even(resolution)
        with torch.no_grad():
            resized = self._weights(resolution)
        for name, value in resized.items():
            old = getattr(self, name)
            setattr(self, name, nn.Parameter(value.to(old.dtype), requires_grad=old.requires_grad))
        self.resolution = resolution

    def _scatter(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2], x.shape[-1]
        dtype = working_dtype(x.dtype)
        with no_autocast(x):
            weights = {name: w.to(dtype) for name, w in self._weights(_even((height, width))).items()}
            gain = _channels_last(weights["gain"])
            size = len(gain) // self.groups

            def mixed(x: Tensor, groups: slice) -> Tensor:
                low, ((re, im),) = dtcwt2d(x.to(dtype))  # (1); an odd side is extended by its last row or column
                z = self._mix_channels(re, im, groups)  # (3)
                if self.mixing == "channel_token":
                    z = self._mix_width(z, weights)  # (4)
                re, im = z.permute(0, 1, 5, 2, 3, 4)
                pyramid = Pyramid(low * gain[groups.start * size : groups.stop * size], ((re, im),))  # (2)
                return idtcwt2d(pyramid, size=(height, width)).to(x.dtype)  # (5)

            return in_portions_of_groups(mixed, x, self.groups, SAMPLES, self, MIN_CHANNELS)

    def _mix_channels(self, re: Tensor, im: Tensor, groups: slice) -> Tensor:
        """Bands (B, C, K, h, w) of some groups -> (2, B, K, h, w, C)."""
        last = (band.permute(0, 2, 3, 4, 1).unflatten(-1, (groups.stop - groups.start, -1)) for band in (re, im))
        z = torch.cat(list(last), dim=-1)  # (B, K, h, w, G, 2C / G): parts stacked along the features of a group
        positions = z.shape[:-2]
        z = z.flatten(0, -3).transpose(0, 1)  # (G, B K h w, 2C / G)
        for layer, (weight, bias) in enumerate(((self.w1, self.b1), (self.w2, self.b2))):
            z = F.relu(z, inplace=True) if layer else z
            matrix, offset = stacked_matrix(weight[:, groups].to(re.dtype)), stacked_bias(bias[:, groups].to(re.dtype))
            z = torch.baddbmm(offset, z, matrix)
        z = z.unflatten(-1, (2, -1)).unflatten(1, positions)  # (G, B, K, h, w, 2, C / G)
        return z.permute(5, 1, 2, 3, 4, 0, 6).flatten(-2)

    @staticmethod
    def _mix_width(z: Tensor, weights: dict[str, Tensor]) -> Tensor:
        """(2, B, K, h, w, C) -> the same: of each row the parts are stacked along the width."""
        others = (z.shape[1], z.shape[2], z.shape[5])
        z = z.permute(3, 0, 4, 1, 2, 5).flatten(3).flatten(1, 2)  # (h, 2w, B K C)
        for layer, (weight, bias) in enumerate((("v1", "c1"), ("v2", "c2"))):
            z = F.relu(z, inplace=True) if layer else z
            z = torch.baddbmm(stacked_bias(weights[bias]).mT, stacked_matrix(weights[weight]).mT, z)
        return z.unflatten(2, others).unflatten(1, (2, -1)).permute(1, 3, 4, 0, 2, 5)

    def _weights(self, resolution: tuple[int, int]) -> dict[str, Tensor]:
        """The weights that belong to a map size, for maps of `resolution`."""
        names = ("gain", "v1", "c1", "v2", "c2") if self.mixing == "channel_token" else ("gain",)
        weights = {name: getattr(self, name) for name in names}
        if resolution == self.resolution:
            return weights
        resize = {"g": resize_gain, "v": resize_width_matrix, "c": resize_width_bias}
        return {name: resize[name[0]](weight, resolution) for name, weight in weights.items()}

    def extra_repr(self) -> str:
        return f"{self.dim}, resolution={self.resolution}, mixing={self.mixing!r}, groups={self.groups}"


def _channels_last(gain: Tensor) -> Tensor:
    """(C, H, W), its channels last in memory as the transform gives them."""
    return gain.permute(1, 2, 0).contiguous().permute(2, 0, 1)


def resize_gain(gain: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Gain (C, H, W) for maps of another resolution (H', W'), bilinear: (C, H', W')."""
    return _interpolate(gain.unsqueeze(0), resolution, "bilinear").squeeze(0)


def resize_width_matrix(matrix: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Width matrices (2, h, in, out) for another resolution: trilinear over (row, in, out), times w / w'.

    There are w' / w times as many inputs to a sum, so that the factor keeps its size.
    """
    height, width = resolution[0] // 2, resolution[1] // 2
    resized = _interpolate(matrix.unsqueeze(0), (height, width, width), "trilinear").squeeze(0)
    return resized * (matrix.shape[-1] / width)


def resize_width_bias(bias: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Biases (2, h, w) of the width mixing for another resolution, bilinear over (row, out)."""
    return _interpolate(bias.unsqueeze(0), (resolution[0] // 2, resolution[1] // 2), "bilinear").squeeze(0)


def _interpolate(x: Tensor, size: tuple[int, ...], mode: str) -> Tensor:
    with no_autocast(x):
        return F.interpolate(x.to(working_dtype(x.dtype)), size=size, mode=mode, align_corners=False)


def _even(resolution: tuple[int, int]) -> tuple[int, int]:
    height, width = resolution
    if height < 1 or width < 1:
        raise ValueError(f"a resolution is two positive sides (H, W), got {resolution}")
    return height + height % 2, width + width % 2


def _complex_layer(groups: int, width: int, factory: dict[str, Any]) -> tuple[nn.Parameter, nn.Parameter]:
    """Weight (2, G, in, out) and bias (2, G, out) of a block-diagonal complex layer."""
    weight = torch.empty(2, groups, width, width, **factory)
    return nn.Parameter(weight), nn.Parameter(torch.empty(2, groups, width, **factory))
