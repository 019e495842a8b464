"""Filter taps of the dual-tree complex wavelet transform, in double precision.

Sources of the designs: legall (5/3), Le Gall & Tabatabai 1988; antonini (9/7), Antonini, Barlaud,
Mathieu & Daubechies 1992; near_sym_a (5/7), near_sym_b (13/19) and the q-shift sets (qshift_06 and
a: 10 taps, b: 14, c: 16, d: 18), Kingsbury 1998-2003. The tables are numbers, not code.

Level 1 is biorthogonal: the table contains the two lowpass filters, h0 of the analysis and g0 of
the synthesis; with s the alternating sign that is + at the centre tap,

    h1[j] = s[j] g0[j],     g1[j] = s[j] h0[j]                                                (1)

Levels >= 2 are orthogonal: the table contains the lowpass filter h0a of tree a; with m taps,
j = 0 .. m - 1,

    h1a[j] = (-1)^j h0a[m - 1 - j],     h0b[j] = h0a[m - 1 - j],     h1b[j] = h1a[m - 1 - j]  (2)

and the synthesis filters are the time reverses of these.

The sets near_sym_b_bp and qshift_b_bp (Kingsbury 2006) are near_sym_b and qshift_b, with a bandpass
filter h2 in place of h1 along both axes of the bands of 45 and 135 degrees, which makes them nearly
invariant to rotation. h2 is symmetric at level 1, where g2 = h2, and follows (2) in place of h1a at
levels >= 2. With them, synthesis is approximate.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class Biort(NamedTuple):
    """Odd biorthogonal filters of level 1: analysis low h0, high h1, synthesis low g0, high g1."""

    h0: np.ndarray
    h1: np.ndarray
    g0: np.ndarray
    g1: np.ndarray


class QShift(NamedTuple):
    """Even q-shift filters of levels >= 2: low h0 and high h1 of trees a and b."""

    h0a: np.ndarray
    h1a: np.ndarray
    h0b: np.ndarray
    h1b: np.ndarray


def biort(name: str) -> Biort:
    """Return the level-1 filters of a set, with h2 for h1 and g1 if the set has a bandpass filter.

    Raises:
        ValueError: The name is unknown.
    """
    _check_name(name, (*BIORTS, *BIORT_BANDPASS), "biort")
    h0, g0 = (np.array(taps) for taps in BIORTS[base_set(name) or name])
    if name in BIORT_BANDPASS:
        h2 = np.array(BIORT_BANDPASS[name][1])
        return Biort(h0=h0, h1=h2, g0=g0, g1=h2)
    return Biort(h0=h0, h1=_alternate(g0), g0=g0, g1=_alternate(h0))  # (1)


def qshift(name: str) -> QShift:
    """Return the filters of levels >= 2 of a set, with h2 for h1 if it has a bandpass filter.

    Raises:
        ValueError: The name is unknown.
    """
    _check_name(name, (*QSHIFTS, *QSHIFT_BANDPASS), "qshift")
    h0a = np.array(QSHIFTS[base_set(name) or name])
    h1a = h0a[::-1] * (-1.0) ** np.arange(len(h0a))
    if name in QSHIFT_BANDPASS:
        h1a = np.array(QSHIFT_BANDPASS[name][1])
    return QShift(h0a=h0a, h1a=h1a, h0b=h0a[::-1], h1b=h1a[::-1])  # (2)


def is_biort(name: str) -> bool:
    """Return whether a set is for level 1."""
    return name in BIORTS or name in BIORT_BANDPASS


def base_set(name: str) -> str | None:
    """Return the set that the other bands of a set with a bandpass filter use, else None."""
    base, _ = (BIORT_BANDPASS | QSHIFT_BANDPASS).get(name, (None, ()))
    return base


def _alternate(taps: np.ndarray) -> np.ndarray:
    return taps * (-1.0) ** (np.arange(len(taps)) - len(taps) // 2)


def _check_name(name: str, known: Iterable[str], kind: str) -> None:
    if name not in known:
        raise ValueError(f"unknown {kind} {name!r}: choose from {', '.join(known)}")


# Tables of numbers.
# fmt: off
# name: (h0, g0)
BIORTS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "legall": (
        (
            -0.125, 0.25, 0.75, 0.25, -0.125,
        ),
        (
            0.25, 0.5, 0.25,
        ),
    ),
    "antonini": (
        (
            0.026748757410810106, -0.01686411844287467, -0.07822326652899052,
            0.2668641184428729, 0.6029490182363593, 0.2668641184428769, -0.0782232665289884,
            -0.016864118442875293, 0.026748757410809648,
        ),
        (
            -0.04563588155712514, -0.02877176311424934, 0.295635881557128, 0.5575435262285023,
            0.29563588155712334, -0.02877176311425308, -0.04563588155712608,
        ),
    ),
    "near_sym_a": (
        (
            -0.05, 0.25, 0.6, 0.25, -0.05,
        ),
        (
            -0.010714285714285713, -0.05357142857142857, 0.26071428571428573,
            0.6071428571428571, 0.26071428571428573, -0.05357142857142857,
            -0.010714285714285713,
        ),
    ),
    "near_sym_b": (
        (
            -0.0017578125, 0.0, 0.022265625, -0.046875, -0.0482421875, 0.296875, 0.55546875,
            0.296875, -0.0482421875, -0.046875, 0.022265625, 0.0, -0.0017578125,
        ),
        (
            7.062639508928571e-05, 0.0, -0.0013419015066964285, -0.0018833705357142855,
            0.007156808035714285, 0.023856026785714284, -0.05564313616071428,
            -0.05168805803571428, 0.29975760323660716, 0.5594308035714286, 0.29975760323660716,
            -0.05168805803571428, -0.05564313616071428, 0.023856026785714284,
            0.007156808035714285, -0.0018833705357142855, -0.0013419015066964285, 0.0,
            7.062639508928571e-05,
        ),
    ),
}

# name: h0a
QSHIFTS: dict[str, tuple[float, ...]] = {
    "qshift_06": (
        0.03516383657149474, 0.0, -0.08832942445107285, 0.23389032060723564,
        0.7602723690661257, 0.5875182977235605, 0.0, -0.11430183714424873, 0.0, 0.0,
    ),
    "qshift_a": (
        0.051130405283831656, -0.013975370246888838, -0.10983605166597087, 0.26383956105893763,
        0.7666284677930372, 0.5636557101270515, 0.0008736226952170968, -0.1002312195074762,
        -0.0016896812725281543, -0.006181881892116438,
    ),
    "qshift_b": (
        0.003253142763653182, -0.00388321199915849, 0.03466034684485349, -0.03887280126882779,
        -0.11720388769911527, 0.27529538466888204, 0.7561456438925225, 0.5688104207121227,
        0.011866092033797, -0.1067118046866654, 0.023825384794920298, 0.01702522388155399,
        -0.005439475937274115, -0.004556895628475491,
    ),
    "qshift_c": (
        -0.0047616119384559135, -0.00044602278926228516, -7.144197327965012e-05,
        0.034914612306842195, -0.03727389579989796, -0.11591145742744076, 0.2763686431330317,
        0.7563937651990367, 0.567134484100133, 0.01463740596447335, -0.11255888425752203,
        0.02228926326692271, 0.018498682724156248, -0.0072026778782583465,
        -0.0002276522058977718, 0.002430349945148675,
    ),
    "qshift_d": (
        -0.002284127440270531, 0.0012098941630734423, -0.011834794515430786,
        0.0012834569993443994, 0.044365221606616996, -0.05327610880304726, -0.1133058863621428,
        0.2809028632221865, 0.7528160380878561, 0.5658080673964587, 0.024550152433666563,
        -0.12018854471079482, 0.018156493945546453, 0.03152637712208465, -0.006628794612430063,
        -0.0025761743066007948, 0.0012775586538069982, 0.002411869456666278,
    ),
}

# name: (set of the other bands, h2)
BIORT_BANDPASS: dict[str, tuple[str, tuple[float, ...]]] = {
    "near_sym_b_bp": (
        "near_sym_b",
        (
            -0.0003682500256732022, -0.0006222535855797443, -7.817824798259501e-05,
            0.004185820847068102, 0.008191787178883645, -0.007423274024802627,
            -0.0615384268799117, -0.1481582309116905, -0.11707630163921576, 0.6529082158435902,
            -0.11707630163921576, -0.1481582309116905, -0.061538426879911706,
            -0.007423274024802629, 0.008191787178883643, 0.004185820847068102,
            -7.817824798259492e-05, -0.0006222535855797442, -0.00036825002567320215,
        ),
    ),
}

# name: (set of the other bands, h2a)
QSHIFT_BANDPASS: dict[str, tuple[str, tuple[float, ...]]] = {
    "qshift_b_bp": (
        "qshift_b",
        (
            -2.43562670333119e-05, -0.009595143054161103, -0.025455435181424572,
            -0.026368561379365885, -0.007624747581512476, 0.26269188061668647,
            0.43678738578031734, -0.8381378400904721, -0.0447647940175083, 0.1732414728674278,
            0.061444653375592864, 0.021010057728309713, -0.0004329193033811051,
            -0.0027716534934753667,
        ),
    ),
}
# fmt: on
