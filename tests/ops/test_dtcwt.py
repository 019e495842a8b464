import itertools
from math import cos, pi, radians, sin

import numpy as np
import pytest
import torch
from torch import Tensor

from spectralvision.ops import ORIENTATIONS, Pyramid, dtcwt2d, dtcwt_channels_last, idtcwt2d
from spectralvision.ops.dtcwt_channels_last import analyse_channels_last, synthesise_channels_last
from spectralvision.ops.dtcwt_conv import analyse_conv, synthesise_conv
from spectralvision.ops.dtcwt_matmul import analyse_matmul, synthesise_matmul
from spectralvision.ops.wavelet_filters import (
    BIORT_BANDPASS,
    BIORTS,
    QSHIFT_BANDPASS,
    QSHIFTS,
)
from tests.golden import rule
from tests.helpers.tolerances import DOUBLE, RECONSTRUCTION, SINGLE, WAVELET
from tests.reference import dtcwt as naive

GOLDEN = [
    "dtcwt_j1_near_sym_b_56x56",
    "dtcwt_j2_antonini_33x47",
    "dtcwt_j2_legall_30x44",
    "dtcwt_j3_near_sym_a_64x64",
    "dtcwt_j3_near_sym_b_bp_30x44",
    "dtcwt_j4_near_sym_b_64x48",
]


def double(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("file", GOLDEN)
def test_golden(file: str) -> None:
    arrays, meta = rule.load(file)
    x = rule.images(file, tuple(meta["input_shape"])).double()
    sets = {"biort": meta["biort"], "qshift": meta["qshift"]}
    pyramid = dtcwt2d(x, meta["levels"], **sets)
    np.testing.assert_allclose(pyramid.lowpass, arrays["lowpass"], atol=WAVELET)
    changed = []
    for level, (re, im) in enumerate(pyramid.highpass):
        np.testing.assert_allclose(
            torch.stack([re, im], dim=-1), arrays[f"highpass_{level + 1}"], atol=WAVELET
        )
        factor = (1 + 0.25 * torch.arange(6, dtype=torch.float64)) * (0.5 + 0.5 * level)
        changed.append((re * factor.view(6, 1, 1), im * factor.view(6, 1, 1)))
    inverse = idtcwt2d(Pyramid(0.75 * pyramid.lowpass, tuple(changed)), **sets)
    np.testing.assert_allclose(inverse, arrays["inverse"], atol=WAVELET)


@pytest.mark.parametrize(("biort", "qshift"), list(itertools.product(BIORTS, QSHIFTS)))
@pytest.mark.parametrize(
    "size", [(64, 64), (56, 56), (28, 28), (14, 14), (30, 50), (33, 47), (7, 9), (1, 1), (2, 3)]
)
def test_reconstruction(size: tuple[int, int], biort: str, qshift: str) -> None:
    x = double(1, 1, *size)
    for levels in (1, 2, 4):
        pyramid = dtcwt2d(x, levels, biort, qshift)
        assert (idtcwt2d(pyramid, biort, qshift, size=size) - x).abs().max() <= RECONSTRUCTION


def test_bandpass_filters_reconstruct_approximately() -> None:
    """A smooth map is kept; of white noise, the high diagonal frequencies are not."""
    sets = ("near_sym_b_bp", "qshift_b_bp")
    ramp = torch.linspace(-1, 1, 64, dtype=torch.float64).expand(1, 1, 64, 64)
    assert (idtcwt2d(dtcwt2d(ramp, 3, *sets), *sets) - ramp).abs().max() <= 1e-6
    noise = double(1, 1, 64, 64)
    assert 0.2 < (idtcwt2d(dtcwt2d(noise, 3, *sets), *sets) - noise).std() < 0.5


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (10, 6)])
@pytest.mark.parametrize(
    ("biort", "qshift"),
    [
        *[("near_sym_b", "qshift_b"), ("legall", "qshift_06"), ("antonini", "qshift_d")],
        *[("near_sym_b_bp", "qshift_b_bp"), ("near_sym_b_bp", "qshift_a")],
    ],
)
def test_equals_the_loops(size: tuple[int, int], biort: str, qshift: str) -> None:
    x = double(1, 2, *size)
    pyramid = dtcwt2d(x, 3, biort, qshift)
    for channel in range(2):
        low, highpass = naive.dtcwt2d(x[0, channel].numpy(), 3, biort, qshift)
        np.testing.assert_allclose(pyramid.lowpass[0, channel], low, atol=DOUBLE)
        for bands, expected in zip(pyramid.complex(), highpass, strict=True):
            np.testing.assert_allclose(bands[0, channel], expected, atol=DOUBLE)
    one = dtcwt2d(x[:, :1], 1, biort)
    changed = Pyramid(one.lowpass * 0.5, tuple((2 * re, -im) for re, im in one.highpass))
    bands = changed.complex()[0][0, 0].numpy()
    expected = naive.idtcwt2d_level_1(changed.lowpass[0, 0].numpy(), bands, biort)
    np.testing.assert_allclose(idtcwt2d(changed, biort)[0, 0], expected, atol=DOUBLE)


