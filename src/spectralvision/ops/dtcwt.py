"""The two-dimensional dual-tree complex wavelet transform (Kingsbury 1998-2003), and its inverse.

One level splits a map x along rows and columns by a low and a high filter P0, P1 of each axis,

    band[r, c] = P_r x P_c^T,        r, c in {low, high}                                      (1)

The lowpass band[low, low] is the input of the next level. Each other band is read in quads of
neighbours [[a b] [c d]]; a quad gives one sample of two complex bands of opposite orientation:

    z1 = ((a - d) + i (b + c)) / sqrt 2,        z2 = ((a + d) + i (b - c)) / sqrt 2           (2)

15, 165 degrees: z1, z2 of band[high, low]; 45, 135 degrees: of band[high, high]; 75, 105 degrees:
of band[low, high].

Synthesis, with the filters S0, S1 and the quads recovered from z1 and z2,

    x = sum_rc  S_r band[r, c] S_c^T                                                          (3)
    a, d = (Re z2 +- Re z1) / sqrt 2,    b, c = (Im z1 +- Im z2) / sqrt 2

Level 1: odd-length biorthogonal filters, undecimated: H x W maps give H x W bands. Levels >= 2:
q-shift filters of two trees, tree a on even samples, tree b on odd ones, decimated by two; [P0; P1]
is orthogonal and S its transpose. Both extend the map by half-sample symmetry. A level has several
forms of equal value, see docs/maths/dtcwt.md.

Sizes: an odd height or width is extended by repeating its last row or column; before each level >=
2 a side that is not a multiple of 4 is extended by repeating its first and last sample once each;
the inverse drops what was added.
Precision: float64 is computed in float64, everything else in float32, outside autocast; results
have the dtype of x.
Letters: B batch, C channels, H W rows and columns, K = 6 orientations.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from spectralvision.ops.checks import check_real_maps
from spectralvision.ops.dtcwt_channels_last import (
    analyse_channels_last,
    synthesise_channels_last,
    use_channels_last,
)
from spectralvision.ops.dtcwt_conv import analyse_conv, synthesise_conv
from spectralvision.ops.dtcwt_matmul import analyse_matmul, synthesise_matmul
from spectralvision.ops.empty_batch import accept_empty_batch
from spectralvision.ops.precision import no_autocast, working_dtype
from spectralvision.ops.wavelet_filters import base_set, is_biort
from spectralvision.ops.wavelet_filters import biort as biort_filters
from spectralvision.ops.wavelet_filters import qshift as qshift_filters

ORIENTATIONS = (15, 45, 75, 105, 135, 165)  # degrees, the order of the K axis
MATMUL_MAX_SIDE = 128  # the longer side of a map up to which the matrix form is used

Level = tuple[Tensor, Tensor, Tensor]  # lowpass, re, im


class Pyramid(NamedTuple):
    """The DTCWT of a map.

    Attributes:
        lowpass: (B, C, H', W'), twice as large on each axis as the last highpass.
        highpass: one (re, im) per level, finest first, each (B, C, 6, H / 2^level, W / 2^level),
            level from 1, orientations in the order of `ORIENTATIONS`.
    """

    lowpass: Tensor
    highpass: tuple[tuple[Tensor, Tensor], ...]

    def complex(self) -> tuple[Tensor, ...]:
        """Return the highpass bands as complex tensors, one per level, for eager use."""
        return tuple(
            torch.complex(re.to(working_dtype(re.dtype)), im.to(working_dtype(im.dtype)))
            for re, im in self.highpass
        )


def dtcwt2d(
    x: Tensor, levels: int = 1, biort: str = "near_sym_b", qshift: str = "qshift_b"
) -> Pyramid:
    """Compute the dual-tree complex wavelet transform, equations (1) and (2).

    Args:
        x: real, (B, C, H, W), any size, also odd.
        levels: number of levels, at least 1.
        biort: filters of level 1: legall, antonini, near_sym_a, near_sym_b, near_sym_b_bp.
        qshift: filters of levels >= 2: qshift_06, qshift_a, qshift_b, qshift_c, qshift_d,
            qshift_b_bp.

    Returns:
        Pyramid, in the dtype of x.

    Raises:
        ValueError: x is not a real tensor with four axes, levels < 1, or a filter set is unknown.
    """
    check_real_maps(x, "dtcwt2d", ndim=4)
    check_filters(biort, qshift)
    if levels < 1:
        raise ValueError(f"levels must be at least 1, got {levels}")
    low = x.to(working_dtype(x.dtype))
    highpass = []
    for level in range(levels):
        low, re, im = dtcwt2d_level(low, level, biort, qshift)
        highpass.append((re.to(x.dtype), im.to(x.dtype)))
    return Pyramid(low.to(x.dtype), tuple(highpass))


@accept_empty_batch
def dtcwt2d_level(low: Tensor, level: int, biort: str, qshift: str) -> Level:
    """Compute one level, counted from 0: x or the previous lowpass -> lowpass, re, im."""
    check_real_maps(low, "dtcwt2d", ndim=4)
    filters = qshift if level else biort
    with no_autocast(low):
        x = low.to(working_dtype(low.dtype))
        x = _extend_to_multiple_of_4(x) if level else _extend_to_even(x)
        new_low, re, im = _analyse(x, filters)
        return new_low.to(low.dtype), re.to(low.dtype), im.to(low.dtype)


def idtcwt2d(
    pyramid: Pyramid,
    biort: str = "near_sym_b",
    qshift: str = "qshift_b",
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Compute the inverse of `dtcwt2d`, equation (3).

    Args:
        pyramid: lowpass and highpass in the shapes that `dtcwt2d` returns.
        biort, qshift: the filter sets of the forward transform.
        size: (H, W) to crop the result to (bottom and right), for maps with an odd side; None keeps
            the even size.

    Returns:
        (B, C, H, W), in the dtype of the lowpass.

    Raises:
        ValueError: shapes do not match each other or `size`, or a filter set is unknown.
    """
    lowpass, highpass = pyramid
    check_real_maps(lowpass, "idtcwt2d", ndim=4)
    check_filters(biort, qshift)
    if not highpass:
        raise ValueError("a pyramid must have at least one level of highpass bands, got none")
    x = lowpass.to(working_dtype(lowpass.dtype))
    for level in reversed(range(len(highpass))):
        x = idtcwt2d_level(x, *highpass[level], level, biort, qshift)
    return _crop_to_size(x, size).to(lowpass.dtype)


