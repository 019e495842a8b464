"""The dual-tree complex wavelet transform of one map, sample by sample, from the equations."""

import numpy as np

from spectralvision.ops.wavelet_filters import base_set, biort, qshift


def sample(x: np.ndarray, k: int) -> float:
    """x[k] with half-sample symmetric extension: x[-1] = x[0], x[n] = x[n - 1]."""
    n = len(x)
    while not 0 <= k < n:
        k = -1 - k if k < 0 else 2 * n - 1 - k
    return x[k]


def level_1(x: np.ndarray, h: np.ndarray) -> np.ndarray:
    m = len(h)
    return np.array(
        [sum(h[j] * sample(x, k + j - (m - 1) // 2) for j in range(m)) for k in range(len(x))]
    )


def q_shift(x: np.ndarray, ha: np.ndarray, hb: np.ndarray, high: bool) -> np.ndarray:
    m, quarter = len(ha), len(x) // 4
    a = [sum(ha[j] * sample(x, 4 * k + 2 * j - (m - 2)) for j in range(m)) for k in range(quarter)]
    b = [sum(hb[j] * sample(x, 4 * k + 2 * j - (m - 3)) for j in range(m)) for k in range(quarter)]
    first, second = (b, a) if high else (a, b)
    return np.array([first, second]).T.reshape(-1)


def split(
    x: np.ndarray, axis: int, level: int, biort_name: str, qshift_name: str
) -> tuple[np.ndarray, np.ndarray]:
    if level == 0:
        f = biort(biort_name)
        return np.apply_along_axis(level_1, axis, x, f.h0), np.apply_along_axis(
            level_1, axis, x, f.h1
        )
    f = qshift(qshift_name)
    low = np.apply_along_axis(q_shift, axis, x, f.h0a, f.h0b, False)
    return low, np.apply_along_axis(q_shift, axis, x, f.h1a, f.h1b, True)


def quads(band: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b, c, d = band[0::2, 0::2], band[0::2, 1::2], band[1::2, 0::2], band[1::2, 1::2]
    return ((a - d) + 1j * (b + c)) / np.sqrt(2), ((a + d) + 1j * (b - c)) / np.sqrt(2)


def dtcwt2d(
    x: np.ndarray, levels: int, biort_name: str, qshift_name: str
) -> tuple[np.ndarray, list[np.ndarray]]:
    """(H, W) -> lowpass and, for each level, complex (6, h, w)."""
    x = np.pad(x, [(0, side % 2) for side in x.shape], mode="edge")
    highpass = []
    for level in range(levels):
        if level:
            x = np.pad(x, [(1, 1) if side % 4 else (0, 0) for side in x.shape], mode="edge")
        sets = (biort_name, qshift_name)
        _, row_band = split(x, 0, level, *sets)
        _, high_high = split(row_band, 1, level, *sets)
        sets = (base_set(biort_name) or biort_name, base_set(qshift_name) or qshift_name)
        row_low, row_high = split(x, 0, level, *sets)
        x, low_high = split(row_low, 1, level, *sets)
        high_low, _ = split(row_high, 1, level, *sets)
        z15, z165 = quads(high_low)
        z45, z135 = quads(high_high)
        z75, z105 = quads(low_high)
        highpass.append(np.stack([z15, z45, z75, z105, z135, z165]))
    return x, highpass


def idtcwt2d_level_1(low: np.ndarray, bands: np.ndarray, biort_name: str) -> np.ndarray:
    """The inverse of one level: lowpass (H, W), bands (6, H / 2, W / 2) complex -> (H, W)."""
    f = biort(base_set(biort_name) or biort_name)
    diagonal = biort(biort_name).g1

    def samples(z1: np.ndarray, z2: np.ndarray) -> np.ndarray:
        out = np.zeros(low.shape)
        out[0::2, 0::2], out[1::2, 1::2] = (
            (z1.real + z2.real) / np.sqrt(2),
            (z2.real - z1.real) / np.sqrt(2),
        )
        out[0::2, 1::2], out[1::2, 0::2] = (
            (z1.imag + z2.imag) / np.sqrt(2),
            (z1.imag - z2.imag) / np.sqrt(2),
        )
        return out

    def along(axis: int, band: np.ndarray, taps: np.ndarray) -> np.ndarray:
        return np.apply_along_axis(level_1, axis, band, taps)

    low_columns = along(0, low, f.g0) + along(0, samples(bands[0], bands[5]), f.g1)
    high_columns = along(0, samples(bands[2], bands[3]), f.g0)
    diagonal_columns = along(0, samples(bands[1], bands[4]), diagonal)
    columns = along(1, low_columns, f.g0) + along(1, high_columns, f.g1)
    return columns + along(1, diagonal_columns, diagonal)
