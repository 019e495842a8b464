import numpy as np
import pytest

from spectralvision.ops.wavelet_filters import BIORTS, QSHIFTS, biort, qshift


@pytest.mark.parametrize("name", BIORTS)
def test_biorthogonal_filters_reconstruct_perfectly(name: str) -> None:
    """H0(z) G0(z) + H1(z) G1(z) = 1 for the undecimated pair, with odd lengths centred."""
    h0, h1, g0, g1 = biort(name)
    assert all(len(taps) % 2 for taps in (h0, h1, g0, g1))
    low, high = np.convolve(h0, g0), np.convolve(h1, g1)
    total = np.zeros(max(len(low), len(high)))
    for product in (low, high):
        start = (len(total) - len(product)) // 2
        total[start : start + len(product)] += product
    impulse = np.zeros(len(total))
    impulse[len(total) // 2] = 1
    np.testing.assert_allclose(total, impulse, atol=1e-14)
    np.testing.assert_allclose([h0.sum(), h1.sum(), g0.sum(), g1.sum()], [1, 0, 1, 0], atol=1e-14)


@pytest.mark.parametrize("name", QSHIFTS)
def test_q_shift_filters_are_orthonormal(name: str) -> None:
    """Even shifts of a tree's low and high filters are orthonormal; tree b is tree a reversed."""
    h0a, h1a, h0b, h1b = qshift(name)
    assert len(h0a) % 2 == 0
    np.testing.assert_array_equal(h0b, h0a[::-1])
    np.testing.assert_array_equal(h1b, h1a[::-1])
    m = len(h0a)
    for shift in range(0, m, 2):
        expected = float(shift == 0)
        for h in (h0a, h1a):
            np.testing.assert_allclose(h[shift:] @ h[: m - shift], expected, atol=1e-12)
        np.testing.assert_allclose(h0a[shift:] @ h1a[: m - shift], 0, atol=1e-12)
    np.testing.assert_allclose(h0a.sum(), np.sqrt(2), atol=1e-12)


@pytest.mark.parametrize("function", [biort, qshift])
def test_unknown_name_lists_the_known_ones(function) -> None:
    with pytest.raises(ValueError, match=r"'haar'.*(near_sym_b|qshift_b)"):
        function("haar")
