"""The real 2-D Fourier transform and its inverse on pairs (re, im), in two forms of equal value.

    X[u, v] = 1 / sqrt(H W)  sum_hw  x[h, w] exp(-2 pi i (u h / H + v w / W))                 (1)
    Y[h, v] = 1 / sqrt(H)    sum_u   X[u, v] exp(+2 pi i u h / H)                             (2)
    x[h, w] = 1 / sqrt(W)    sum_v   c_v (Re Y[h, v] cos(p) - Im Y[h, v] sin(p))              (3)

with v = 0 .. W // 2, p = 2 pi v w / W, c_v = 1 for v = 0 and v = W / 2, otherwise 2. (2) and (3)
define the inverse of *any* half-spectrum, Hermitian or not: only the real part of column 0 and, for
even W, of column W / 2 of the intermediate Y is used, because their sine is zero. Libraries
disagree on such spectra; this definition gives the same result on every device. As real linear
maps, the transpose of (1) is (2) (3) after division by c_v, and that of (2) (3) is (1) times c_v.

Conventions: orthonormal; the last axis is halved; float16 and bfloat16 are computed in float32.
Letters: H W rows and columns, U V frequencies (U = H, V = W // 2 + 1), 2 = (re, im).
Forms: "fft" calls the library's transform; "matmul" is real products with constant tables, one
along each axis or, for the smallest maps, one for both, which every exporter and compiler supports;
"auto" uses "matmul" while exporting or tracing, while compiling for an accelerator, and where
`benchmarks/fourier_forms.py` measured it to be faster, otherwise "fft", which compilers call as a
registered operator.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from spectralvision.ops.checks import check_real_maps
from spectralvision.ops.complex_linear import complex_product
from spectralvision.ops.empty_batch import accept_empty_batch
from spectralvision.ops.precision import no_autocast, working_dtype
from spectralvision.ops.products import matmul
from spectralvision.ops.tables import table

Form = Literal["auto", "fft", "matmul"]
Spectrum = tuple[Tensor, Tensor]

# Where the matrix form is faster (benchmarks/results/fourier_forms.json); other devices have not
# been measured.
MATMUL_MIN_PRIME = {"cpu": 23}  # prime factor of a side
MATMUL_MAX_SAMPLES = {"cpu": 64}  # of a map
DENSE_MAX_SAMPLES = 64  # of a map, up to which the matrix form is one product for both axes


@accept_empty_batch
def rfft2(x: Tensor, form: Form = "auto") -> tuple[Tensor, Tensor]:
    """Compute the orthonormal half-spectrum of real maps, equation (1).

    Args:
        x: real, (..., H, W), any H and W from 1, also odd.
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
        re, im = (rfft2_matmul if matmul else _rfft2_fft)(x.to(working_dtype(x.dtype)))
    return re.to(x.dtype), im.to(x.dtype)


