"""The filters of one DTCWT level as matrices and kernels, shared by all forms of a level.

Equation numbers below 4 are those of `ops/dtcwt.py`. Along one axis of n samples the filters are
two matrices P0, P1 of m rows (m = n at level 1, n / 2 at levels >= 2), given here row by row, with
x extended by half-sample symmetry:

    level 1, odd filters h of t taps:    (P x)[k] = sum_j h[j] x[k + j - (t - 1) / 2]         (4)
    levels >= 2, even filters of t taps, tree a on even samples of x, tree b on odd ones:
        A(h)[k] = sum_j h[j] x[4k + 2j - (t - 2)]
        B(h)[k] = sum_j h[j] x[4k + 2j - (t - 3)]
        P0 x = A(h0a), B(h0b) interleaved,          P1 x = B(h1b), A(h1a) interleaved         (5)
"""

import numpy as np

from spectralvision.ops.wavelet_filters import biort, is_biort, qshift

LOW, HIGH = 0, 1
RE, IM = 0, 1


def matrices(n: int, filters: str) -> tuple[np.ndarray, np.ndarray]:
    """Return analysis (2, m, n) and synthesis (2, n, m) matrices from equations (4) and (5)."""
    if is_biort(filters):
        h0, h1, g0, g1 = biort(filters)
        analysis = np.stack([_filter_matrix(n, h0), _filter_matrix(n, h1)])
        return analysis, np.stack([_filter_matrix(n, g0), _filter_matrix(n, g1)])
    kernels, reach = qshift_kernels(filters)
    extended = np.eye(n)[reflect(n, reach, reach)]  # extended @ x extends x
    analysis = np.zeros((2, n // 2, n))
    for band in (LOW, HIGH):
        for parity in (0, 1):
            for k in range(n // 4):
                window = extended[4 * k : 4 * k + kernels.shape[-1]]
                analysis[band, 2 * k + parity] = kernels[2 * band + parity] @ window  # (5)
    return analysis, analysis.transpose(0, 2, 1)


def _filter_matrix(n: int, taps: np.ndarray) -> np.ndarray:
    reach = len(taps) // 2
    extended = np.eye(n)[reflect(n, reach, reach)]
    return np.stack([taps @ extended[k : k + len(taps)] for k in range(n)])  # (4)


def qshift_kernels(filters: str) -> tuple[np.ndarray, int]:
    """Return kernels (4, 2t) that act on x[4k - reach :], and reach = t - 2.

    Rows: low even, low odd, high even, high odd.
    """
    h0a, h1a, h0b, h1b = qshift(filters)
    t = len(h0a)
    kernels = np.zeros((4, 2 * t))
    kernels[0, 0::2] = h0a  # A starts at t - 2 before 4k, B one sample later
    kernels[1, 1::2] = h0b
    kernels[2, 1::2] = h1b
    kernels[3, 0::2] = h1a
    return kernels, t - 2


def center_taps(filters: tuple[np.ndarray, ...], reach: int) -> np.ndarray:
    """Pad odd filters with zeros to 2 reach + 1 taps each: (filters, taps)."""
    return np.stack([np.pad(taps, reach - len(taps) // 2) for taps in filters])


def reflect(n: int, before: int, after: int) -> np.ndarray:
    """Return sample numbers -before .. n - 1 + after, folded back by half-sample symmetry."""
    index = np.arange(-before, n + after) % (2 * n)
    return np.minimum(index, 2 * n - 1 - index)


def outer_rows(matrices: np.ndarray) -> np.ndarray:
    """Return z1, z2 of the bands that are high along H: 15 and 165 degrees."""
    rows = _quad_rows(matrices[HIGH])
    return rows.reshape(-1, rows.shape[-2] * 2)


def inner_rows(matrices: np.ndarray) -> np.ndarray:
    """Return 45, 75, 105, 135 degrees: z1 of high and low, z2 of low and high along H."""
    low, high = _quad_rows(matrices[LOW]), _quad_rows(matrices[HIGH])
    rows = np.stack([high[:, 0], low[:, 0], low[:, 1], high[:, 1]], axis=1)
    return rows.reshape(-1, rows.shape[-2] * 2)


def _quad_rows(matrix: np.ndarray) -> np.ndarray:
    """Return equation (2) as rows: matrix (m, n) along H -> (part, z, m / 2, n, column parity)."""
    even, odd = matrix[0::2], matrix[1::2]
    rows = [  # [re, im][z1, z2][columns even, odd]
        [[even, -odd], [even, odd]],
        [[odd, even], [-odd, even]],
    ]
    return np.moveaxis(np.array(rows), 2, -1) / np.sqrt(2)


def order_by_parity(matrix: np.ndarray) -> np.ndarray:
    """Return the even rows, then the odd rows."""
    return np.concatenate([matrix[0::2], matrix[1::2]])
