"""The orthonormal 2-D cosine transform (DCT-II) and its inverse, in two forms of equal value.

    A[n, m] = sum_hw  c_H[n, h] c_W[m, w] x[h, w]                                             (1)
    x[h, w] = sum_nm  c_H[n, h] c_W[m, w] A[n, m]                                             (2)
    c_N[n, h] = s_n cos(pi (2 h + 1) n / (2 N)),  s_0 = sqrt(1 / N), otherwise s_n = sqrt(2 / N)

The matrices c are orthogonal, so that (2) is the transpose of (1).

Conventions: the last two axes; float16 and bfloat16 are computed in float32.
Letters: H W rows and columns, n m frequencies along them.
Forms: "matmul" is one product with a constant matrix along each axis, which every exporter and
compiler supports; "fft" computes each axis by a complex Fourier transform of the reordered samples
(Makhoul 1980); "auto" uses "matmul" while exporting, tracing or compiling, and up to the sides for
which `benchmarks/cosine_forms.py` measured it to be faster, otherwise "fft".
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spectralvision.ops.checks import check_real_maps
from spectralvision.ops.empty_batch import accept_empty_batch
from spectralvision.ops.fourier import Form
from spectralvision.ops.precision import no_autocast, working_dtype
from spectralvision.ops.products import matmul
from spectralvision.ops.tables import table

MATMUL_MAX_SIDE = 256
"""The longest side for which the matrix form is faster on a CPU (benchmarks/results/
cosine_forms.json); other devices have not been measured and use it, too."""


@accept_empty_batch
def dct2(x: Tensor, form: Form = "auto") -> Tensor:
    """Compute the orthonormal cosine transform of real maps, equation (1).

    Args:
        x: real, (..., H, W), any H and W from 1, also odd.
        form: "auto", "fft" or "matmul" (see the module).

    Returns:
        (..., H, W), in the dtype of x.

    Raises:
        ValueError: x is not real, has fewer than two axes or an empty one, or the form is unknown.
    """
    check_real_maps(x, "dct2")
    along = _dct_matmul if _use_matmul(form, x) else _dct_fft
    with no_autocast(x):
        a = x.to(working_dtype(x.dtype))
        return along(along(a, -1), -2).to(x.dtype)  # (1)


@accept_empty_batch
def idct2(a: Tensor, form: Form = "auto") -> Tensor:
    """Compute real maps from their cosine transform, equation (2); as `dct2` otherwise."""
    check_real_maps(a, "idct2")
    along = _idct_matmul if _use_matmul(form, a) else _idct_fft
    with no_autocast(a):
        x = a.to(working_dtype(a.dtype))
        return along(along(x, -2), -1).to(a.dtype)  # (2)


def _use_matmul(form: Form, x: Tensor) -> bool:
    if form not in ("auto", "fft", "matmul"):
        raise ValueError(f"form must be 'auto', 'fft' or 'matmul', got {form!r}")
    if form != "auto":
        return form == "matmul"
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    return max(x.shape[-2:]) <= MATMUL_MAX_SIDE


def _dct_matmul(x: Tensor, dim: int) -> Tensor:
    matrix = _matrix(x, x.shape[dim])
    return matmul(x, matrix.mT) if dim == -1 else matmul(matrix, x)


def _idct_matmul(a: Tensor, dim: int) -> Tensor:
    matrix = _matrix(a, a.shape[dim])
    return matmul(a, matrix) if dim == -1 else matmul(matrix.mT, a)


def _dct_fft(x: Tensor, dim: int) -> Tensor:
    """Sum the even samples, then the odd ones backwards, and turn by a quarter sample."""
    x = x.movedim(dim, -1)
    v = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], dim=-1)
    spectrum = torch.fft.fft(v, norm="ortho")
    cos, sin = _turn(x, x.shape[-1]).unbind(0)
    return (torch.real(spectrum) * cos + torch.imag(spectrum) * sin).movedim(-1, dim)


def _idct_fft(a: Tensor, dim: int) -> Tensor:
    """Undo `_dct_fft`: a Hermitian spectrum has a[n] and a[N - n] as parts of its entry n."""
    a = a.movedim(dim, -1)
    size = a.shape[-1]
    cos, sin = _turn_back(a, size).unbind(0)
    mirrored = torch.cat([torch.zeros_like(a[..., :1]), a[..., 1:].flip(-1)], dim=-1)
    spectrum = torch.complex(a * cos + mirrored * sin, a * sin - mirrored * cos)
    v = torch.real(torch.fft.ifft(spectrum, norm="ortho"))
    even, odd = v[..., : (size + 1) // 2], v[..., (size + 1) // 2 :].flip(-1)
    odd = F.pad(odd, (0, size % 2))
    return torch.stack([even, odd], dim=-1).flatten(-2)[..., :size].movedim(-1, dim)


def cosine_matrix(size: int) -> np.ndarray:
    """Return s_n cos(pi (2 h + 1) n / (2 N)), (n, h), float64, with angles reduced first."""
    n, h = np.arange(size)[:, None], np.arange(size)[None]
    angle = np.pi * ((2 * h + 1) * n % (4 * size)) / (2 * size)
    return _scales(size)[:, None] * np.cos(angle)


def _scales(size: int) -> np.ndarray:
    scales = np.full(size, np.sqrt(2 / size))
    scales[0] = np.sqrt(1 / size)
    return scales


@table
def _matrix(size: int) -> np.ndarray:
    """(n, h): equation (1) along one axis."""
    return cosine_matrix(size)


@table
def _turn(size: int) -> np.ndarray:
    """(2, N): s_n sqrt(N) times cos and sin of pi n / (2 N)."""
    angle = np.pi * np.arange(size) / (2 * size)
    return np.stack([np.cos(angle), np.sin(angle)]) * _scales(size) * np.sqrt(size)


@table
def _turn_back(size: int) -> np.ndarray:
    """(2, N): cos and sin of pi n / (2 N), over sqrt(2), but 1 for n = 0."""
    angle = np.pi * np.arange(size) / (2 * size)
    both = np.stack([np.cos(angle), np.sin(angle)]) / np.sqrt(2)
    both[:, 0] = 1.0, 0.0
    return both
