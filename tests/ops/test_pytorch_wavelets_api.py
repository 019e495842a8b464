"""The modules in the style of pytorch_wavelets, against the functions."""

import itertools

import pytest
import torch

from spectralvision.ops import DTCWTForward, DTCWTInverse, dtcwt2d
from spectralvision.ops.pytorch_wavelets_api import TAPS
from tests.helpers.tolerances import SINGLE

LAYOUTS = [(2, -1), (1, -1), (2, 1), (1, 2), (4, 2), (2, -2), (0, 5), (-1, 0)]


def maps(*shape):
    torch.manual_seed(0)
    return torch.randn(shape)


@pytest.mark.parametrize(("o_dim", "ri_dim"), LAYOUTS)
def test_layout(o_dim, ri_dim):
    x = maps(2, 3, 20, 28)
    low, highs = DTCWTForward(J=2, o_dim=o_dim, ri_dim=ri_dim)(x)
    pyramid = dtcwt2d(x, 2, "near_sym_a", "qshift_a")
    assert torch.equal(low, pyramid.lowpass)
    for high, (re, im) in zip(highs, pyramid.highpass, strict=True):
        assert high.ndim == 6
        assert high.shape[o_dim] == 6
        assert high.shape[ri_dim] == 2
        for (k, orientation), (r, part) in itertools.product(
            enumerate(range(6)), enumerate((re, im))
        ):
            one = high.select(ri_dim, r)
            axis = o_dim % 6 - (o_dim % 6 > ri_dim % 6)
            assert torch.equal(one.select(axis, k), part[:, :, orientation])
    assert (DTCWTInverse(o_dim=o_dim, ri_dim=ri_dim)((low, highs)) - x).abs().max() < SINGLE


def test_layout_by_default_is_batch_channels_orientations_rows_columns_parts():
    shapes = [tuple(high.shape) for high in DTCWTForward()(maps(2, 3, 32, 40))[1]]
    assert shapes == [(2, 3, 6, 16, 20, 2), (2, 3, 6, 8, 10, 2), (2, 3, 6, 4, 5, 2)]


def test_odd_sides_become_even_as_in_pytorch_wavelets():
    x = maps(1, 2, 33, 47)
    y = DTCWTInverse("near_sym_b", "qshift_b")(DTCWTForward("near_sym_b", "qshift_b", J=3)(x))
    assert y.shape == (1, 2, 34, 48)
    assert (y[..., :33, :47] - x).abs().max() < SINGLE


def test_omitted_bands_and_scales():
    x = maps(1, 2, 32, 32)
    full, highs = DTCWTForward(J=3, include_scale=True)(x)
    assert [tuple(low.shape[-2:]) for low in full] == [(32, 32), (16, 16), (8, 8)]
    some, fewer = DTCWTForward(
        J=3, include_scale=[False, True, False], skip_hps=[True, False, True]
    )(x)
    assert [low.ndim for low in some] == [0, 4, 0]
    assert torch.equal(some[1], full[1])
    assert [high.ndim for high in fewer] == [0, 6, 0]
    assert torch.equal(fewer[1], highs[1])
    assert [high.ndim for high in DTCWTForward(J=2, skip_hps=True)(x)[1]] == [0, 0]


@pytest.mark.parametrize("nothing", [None, torch.zeros(()), torch.tensor([])])
def test_missing_coefficients_are_zeros(nothing):
    inverse = DTCWTInverse()
    low, highs = DTCWTForward()(maps(1, 2, 32, 36))
    for level in range(3):
        without = [nothing if i == level else high for i, high in enumerate(highs)]
        zero = [torch.zeros_like(high) if i == level else high for i, high in enumerate(highs)]
        assert torch.equal(inverse((low, without)), inverse((low, zero)))
    assert torch.equal(inverse((nothing, highs)), inverse((torch.zeros_like(low), highs)))
    finest = [highs[0], nothing, nothing]
    assert inverse((nothing, finest)).shape[-2:] == (32, 36)
    with pytest.raises(ValueError, match="all are None or empty"):
        inverse((nothing, [nothing]))


def test_gradients_reach_the_input():
    x = maps(1, 2, 16, 16).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: DTCWTInverse()(DTCWTForward(J=2)(x)), x, fast_mode=True
    )


def test_compiles_exports_and_runs_in_half_precision():
    class There(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.forward_transform, self.inverse = DTCWTForward(J=2), DTCWTInverse()

        def forward(self, x):
            low, highs = self.forward_transform(x)
            return self.inverse((low, [2 * high for high in highs]))

    module, x = There(), maps(1, 4, 16, 24)
    expected = module(x)
    assert (torch.compile(module, fullgraph=True)(x) - expected).abs().max() < SINGLE
    assert (torch.export.export(module, (x,)).module()(x) - expected).abs().max() < SINGLE
    assert module(x.bfloat16()).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert (module(x) - expected).abs().max() < SINGLE


def test_checkpoints_of_pytorch_wavelets_load():
    module = torch.nn.ModuleDict({"xfm": DTCWTForward(), "ifm": DTCWTInverse()})
    module.load_state_dict({f"{name}.{tap}": torch.zeros(3) for name in module for tap in TAPS})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"biort": "haar"}, "haar"),
        ({"biort": ([1.0], [1.0])}, "taps are not accepted"),
        ({"mode": "zero"}, "symmetric"),
        ({"o_dim": 2, "ri_dim": 2}, "different axes"),
        ({"ri_dim": 2}, "different axes"),
        ({"o_dim": 7}, "-6 to 5"),
        ({"J": 0}, "at least 1"),
        ({"skip_hps": [True]}, "each of the 3 levels"),
    ],
)
def test_bad_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        DTCWTForward(**options)


def test_bad_bands():
    low, highs = DTCWTForward(J=1)(maps(1, 1, 8, 8))
    with pytest.raises(ValueError, match="six axes"):
        DTCWTInverse()((low, [highs[0][0]]))
    with pytest.raises(ValueError, match="4 axes"):
        DTCWTForward()(maps(8, 8))
