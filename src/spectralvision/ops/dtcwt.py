"""The two-dimensional dual-tree complex wavelet transform (Kingsbury 1998, 2001, 2003) and its inverse.

One level splits a map x along rows and columns by a low and a high filter P0, P1 of each axis,

    band[r, c] = P_r x P_c^T,        r, c in {low, high}                                                 (1)

The lowpass band[low, low] goes on to the next level. Each other band is read in quads of neighbours [[a b] [c d]],
a quad giving one sample of two complex bands of opposite orientation:

    z1 = ((a - d) + i (b + c)) / sqrt 2,        z2 = ((a + d) + i (b - c)) / sqrt 2                      (2)

    15, 165 degrees: z1, z2 of band[high, low];  45, 135: of band[high, high];  75, 105: of band[low, high].

Synthesis, with the filters S0, S1 and the quads recovered from z1 and z2,

    x = sum_rc  S_r band[r, c] S_c^T,    a, d = (Re z2 +- Re z1) / sqrt 2,    b, c = (Im z1 +- Im z2) / sqrt 2   (3)

Level 1: odd-length biorthogonal filters, undecimated: H x W maps give H x W bands. Levels >= 2: q-shift filters of two
trees, tree a on even samples, tree b on odd ones, decimated by two; [P0; P1] is orthogonal and S its transpose.
Both extend the map by half-sample symmetry. `ops/dtcwt_forms.py` holds two forms of a level, equal in value.

Sizes: an odd height or width is extended by repeating its last row or column; before each level >= 2 a side that is no
multiple of 4 is extended by repeating its first and last sample once each; the inverse drops what was added.
Precision: float64 is computed in float64, everything else in float32, outside autocast; results have the dtype of x.
Letters: B batch, C channels, H W rows and columns, K = 6 orientations.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from spectralvision.ops.dtcwt_channels_last import analyse_channels_last, channels_last, synthesise_channels_last
from spectralvision.ops.dtcwt_forms import analyse, synthesise
from spectralvision.ops.tables import check_real_maps, no_autocast, working_dtype
from spectralvision.ops.wavelet_filters import biort as biort_filters
from spectralvision.ops.wavelet_filters import qshift as qshift_filters

ORIENTATIONS = (15, 45, 75, 105, 135, 165)  # degrees, the order of the K axis


class Pyramid(NamedTuple):
    """The DTCWT of a map.

    Attributes:
        lowpass: (B, C, H', W'), twice as large on each axis as the last highpass.
        highpass: one (re, im) a level, finest first, each (B, C, 6, H / 2^level, W / 2^level), level from 1,
            orientations in the order of `ORIENTATIONS`.
    """

    lowpass: Tensor
    highpass: tuple[tuple[Tensor, Tensor], ...]

    def complex(self) -> tuple[Tensor, ...]:
        """The highpass bands as complex tensors, one a level, for eager use (float32 or float64)."""
        return tuple(
            torch.complex(re.to(working_dtype(re.dtype)), im.to(working_dtype(im.dtype))) for re, im in self.highpass
        )


def dtcwt2d(x: Tensor, levels: int = 1, biort: str = "near_sym_b", qshift: str = "qshift_b") -> Pyramid:
    """Dual-tree complex wavelet transform, equations (1) and (2).

    Args:
        x: real, (B, C, H, W), any size, odd ones too.
        levels: number of levels, at least 1.
        biort: filters of level 1: legall, antonini, near_sym_a, near_sym_b.
        qshift: filters of the levels from 2 on: qshift_06, qshift_a, qshift_b, qshift_c, qshift_d.

    Returns:
        Pyramid, in the dtype of x.

    Raises:
        ValueError: x is not a real tensor of four axes, levels < 1, or a filter set is unknown.
    """
    check_real_maps(x, "dtcwt2d", ndim=4)
    check_filters(biort, qshift)
    if levels < 1:
        raise ValueError(f"levels is at least 1, got {levels}")
    low, highpass = x.to(working_dtype(x.dtype)), []
    for level in range(levels):
        low, re, im = dtcwt2d_level(low, level, biort, qshift)
        highpass.append((re.to(x.dtype), im.to(x.dtype)))
    return Pyramid(low.to(x.dtype), tuple(highpass))


def dtcwt2d_level(low: Tensor, level: int, biort: str, qshift: str) -> tuple[Tensor, Tensor, Tensor]:
    """One level, the first being 0: the lowpass of the level before, or x -> lowpass, re and im, in the same dtype."""
    check_real_maps(low, "dtcwt2d", ndim=4)
    with no_autocast(low):
        x, filters = low.to(working_dtype(low.dtype)), qshift if level else biort
        x = _to_multiple_of_4(x) if level else _to_even(x)
        form = analyse_channels_last if channels_last(x, filters) else analyse
        return tuple(part.to(low.dtype) for part in form(x, filters))  # type: ignore[return-value]


def idtcwt2d(
    pyramid: Pyramid, biort: str = "near_sym_b", qshift: str = "qshift_b", size: tuple[int, int] | None = None
) -> Tensor:
    """Inverse of `dtcwt2d`, equation (3).

    Args:
        pyramid: lowpass and highpass as `dtcwt2d` returns them; its bands may have been changed, not their shapes.
        biort, qshift: the filter sets of the forward transform.
        size: (H, W) to crop the result to (bottom and right), for maps with an odd side; None keeps the even size.

    Returns:
        (B, C, H, W), in the dtype of the lowpass.

    Raises:
        ValueError: shapes do not fit each other or `size`, or a filter set is unknown.
    """
    lowpass, highpass = pyramid
    check_real_maps(lowpass, "idtcwt2d", ndim=4)
    check_filters(biort, qshift)
    if not highpass:
        raise ValueError("a pyramid has at least one level of highpass bands, got none")
    x = lowpass.to(working_dtype(lowpass.dtype))
    for level in reversed(range(len(highpass))):
        x = idtcwt2d_level(x, *highpass[level], level, biort, qshift)
    return _crop_end(x, size).to(lowpass.dtype)


def idtcwt2d_level(low: Tensor, re: Tensor, im: Tensor, level: int, biort: str, qshift: str) -> Tensor:
    """One level back, the first being 0: lowpass, re and im -> the lowpass of the level before, or x, in its dtype."""
    check_real_maps(low, "idtcwt2d", ndim=4)
    with no_autocast(low):
        dtype, filters = working_dtype(low.dtype), qshift if level else biort
        x = _crop_centre(low.to(dtype), re, level)
        form = synthesise_channels_last if channels_last(x, filters) else synthesise
        return form(x, re.to(dtype), im.to(dtype), filters).to(low.dtype)


def check_filters(biort: str, qshift: str) -> None:
    biort_filters(biort)
    qshift_filters(qshift)


def _to_even(x: Tensor) -> Tensor:
    """Repeat the last row or column of an odd side."""
    for axis in (-2, -1):
        if x.shape[axis] % 2:
            x = torch.cat([x, x.narrow(axis, x.shape[axis] - 1, 1)], dim=axis)
    return x


def _to_multiple_of_4(x: Tensor) -> Tensor:
    """Repeat the first and the last sample, once each, of an even side that is no multiple of 4."""
    for axis in (-2, -1):
        if x.shape[axis] % 4:
            x = torch.cat([x.narrow(axis, 0, 1), x, x.narrow(axis, x.shape[axis] - 1, 1)], dim=axis)
    return x


def _crop_centre(x: Tensor, band: Tensor, level: int) -> Tensor:
    """Undo `_to_multiple_of_4`: drop the first and last sample of a side longer than twice the level's highpass."""
    if band.ndim != 5 or band.shape[2] != 6:
        raise ValueError(f"highpass bands have shape (B, C, 6, H, W), got {tuple(band.shape)} at level {level + 1}")
    for axis in (-2, -1):
        wanted = 2 * band.shape[axis]
        if x.shape[axis] == wanted + 2:
            x = x.narrow(axis, 1, wanted)
        elif x.shape[axis] != wanted:
            raise ValueError(
                f"level {level + 1}: a highpass of shape {tuple(band.shape)} goes with a lowpass twice its size, "
                f"got {tuple(x.shape)}"
            )
    return x


def _crop_end(x: Tensor, size: tuple[int, int] | None) -> Tensor:
    if size is None:
        return x
    height, width = size
    if not (x.shape[-2] - 1 <= height <= x.shape[-2] and x.shape[-1] - 1 <= width <= x.shape[-1]):
        raise ValueError(f"this pyramid inverts to {tuple(x.shape[-2:])} or one row or column less, not to size {size}")
    return x[..., :height, :width]
