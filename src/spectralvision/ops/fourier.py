"""The real 2-D Fourier transform and its inverse, on pairs (re, im), in two forms of equal value.

    X[u, v] = 1 / sqrt(H W)  sum_hw  x[h, w] exp(-2 pi i (u h / H + v w / W)),   v = 0 .. W // 2          (1)
    Y[h, v] = 1 / sqrt(H)    sum_u   X[u, v] exp(+2 pi i u h / H)                                        (2)
    x[h, w] = 1 / sqrt(W)    sum_v   c_v (Re Y[h, v] cos(2 pi v w / W) - Im Y[h, v] sin(2 pi v w / W))   (3)

with c_v = 1 for v = 0 and v = W / 2, otherwise 2. (2) and (3) define the inverse of *any* half-spectrum, Hermitian or
not: column 0 and, when W is even, column W / 2 of the intermediate Y enter by their real part only, because their sine
is zero. Libraries disagree on such spectra; this definition gives the same result on every device.

Conventions: orthonormal; the last axis is halved; float16 and bfloat16 are computed in float32.
Letters: H W rows and columns, U V frequencies (U = H, V = W // 2 + 1).
Forms: "fft" calls the library's transform; "matmul" is two real matrix products with constant tables, which every
exporter and compiler knows; "auto" takes "matmul" while exporting, tracing or compiling and wherever
`benchmarks/fourier_forms.py` measured it to be faster, otherwise "fft".
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from spectralvision.ops.tables import check_real_maps, no_autocast, table, working_dtype

Form = Literal["auto", "fft", "matmul"]

# In eager mode the matrix form wins where a side has a prime factor as large as this, and hardly anywhere else; devices
# that are not listed have not been measured (benchmarks/results/fourier_forms.json).
AWKWARD_PRIME = {"cpu": 23}


def rfft2(x: Tensor, form: Form = "auto") -> tuple[Tensor, Tensor]:
    """Orthonormal half-spectrum of real maps, equation (1).

    Args:
        x: real, (..., H, W), any H and W from 1, odd ones too.
        form: "auto", "fft" or "matmul" (see the module).

    Returns:
        (re, im), each (..., H, W // 2 + 1), in the dtype of x.

    Raises:
        ValueError: x is not real, has fewer than two axes or an empty one, or the form is unknown.
    """
    check_real_maps(x, "rfft2")
    height, width = x.shape[-2:]
    matmul = _use_matmul(form, x, height, width)
    with no_autocast(x):
        real = x.to(working_dtype(x.dtype))
        if matmul:
            re, im = _rfft2_matmul(real)
        else:
            spectrum = torch.fft.rfft2(real, norm="ortho")  # (1)
            re, im = spectrum.real, spectrum.imag
    return re.to(x.dtype), im.to(x.dtype)


def irfft2(re: Tensor, im: Tensor, size: tuple[int, int], form: Form = "auto") -> Tensor:
    """Real maps of any half-spectrum, equations (2) and (3).

    Args:
        re, im: (..., H, W // 2 + 1), the same shape and dtype.
        size: (H, W) of the result; W tells an even width from an odd one.
        form: "auto", "fft" or "matmul" (see the module).

    Returns:
        (..., H, W), in the dtype of re.

    Raises:
        ValueError: shapes do not fit each other or `size`, the dtype is not real, or the form is unknown.
    """
    check_real_maps(re, "irfft2")
    height, width = size
    if re.shape != im.shape:
        raise ValueError(f"irfft2 takes re and im of one shape, got {tuple(re.shape)} and {tuple(im.shape)}")
    if tuple(re.shape[-2:]) != (height, width // 2 + 1):
        raise ValueError(
            f"a half-spectrum of size {(height, width)} has shape (..., {height}, {width // 2 + 1}), "
            f"got {tuple(re.shape)}: pass the size of the map, not of the spectrum"
        )
    matmul = _use_matmul(form, re, height, width)
    with no_autocast(re):
        dtype = working_dtype(re.dtype)
        inverse = _irfft2_matmul if matmul else _irfft2_fft
        return inverse(re.to(dtype), im.to(dtype), width).to(re.dtype)


def _use_matmul(form: Form, x: Tensor, height: int, width: int) -> bool:
    if form not in ("auto", "fft", "matmul"):
        raise ValueError(f"form is 'auto', 'fft' or 'matmul', got {form!r}")
    if form != "auto":
        return form == "matmul"
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # is_compiling() holds while exporting, too
        return True
    awkward = AWKWARD_PRIME.get(x.device.type)
    return awkward is not None and max(_largest_prime(height), _largest_prime(width)) >= awkward


@lru_cache(maxsize=1024)
def _largest_prime(n: int) -> int:
    """The largest prime factor of n, 1 for n = 1."""
    factor, largest = 2, 1
    while n > 1:
        while n % factor == 0:
            n, largest = n // factor, factor
        factor += 1
    return largest


def _irfft2_fft(re: Tensor, im: Tensor, width: int) -> Tensor:
    y = torch.fft.ifft(torch.complex(re, im), dim=-2, norm="ortho")  # (2)
    if y.device.type != "cpu":  # the CPU library already ignores what (3) ignores; others promise nothing
        y = torch.complex(y.real, y.imag * _imaginary_columns(re, width))
    return torch.fft.irfft(y, n=width, dim=-1, norm="ortho")  # (3)


def _rfft2_matmul(x: Tensor) -> tuple[Tensor, Tensor]:
    height, width = x.shape[-2:]
    half = width // 2 + 1
    t = x @ _rows_forward(x, width)  # (..., H, 2V): [re | im] along W
    t = _columns(x, height) @ t  # (..., 2U, 2V): [cos; sin] along H
    cos, sin = t[..., :height, :], t[..., height:, :]
    re = cos[..., :half] + sin[..., half:]  # (1): (cos - i sin)(re + i im)
    im = cos[..., half:] - sin[..., :half]
    return re, im


def _irfft2_matmul(re: Tensor, im: Tensor, width: int) -> Tensor:
    height, half = re.shape[-2:]
    t = _columns(re, height) @ torch.cat([re, im], dim=-1)  # (..., 2H, 2V)
    cos, sin = t[..., :height, :], t[..., height:, :]
    y = torch.cat([cos[..., :half] - sin[..., half:], cos[..., half:] + sin[..., :half]], dim=-1)  # (2)
    return y @ _rows_inverse(re, width)  # (3)


def _angles(n: int, m: int) -> np.ndarray:
    """2 pi j k / n for j < n, k < m, reduced before the product so that large sizes lose no digits."""
    return 2 * np.pi * (np.outer(np.arange(n), np.arange(m)) % n) / n


@table
def _columns(height: int) -> np.ndarray:
    """(2H, H): [cos; sin] of the orthonormal DFT along H."""
    angles = _angles(height, height)
    return np.concatenate([np.cos(angles), np.sin(angles)]) / np.sqrt(height)


@table
def _rows_forward(width: int) -> np.ndarray:
    """(W, 2V): [cos | -sin] of the orthonormal real DFT along W."""
    angles = _angles(width, width // 2 + 1)
    return np.concatenate([np.cos(angles), -np.sin(angles)], axis=1) / np.sqrt(width)


@table
def _rows_inverse(width: int) -> np.ndarray:
    """(2V, W): c_v [cos; -sin] of equation (3); the sine rows of columns 0 and W / 2 are exactly zero."""
    angles = _angles(width, width // 2 + 1).T
    weight = np.full((len(angles), 1), 2.0)
    weight[_real_columns(width)] = 1.0
    sin = np.sin(angles)
    sin[_real_columns(width)] = 0.0
    return np.concatenate([weight * np.cos(angles), -weight * sin]) / np.sqrt(width)


@table
def _imaginary_columns(width: int) -> np.ndarray:
    """(V,): 0 for the columns of which equation (3) uses the real part only, otherwise 1."""
    keep = np.ones(width // 2 + 1)
    keep[_real_columns(width)] = 0.0
    return keep


def _real_columns(width: int) -> list[int]:
    return [0, width // 2] if width % 2 == 0 else [0]