@accept_empty_batch
def idtcwt2d_level(
    low: Tensor, re: Tensor, im: Tensor, level: int, biort: str, qshift: str
) -> Tensor:
    """Invert one level, counted from 0: lowpass, re, im -> the previous lowpass, or x."""
    check_real_maps(low, "idtcwt2d", ndim=4)
    dtype = working_dtype(low.dtype)
    with no_autocast(low):
        x = _crop_to_bands(low.to(dtype), re, level)
        y = _synthesise(x, re.to(dtype), im.to(dtype), qshift if level else biort)
        return y.to(low.dtype)


def check_filters(biort: str, qshift: str) -> None:
    """Raise ValueError if one of the filter sets is unknown."""
    biort_filters(biort)
    qshift_filters(qshift)


def _analyse(x: Tensor, filters: str) -> Level:
    """Compute one level; a set with a bandpass filter has it in two of the six bands only."""
    base = base_set(filters)
    if base is None:
        return _analyse_form(x, filters)
    low, *others = _analyse_form(x, base)
    _, *diagonals = _analyse_form(x, filters)
    re, im = map(_replace_diagonals, others, diagonals)
    return low, re, im


def _synthesise(low: Tensor, re: Tensor, im: Tensor, filters: str) -> Tensor:
    """Invert one level; it is linear, so the bands of each filter can be inverted by themselves."""
    base = base_set(filters)
    if base is None:
        return _synthesise_form(low, re, im, filters)
    zeros = torch.zeros_like(re)
    others = [_replace_diagonals(band, zeros) for band in (re, im)]
    diagonals = [_replace_diagonals(zeros, band) for band in (re, im)]
    x = _synthesise_form(low, others[0], others[1], base)
    return x + _synthesise_form(torch.zeros_like(low), diagonals[0], diagonals[1], filters)


def _replace_diagonals(bands: Tensor, diagonals: Tensor) -> Tensor:
    """Return bands (B, C, 6, h, w) with the 45 and 135 degrees of others."""
    sources = (bands, diagonals, bands, bands, diagonals, bands)
    return torch.stack([source[:, :, k] for k, source in enumerate(sources)], dim=2)


def _analyse_form(x: Tensor, filters: str) -> Level:
    """Compute one level in the form that is fastest for x."""
    if use_channels_last(x, filters):
        return analyse_channels_last(x, filters)
    if max(x.shape[-2:]) <= MATMUL_MAX_SIDE:
        return analyse_matmul(x, filters)
    return analyse_conv(x, filters)


def _synthesise_form(low: Tensor, re: Tensor, im: Tensor, filters: str) -> Tensor:
    """Invert one level in the form that is fastest for its maps."""
    if use_channels_last(low, filters):
        return synthesise_channels_last(low, re, im, filters)
    most = MATMUL_MAX_SIDE if is_biort(filters) else MATMUL_MAX_SIDE // 2
    if max(low.shape[-2:]) <= most:
        return synthesise_matmul(low, re, im, filters)
    return synthesise_conv(low, re, im, filters)


def _extend_to_even(x: Tensor) -> Tensor:
    """Repeat the last row or column of an odd side."""
    for axis in (-2, -1):
        if x.shape[axis] % 2:
            x = torch.cat([x, x.narrow(axis, x.shape[axis] - 1, 1)], dim=axis)
    return x


def _extend_to_multiple_of_4(x: Tensor) -> Tensor:
    """Repeat the first and last sample, once each, of an even side that is not a multiple of 4."""
    for axis in (-2, -1):
        if x.shape[axis] % 4:
            x = torch.cat([x.narrow(axis, 0, 1), x, x.narrow(axis, x.shape[axis] - 1, 1)], dim=axis)
    return x


def _crop_to_bands(x: Tensor, band: Tensor, level: int) -> Tensor:
    """Undo `_extend_to_multiple_of_4`: crop sides longer than twice the level's highpass."""
    if band.ndim != 5 or band.shape[2] != 6:
        raise ValueError(
            f"highpass bands must have shape (B, C, 6, H, W), got {tuple(band.shape)} "
            f"at level {level + 1}"
        )
    for axis in (-2, -1):
        wanted = 2 * band.shape[axis]
        if x.shape[axis] == wanted + 2:
            x = x.narrow(axis, 1, wanted)
        elif x.shape[axis] != wanted:
            raise ValueError(
                f"level {level + 1}: the lowpass must be twice as large as the highpass of shape "
                f"{tuple(band.shape)}, got {tuple(x.shape)}"
            )
    return x


def _crop_to_size(x: Tensor, size: tuple[int, int] | None) -> Tensor:
    if size is None:
        return x
    height, width = size
    if not (x.shape[-2] - 1 <= height <= x.shape[-2] and x.shape[-1] - 1 <= width <= x.shape[-1]):
        raise ValueError(
            f"this pyramid inverts to {tuple(x.shape[-2:])} or one row or column less, "
            f"not to size {size}"
        )
    return x[..., :height, :width]