@pytest.mark.parametrize("filters", [*BIORTS, *BIORT_BANDPASS, *QSHIFTS, *QSHIFT_BANDPASS])
@pytest.mark.parametrize(
    ("forms", "shape", "dtype"),
    [
        ((analyse_conv, synthesise_conv), (2, 3, 12, 20), torch.float64),
        ((analyse_channels_last, synthesise_channels_last), (2, 16, 12, 20), torch.float64),
        (
            (analyse_channels_last, synthesise_channels_last),
            (2, 3, 40, 44),
            torch.float32,
        ),  # level 1: depthwise
    ],
)
def test_all_forms_agree_with_the_matrices_in_values_and_gradients(
    filters: str, forms, shape, dtype
) -> None:
    tolerance = DOUBLE if dtype == torch.float64 else SINGLE
    x = torch.randn(shape, dtype=dtype).requires_grad_()
    one, other = analyse_matmul(x, filters), forms[0](x, filters)
    torch.testing.assert_close(other, one, atol=tolerance, rtol=0)
    bands = tuple(
        torch.randn_like(part, memory_format=torch.contiguous_format).requires_grad_()
        for part in one
    )
    back = [form(*bands, filters) for form in (synthesise_matmul, forms[1])]
    torch.testing.assert_close(back[1], back[0], atol=tolerance, rtol=0)

    probes = [torch.randn_like(part) for part in one]
    gradients = [
        torch.autograd.grad(sum((p * q).sum() for p, q in zip(out, probes, strict=True)), x)
        for out in (one, other)
    ]
    torch.testing.assert_close(*gradients, atol=tolerance, rtol=0)
    probe = torch.randn_like(back[0])
    gradients = [torch.autograd.grad((y * probe).sum(), bands) for y in back]
    torch.testing.assert_close(*gradients, atol=tolerance, rtol=0)


@pytest.mark.parametrize("side", [4, 7, 35, 56])
def test_many_channels_equal_each_channel_alone(side) -> None:
    """Also for short maps, whose frame is wider than the map."""
    x = torch.randn(3, 16, side, side + 1)
    many = dtcwt2d(x, 2)
    for channel in (0, 15):
        alone = dtcwt2d(x[:1, channel : channel + 1], 2)  # too few channels for that form
        torch.testing.assert_close(
            many.lowpass[:1, channel : channel + 1], alone.lowpass, atol=SINGLE, rtol=0
        )
        for bands, wanted in zip(many.highpass, alone.highpass, strict=True):
            for band, expected in zip(bands, wanted, strict=True):
                torch.testing.assert_close(
                    band[:1, channel : channel + 1], expected, atol=SINGLE, rtol=0
                )
    torch.testing.assert_close(idtcwt2d(many, size=x.shape[-2:]), x, atol=SINGLE, rtol=0)


def test_split_and_join_of_the_channels_last_form_are_registered_operators_with_gradients() -> None:
    x = torch.randn(1, 6, 8, 16, dtype=torch.float64, requires_grad=True)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    for maps, filters in ((x, "legall"), (x[:, :4], "qshift_06")):
        args = (maps, filters, "analysis")
        torch.library.opcheck(dtcwt_channels_last.split_operator, args, test_utils=checks)

    def there_and_back(x: Tensor) -> Tensor:
        return synthesise_channels_last(
            *(part**2 for part in analyse_channels_last(x, "legall")), "legall"
        )

    small = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(there_and_back, small)
    assert torch.autograd.gradgradcheck(there_and_back, small)