@accept_empty_batch
def irfft2(re: Tensor, im: Tensor, size: tuple[int, int], form: Form = "auto") -> Tensor:
    """Compute real maps from any half-spectrum, equations (2) and (3).

    Args:
        re, im: (..., H, W // 2 + 1), the same shape and dtype.
        size: (H, W) of the result; W distinguishes an even width from an odd one.
        form: "auto", "fft" or "matmul" (see the module).

    Returns:
        (..., H, W), in the dtype of re.

    Raises:
        ValueError: shapes do not match each other or `size`, the dtype is not real, or the form is
            unknown.
    """
    check_real_maps(re, "irfft2")
    height, width = size
    if re.shape != im.shape:
        raise ValueError(
            f"irfft2 expects re and im of one shape, got {tuple(re.shape)} and {tuple(im.shape)}"
        )
    if tuple(re.shape[-2:]) != (height, width // 2 + 1):
        raise ValueError(
            f"the half-spectrum of a map of size {(height, width)} must have shape "
            f"(..., {height}, {width // 2 + 1}), got {tuple(re.shape)}: "
            "pass the size of the map, not of the spectrum"
        )
    matmul = _use_matmul(form, re, height, width)
    with no_autocast(re):
        dtype = working_dtype(re.dtype)
        inverse = _irfft2_matmul if matmul else _irfft2_fft
        return inverse(re.to(dtype), im.to(dtype), width).to(re.dtype)


def fourier_filter(
    x: Tensor, mask: Callable[[Tensor, Tensor], Spectrum], form: Form = "auto"
) -> Tensor:
    """Compute y = irfft2(mask(X) * X) with a mask that depends on the spectrum X = rfft2(x).

    Args:
        x: float32 or float64, (..., H, W).
        mask: computes the mask (re, im) from the spectrum (re, im), each (..., H, W // 2 + 1).
        form: as in `rfft2`.

    Returns:
        (..., H, W).
    """
    height, width = x.shape[-2:]
    if not _use_matmul(form, x, height, width) and not torch.compiler.is_compiling():
        # The same on complex tensors: the product and the inverse then need no rearranged copies.
        values = torch.fft.rfft2(x, norm="ortho")  # (1)
        return _inverse_fft(
            torch.complex(*mask(torch.real(values), torch.imag(values))) * values, width
        )  # (2) (3)
    spectrum = rfft2(x, form)  # (1)
    masked = complex_product(mask(*spectrum), spectrum)
    return irfft2(*masked, (height, width), form)  # (2) (3)


def _use_matmul(form: Form, x: Tensor, height: int, width: int) -> bool:
    if form not in ("auto", "fft", "matmul"):
        raise ValueError(f"form must be 'auto', 'fft' or 'matmul', got {form!r}")
    if form != "auto":
        return form == "matmul"
    device = x.device.type
    if (
        torch.compiler.is_exporting()
        or torch.jit.is_tracing()
        or (torch.compiler.is_compiling() and device != "cpu")
    ):
        return True
    if height * width <= MATMUL_MAX_SAMPLES.get(device, 0):
        return True
    prime = MATMUL_MIN_PRIME.get(device)
    return prime is not None and max(_largest_prime(height), _largest_prime(width)) >= prime


def _largest_prime(n: int) -> int:
    """Return the largest prime factor of n, 1 for n = 1."""
    factor, largest = 2, 1
    while n > 1:
        while n % factor == 0:
            n, largest = n // factor, factor
        factor += 1
    return largest


def _rfft2_fft(x: Tensor) -> tuple[Tensor, Tensor]:
    if torch.compiler.is_compiling():
        re, im = rfft2_operator(x).unbind(0)
        return re, im
    values = torch.fft.rfft2(x, norm="ortho")  # (1)
    return torch.real(values), torch.imag(values)


def _irfft2_fft(re: Tensor, im: Tensor, width: int) -> Tensor:
    if torch.compiler.is_compiling():
        return irfft2_operator(re, im, width)
    return _inverse_fft(torch.complex(re, im), width)


def _inverse_fft(values: Tensor, width: int) -> Tensor:
    if values.device.type == "cpu":  # follows (2) and (3); other libraries do not guarantee it
        return torch.fft.irfft2(values, s=(values.shape[-2], width), norm="ortho")
    y = torch.fft.ifft(values, dim=-2, norm="ortho")  # (2)
    re, im = torch.real(y), torch.imag(y)
    y = torch.complex(re, im * _imaginary_columns(re, width))
    return torch.fft.irfft(y, n=width, dim=-1, norm="ortho")  # (3)


@torch.library.custom_op("spectralvision::rfft2", mutates_args=())
def rfft2_operator(x: Tensor) -> Tensor:
    """Compute `rfft2` as one tensor (2, ..., U, V), for compilers, which lack complex numbers."""
    values = torch.fft.rfft2(x, norm="ortho")
    return torch.stack([torch.real(values), torch.imag(values)])


@torch.library.custom_op("spectralvision::irfft2", mutates_args=())
def irfft2_operator(re: Tensor, im: Tensor, width: int) -> Tensor:
    """Compute `irfft2` of re and im (..., U, V), for compilers."""
    return _inverse_fft(torch.complex(re, im), width).contiguous()


@rfft2_operator.register_fake
def _(x: Tensor) -> Tensor:
    *lead, height, width = x.shape
    return x.new_empty(2, *lead, height, width // 2 + 1)


@irfft2_operator.register_fake
def _(re: Tensor, im: Tensor, width: int) -> Tensor:
    return re.new_empty(*re.shape[:-1], width)


def _save_width(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.width = inputs[-1] if isinstance(inputs[-1], int) else inputs[-1].shape[-1]


def _rfft2_backward(ctx: Any, parts: Tensor) -> Tensor:
    re, im = parts / _weights(parts, ctx.width)
    return irfft2_operator(re, im, ctx.width)


def _irfft2_backward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, None]:
    re, im = rfft2_operator(x) * _weights(x, ctx.width)
    return re, im, None


rfft2_operator.register_autograd(_rfft2_backward, setup_context=_save_width)
irfft2_operator.register_autograd(_irfft2_backward, setup_context=_save_width)


def rfft2_matmul(x: Tensor) -> Spectrum:
    """Compute `rfft2` by products with constant matrices."""
    *lead, height, width = x.shape
    half = width // 2 + 1
    if height * width <= DENSE_MAX_SAMPLES:
        flat = x.reshape(*lead, 1, height * width)
        parts = matmul(flat, _forward(x, height, width))  # (1)
    else:
        t = matmul(x, _rows_forward(x, width)).view(*lead, 2 * height, half)  # (1) along W
        parts = matmul(_columns_forward(x, height), t)  # (1) along H: rows (h, part) -> (part, u)
    re, im = parts.view(*lead, 2, height, half).unbind(-3)
    return re, im


def _irfft2_matmul(re: Tensor, im: Tensor, width: int) -> Tensor:
    *lead, height, half = re.shape
    parts = torch.stack([re, im], dim=-3)
    if height * width <= DENSE_MAX_SAMPLES:
        flat = parts.view(*lead, 1, 2 * height * half)
        return matmul(flat, _inverse(re, height, width)).view(*lead, height, width)  # (2) (3)
    # (2): rows (part, u) -> (h, part)
    y = matmul(_columns_inverse(re, height), parts.view(*lead, 2 * height, half))
    return matmul(y.view(*lead, height, 2 * half), _rows_inverse(re, width))  # (3)


def angles(n: int, m: int) -> np.ndarray:
    """Return 2 pi j k / n for j < n, k < m, reduced first so that large sizes lose no digits."""
    return 2 * np.pi * (np.outer(np.arange(n), np.arange(m)) % n) / n


def _along_columns(height: int) -> np.ndarray:
    """(2, H, H, 2): (part, u, h, part) of the orthonormal complex DFT along H.

    re' = C re + S im, im' = C im - S re.
    """
    cos, sin = (function(angles(height, height)) / np.sqrt(height) for function in (np.cos, np.sin))
    return np.stack([np.stack([cos, sin], axis=-1), np.stack([-sin, cos], axis=-1)])


def transform_along_rows(width: int) -> np.ndarray:
    """Return the orthonormal real DFT along W, [cos | -sin], (W, 2, V)."""
    phase = angles(width, width // 2 + 1)
    return np.stack([np.cos(phase), -np.sin(phase)], axis=1) / np.sqrt(width)


def inverse_along_rows(width: int) -> np.ndarray:
    """Return c_v [cos; -sin] of equation (3), (2, V, W).

    The sine rows of columns 0 and W / 2 are exactly zero.
    """
    back = transform_along_rows(width).transpose(1, 2, 0) * _column_weights(width)[:, None]
    back[1, _real_columns(width)] = 0.0
    return back


@table
def _columns_forward(height: int) -> np.ndarray:
    """(2U, 2H), rows ordered (part, u), columns (h, part)."""
    return _along_columns(height).reshape(2 * height, 2 * height)


@table
def _columns_inverse(height: int) -> np.ndarray:
    """(2H, 2U), the transpose of the forward matrix, which is orthogonal."""
    return _along_columns(height).reshape(2 * height, 2 * height).T


@table
def _rows_forward(width: int) -> np.ndarray:
    """(W, 2V), columns ordered (part, v)."""
    return transform_along_rows(width).reshape(width, -1)


@table
def _rows_inverse(width: int) -> np.ndarray:
    """(2V, W), rows ordered (part, v)."""
    return inverse_along_rows(width).reshape(-1, width)


@table
def _forward(height: int, width: int) -> np.ndarray:
    """(H W, 2 U V): equation (1) as one matrix."""
    both = np.einsum("wpv,quhp->hwquv", transform_along_rows(width), _along_columns(height))
    return both.reshape(height * width, -1)


@table
def _inverse(height: int, width: int) -> np.ndarray:
    """(2 U V, H W): equations (2) and (3) as one matrix."""
    both = np.einsum("quhp,pvw->quvhw", _along_columns(height), inverse_along_rows(width))
    return both.reshape(-1, height * width)


@table
def _weights(width: int) -> np.ndarray:
    """(V,): c_v."""
    return _column_weights(width)


@table
def _imaginary_columns(width: int) -> np.ndarray:
    """(V,): 0 for the columns whose real part only is used by equation (3), otherwise 1."""
    keep = np.ones(width // 2 + 1)
    keep[_real_columns(width)] = 0.0
    return keep


def _column_weights(width: int) -> np.ndarray:
    weights = np.full(width // 2 + 1, 2.0)
    weights[_real_columns(width)] = 1.0
    return weights


def _real_columns(width: int) -> list[int]:
    return [0, width // 2] if width % 2 == 0 else [0]
