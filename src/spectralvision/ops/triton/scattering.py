"""The scattering mixers with their channel mixing as one Triton kernel, see `complex_mlp.py`.

The same functions as in `ops/scattering.py`, computed in the dtype of x with float32 sums. x is
best channels last in memory. Sides must be even.
"""

from torch import Tensor

from spectralvision.ops.dtcwt_channels_last import join, split
from spectralvision.ops.precision import no_autocast
from spectralvision.ops.triton.complex_mlp import DTYPES, MAX_FEATURES, complex_mlp_channels_last
from spectralvision.ops.width_mixing import mix_width

FILTERS = "near_sym_b"  # of the one level


def supports(x: Tensor, gain: Tensor, w1: Tensor, *weights: Tensor) -> bool:
    """Return whether the kernel takes these arguments: even sides, a known dtype, enough groups."""
    even = x.shape[-2] % 2 == 0 and x.shape[-1] % 2 == 0
    return even and x.dtype in DTYPES and w1.shape[2] <= MAX_FEATURES


def scattering_channel_mixing(
    x: Tensor, gain: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
) -> Tensor:
    """Mix channels in the wavelet domain, as the op of this name does.

    Raises:
        ValueError: a side is odd, or see `complex_mlp`.
    """
    return _scatter(x, gain, (w1, b1, w2, b2), ())


def scattering_channel_token_mixing(
    x: Tensor,
    gain: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    v1: Tensor,
    c1: Tensor,
    v2: Tensor,
    c2: Tensor,
) -> Tensor:
    """Mix channels, then positions along the width, as the op of this name does.

    Raises:
        ValueError: a side is odd, or see `complex_mlp`.
    """
    return _scatter(x, gain, (w1, b1, w2, b2), (v1, c1, v2, c2))


def _scatter(
    x: Tensor, gain: Tensor, channel: tuple[Tensor, ...], width: tuple[Tensor, ...]
) -> Tensor:
    if x.shape[-2] % 2 or x.shape[-1] % 2:
        raise ValueError(
            f"the kernel needs maps with even sides, got {tuple(x.shape)}: "
            "use the op in spectralvision.ops.scattering"
        )
    with no_autocast(x):
        low, bands = split(x.permute(0, 2, 3, 1), FILTERS, "analysis")  # (2, B, K, h, w, C)
        low = low * gain.to(x.dtype).permute(1, 2, 0)
        w1, b1, w2, b2 = channel
        re, im = bands.unbind(0)
        re, im = complex_mlp_channels_last(re, im, w1, b1, w2, b2, "relu", 0.0, False)
        if width:
            re, im = re.movedim(-1, 1), im.movedim(-1, 1)
            v1, c1, v2, c2 = (weight.to(x.dtype) for weight in width)
            re, im = mix_width(re, im, v1, c1, v2, c2)
            re, im = re.movedim(1, -1), im.movedim(1, -1)
        return join(low, re, im, FILTERS, "synthesis").permute(0, 3, 1, 2)