def test_gradcheck_through_two_levels() -> None:
    def there_and_back(x: Tensor) -> Tensor:
        low, highpass = dtcwt2d(x, 2)
        return idtcwt2d(Pyramid(low**2, tuple((re * im, im) for re, im in highpass)))

    assert torch.autograd.gradcheck(there_and_back, double(1, 1, 6, 5).requires_grad_())


@pytest.mark.parametrize("angle", ORIENTATIONS)
def test_a_plane_wave_has_its_energy_in_its_own_orientation(angle: int) -> None:
    kx, ky = -0.5 * pi * sin(radians(angle)), -0.5 * pi * cos(radians(angle))
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    level_2 = dtcwt2d(torch.cos(kx * x + ky * y)[None, None], 2).complex()[1][0, 0]
    energy = level_2.abs().square().sum(dim=(-2, -1))
    assert energy[ORIENTATIONS.index(angle)] / energy.sum() >= 0.8


def test_energy_hardly_depends_on_the_position_of_an_edge() -> None:
    edges = (torch.arange(128) >= torch.arange(56, 72)[:, None]).double()
    x = edges[:, None, None, :].expand(16, 1, 128, 128)
    for bands in dtcwt2d(x, 4).complex()[1:]:
        energy = bands.abs().square().sum(dim=(1, 2, 3, 4))
        assert energy.max() / energy.min() < 1.10


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("side", [12, 200])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, side: int) -> None:
    x = torch.randn(1, 2, side, side).to(dtype)
    pyramid, exact = dtcwt2d(x, 2), dtcwt2d(x.float(), 2)
    torch.testing.assert_close(pyramid.lowpass, exact.lowpass.to(dtype), rtol=0, atol=0)
    for bands, wanted in zip(pyramid.highpass, exact.highpass, strict=True):
        torch.testing.assert_close(bands, tuple(part.to(dtype) for part in wanted), rtol=0, atol=0)
    assert idtcwt2d(pyramid).dtype == dtype
    with torch.autocast("cpu", torch.bfloat16):
        inside = dtcwt2d(x.float(), 2)
        torch.testing.assert_close(idtcwt2d(inside), idtcwt2d(exact), rtol=0, atol=0)


def test_meta_device_and_channels_last() -> None:
    x = torch.randn(2, 3, 33, 47)
    pyramid = dtcwt2d(x, 3)
    on_meta = dtcwt2d(x.to("meta"), 3)
    assert [re.shape for re, _ in on_meta.highpass] == [re.shape for re, _ in pyramid.highpass]
    assert idtcwt2d(on_meta, size=(33, 47)).shape == x.shape
    last = dtcwt2d(x.to(memory_format=torch.channels_last), 3)
    torch.testing.assert_close(last, pyramid, atol=SINGLE, rtol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dtcwt2d(torch.zeros(3, 8, 8)), "4 axes"),
        (lambda: dtcwt2d(torch.zeros(1, 1, 8, 8, dtype=torch.complex64)), "complex64"),
        (lambda: dtcwt2d(torch.zeros(1, 1, 8, 8), levels=0), "levels"),
        (lambda: dtcwt2d(torch.zeros(1, 1, 8, 8), biort="haar"), "haar"),
        (lambda: dtcwt2d(torch.zeros(1, 1, 8, 8), qshift="haar"), "haar"),
        (lambda: idtcwt2d(Pyramid(torch.zeros(1, 1, 8, 8), ())), "at least one level"),
        (lambda: idtcwt2d(dtcwt2d(torch.zeros(1, 1, 8, 8)), size=(5, 8)), "not to size"),
        (
            lambda: idtcwt2d(
                Pyramid(torch.zeros(1, 1, 8, 8), dtcwt2d(torch.zeros(1, 1, 12, 12)).highpass)
            ),
            "twice",
        ),
    ],
)
def test_bad_input_names_the_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
