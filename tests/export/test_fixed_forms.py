"""The forms of the mixers for maps of one size, against the mixers."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spectralvision.export.constants import AxisProduct, ProductForm
from spectralvision.export.fixed_filter import FixedFilter
from spectralvision.export.fixed_heat import FixedHeatConduction
from spectralvision.export.fixed_scattering import FixedScattering
from spectralvision.export.fixed_spectra import FixedDynamicFilter, FixedGlobalFilter
from spectralvision.export.fixed_transforms import DENSE_MAX_PIXELS
from spectralvision.mixers import (
    AdaptiveFrequencyFilter,
    DynamicFilter,
    GlobalFilter,
    HeatConduction,
    ScatteringMixer,
)
from spectralvision.mixers.heat_conduction import FrequencyEmbedding
from tests.helpers.tolerances import SINGLE

SIZES = [(8, 8), (6, 10), (5, 7), (16, 16), (9, 14), (1, 3), (1, 1)]


def largest_number_of_axes(module: nn.Module, x: Tensor) -> int:
    program = torch.export.export(module, (x,)).run_decompositions()
    values = (node.meta.get("val") for node in program.graph.nodes)
    ranks = [value.ndim for value in values if isinstance(value, Tensor)]
    assert len(ranks) > 10
    return max(ranks)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "options", [{}, {"groups": 1, "inner_skip": False}, {"act_layer": nn.ReLU}]
)
def test_filter(size: tuple[int, int], options: dict) -> None:
    module = AdaptiveFrequencyFilter(16, threshold=0.2, **options).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, 16, *size)
    with torch.no_grad():
        fixed = FixedFilter(module, size)
        expected = module(x)
        torch.testing.assert_close(fixed(x), expected, atol=SINGLE, rtol=SINGLE)
    assert (expected - x).abs().mean() > 0.05  # the threshold leaves something


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resolution", [(8, 8), (6, 10)])
@pytest.mark.parametrize(
    ("kind", "fixed"),
    [
        (GlobalFilter, FixedGlobalFilter),
        (DynamicFilter, FixedDynamicFilter),
        (HeatConduction, FixedHeatConduction),
    ],
)
def test_filters_of_learned_spectra(kind, fixed, resolution, size) -> None:
    module = kind(8, resolution).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, 8, *size)
    with torch.no_grad():
        expected = module(x)
        found = fixed(module, size)(x)
    scale = expected.abs().max()
    assert scale > 0
    torch.testing.assert_close(found / scale, expected / scale, atol=SINGLE, rtol=0)


def test_heat_conduction_with_the_embedding_of_a_stage() -> None:
    module, embedding = HeatConduction(8, None).eval(), FrequencyEmbedding(8, (6, 6))
    x = torch.randn(2, 8, 5, 7)
    with torch.no_grad():
        expected = module(x, embedding((5, 7)))
        found = FixedHeatConduction(module, (5, 7), embedding((5, 7)))(x)
    torch.testing.assert_close(found, expected, atol=SINGLE, rtol=SINGLE)


@pytest.mark.parametrize("form", get_args(ProductForm))
@pytest.mark.parametrize(("axis", "sum_over"), [(2, "mk,bckw->bcmw"), (3, "km,bchk->bchm")])
def test_forms_of_a_product(form: ProductForm, axis: int, sum_over: str) -> None:
    matrix = np.random.default_rng(0).normal(size=(5, 7) if axis == 2 else (7, 5))
    x = torch.randn(2, 3, 7, 7)
    product = AxisProduct(matrix, axis)
    product.form = form
    expected = torch.einsum(sum_over, torch.from_numpy(matrix), x.double()).float()
    torch.testing.assert_close(product(x), expected)


def test_both_transforms_are_tested() -> None:
    pixels = [height * width for height, width in SIZES]
    assert min(pixels) <= DENSE_MAX_PIXELS < max(pixels)


@pytest.mark.parametrize("size", [(8, 8), (6, 10), (5, 7), (14, 4), (9, 8)])
@pytest.mark.parametrize("mixing", ["channel", "channel_token"])
def test_scattering(size: tuple[int, int], mixing: str) -> None:
    module = ScatteringMixer(16, size, mixing, groups=4).eval()  # type: ignore[arg-type]
    for name, parameter in module.named_parameters():
        nn.init.normal_(parameter, mean=float(name == "gain"), std=0.3)
    x = torch.randn(2, 16, *size)
    with torch.no_grad():
        expected = module(x)
        found = FixedScattering(module, size)(x)
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, atol=SINGLE, rtol=0)


def test_scattering_at_another_size_than_the_weights() -> None:
    module = ScatteringMixer(8, (8, 8), "channel_token", groups=2).eval()
    x = torch.randn(1, 8, 12, 6)
    with torch.no_grad():
        torch.testing.assert_close(
            FixedScattering(module, (12, 6))(x), module(x), atol=SINGLE, rtol=SINGLE
        )


@pytest.mark.parametrize("size", [(8, 8), (16, 12)])
def test_at_most_five_axes(size: tuple[int, int]) -> None:
    """Core ML has no more."""
    x = torch.randn(1, 16, *size)
    fixed = FixedFilter(AdaptiveFrequencyFilter(16), size)
    assert largest_number_of_axes(fixed, x) <= 5
    for filter_, form in (
        (GlobalFilter(16), FixedGlobalFilter),
        (DynamicFilter(16), FixedDynamicFilter),
        (HeatConduction(16), FixedHeatConduction),
    ):
        assert largest_number_of_axes(form(filter_, size), x) <= 4  # type: ignore[operator]
    for mixing in ("channel", "channel_token"):
        mixer = ScatteringMixer(16, size, mixing, groups=4)  # type: ignore[arg-type]
        assert largest_number_of_axes(FixedScattering(mixer, size), x) <= 5
