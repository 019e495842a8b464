"""The equations of the mixers as functions of tensors, against the loops in NumPy."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spectralvision.ops.adaptive_frequency import (
    adaptive_frequency_filter,
    adaptive_frequency_mask,
)
from spectralvision.ops.complex_linear import complex_mlp, complex_mlp_channels_last
from spectralvision.ops.fourier import rfft2
from spectralvision.ops.scattering import (
    mix_channels,
    mix_width,
    scattering_channel_mixing,
    scattering_channel_token_mixing,
)
from tests.helpers.slopes import directional_slope
from tests.helpers.tolerances import DOUBLE, SLOPE
from tests.reference import adaptive_frequency as naive_filter
from tests.reference import scattering as naive_scattering
from tests.reference.complex_linear import apart, complex_linear

GROUPS = 2


def double(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def channel_weights(chans: int) -> dict[str, Tensor]:
    block = chans // GROUPS
    shapes = {"w1": (block, block), "b1": (block,), "w2": (block, block), "b2": (block,)}
    return {name: double(2, GROUPS, *shape) for name, shape in shapes.items()}


def scattering_weights(chans: int, height: int, width: int, token: bool) -> dict[str, Tensor]:
    h, w = height // 2, width // 2
    weights = {"gain": double(chans, height, width), **channel_weights(chans)}
    if token:
        weights |= {"v1": double(2, h, w, w), "c1": double(2, h, w)}
        weights |= {"v2": double(2, h, w, w), "c2": double(2, h, w)}
    return weights


def check_values_and_gradients(function, twin, x: Tensor, weights: dict[str, Tensor]) -> None:
    """Compare function(x, *weights) with twin(image, weights) per image, and their slopes."""
    leaves = [leaf.requires_grad_() for leaf in (x, *weights.values())]
    y = function(*leaves)
    arrays = [leaf.detach().numpy() for leaf in leaves]

    def run_twin(x: np.ndarray, *values: np.ndarray) -> np.ndarray:
        named = dict(zip(weights, values, strict=True))
        return np.stack([twin(image, named) for image in x])

    np.testing.assert_allclose(y.detach(), run_twin(*arrays), atol=DOUBLE * 10)
    probe = torch.randn_like(y)
    gradients = torch.autograd.grad(y, leaves, probe)
    for i in range(len(leaves)):  # one input at a time, so that none hides another
        direction = [np.zeros_like(array) for array in arrays]
        direction[i] = np.random.default_rng(i).standard_normal(arrays[i].shape)
        expected = directional_slope(run_twin, arrays, direction, probe.numpy())
        got = float((gradients[i] * torch.from_numpy(direction[i])).sum())
        assert got != 0
        assert got == pytest.approx(expected, rel=SLOPE, abs=SLOPE)


@pytest.mark.parametrize("size", [(4, 5), (3, 6)])
@pytest.mark.parametrize("inner_skip", [True, False])
def test_adaptive_frequency_filter(size: tuple[int, int], inner_skip: bool) -> None:
    def function(x: Tensor, *weights: Tensor) -> Tensor:
        return adaptive_frequency_filter(x, *weights, nn.SiLU(), 0.3, inner_skip)

    def twin(image: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
        return naive_filter.adaptive_frequency_filter(image, weights, GROUPS, 0.3, inner_skip)

    check_values_and_gradients(function, twin, double(2, 6, *size), channel_weights(6))


def test_adaptive_frequency_mask() -> None:
    x, weights = double(6, 4, 5), channel_weights(6)
    re, im = rfft2(x.view(1, GROUPS, 3, 4, 5))
    mask = torch.complex(*adaptive_frequency_mask(re, im, *weights.values(), nn.SiLU(), 0.3))
    arrays = {name: weight.numpy() for name, weight in weights.items()}
    expected = naive_filter.mask(x.numpy(), arrays, GROUPS, 0.3)
    shrunk = (mask.real == 0).double().mean()
    assert 0 < shrunk < 0.5  # the softshrink acts, and not on everything
    np.testing.assert_allclose(mask.reshape(expected.shape), expected, atol=DOUBLE)


@pytest.mark.parametrize("size", [(6, 8), (4, 2)])
def test_scattering_channel_mixing(size: tuple[int, int]) -> None:
    def twin(image: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
        return naive_scattering.scatter(image, weights, GROUPS, along_width=False)

    weights = scattering_weights(4, *size, token=False)
    check_values_and_gradients(scattering_channel_mixing, twin, double(2, 4, *size), weights)


@pytest.mark.parametrize("size", [(6, 8), (4, 2)])
def test_scattering_channel_token_mixing(size: tuple[int, int]) -> None:
    def twin(image: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
        return naive_scattering.scatter(image, weights, GROUPS, along_width=True)

    weights = scattering_weights(4, *size, token=True)
    check_values_and_gradients(scattering_channel_token_mixing, twin, double(2, 4, *size), weights)


def layers(blocks: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Two layers with relu, block by block: (G, I, N) complex -> the same."""
    hidden = apart(naive_scattering.relu, complex_linear(blocks, weights[0], weights[1]))
    return complex_linear(hidden, weights[2], weights[3])


def test_complex_mlp_in_both_layouts() -> None:
    weights = list(channel_weights(6).values())
    z = double(2, 3, 4, 6)  # (re, im), two axes of positions, channels
    got = torch.complex(*complex_mlp_channels_last(z[0], z[1], *weights, torch.relu))
    blocks = torch.complex(z[0], z[1]).view(12, GROUPS, 3).permute(1, 2, 0)
    expected = layers(blocks.numpy(), [weight.numpy() for weight in weights])
    np.testing.assert_allclose(got.view(12, GROUPS, 3).permute(1, 2, 0), expected, atol=DOUBLE)
    first = z.permute(0, 3, 1, 2).reshape(2, 1, GROUPS, 3, 3, 4)  # features before positions
    got = torch.complex(*complex_mlp(first[0], first[1], *weights, torch.relu))
    np.testing.assert_allclose(got.reshape(GROUPS, 3, 12), expected, atol=DOUBLE)


def test_bands_are_mixed_along_channels_and_width() -> None:
    re, im = double(2, 2, 2, 6, 4, 5)  # (re, im), then B C K h w
    arrays = torch.complex(re, im).numpy()
    weights = list(channel_weights(6).values())
    with pytest.raises(RuntimeError):  # 2 channels do not match the weights of 6
        mix_channels(re, im, *weights)
    weights = [double(2, GROUPS, 1, 1), double(2, GROUPS, 1)] * 2
    got = torch.complex(*mix_channels(re, im, *weights))
    for image in range(2):
        blocks = arrays[image].reshape(GROUPS, 1, -1)
        expected = layers(blocks, [weight.numpy() for weight in weights]).reshape(arrays[0].shape)
        np.testing.assert_allclose(got[image], expected, atol=DOUBLE)
    width = [double(2, 4, 5, 5), double(2, 4, 5)] * 2
    got = torch.complex(*mix_width(re, im, *width))
    rows = arrays.transpose(3, 4, 0, 1, 2).reshape(4, 5, -1)  # rows, columns, all others
    expected = layers(rows, [weight.numpy() for weight in width]).reshape(4, 5, 2, 2, 6)
    np.testing.assert_allclose(got, expected.transpose(2, 3, 4, 0, 1), atol=DOUBLE)
