"""An empty batch gives an empty result, and gradients of zero."""

import pytest
import torch

from spectralvision.mixers import (
    AdaptiveFrequencyFilter,
    DynamicFilter,
    GlobalFilter,
    HeatConduction,
    ScatteringMixer,
)
from spectralvision.ops import DTCWTForward, DTCWTInverse, dtcwt2d, idtcwt2d, irfft2, rfft2
from tests.helpers.twins import OF_EACH_FAMILY, twin

SIZES = [(3, 8, 8), (16, 8, 8), (16, 40, 40), (3, 132, 132), (2, 5, 6)]
MIXERS = [
    (AdaptiveFrequencyFilter(16, 2), (8, 8)),
    (AdaptiveFrequencyFilter(16, 2), (20, 20)),
    (ScatteringMixer(32, (8, 8), "channel"), (8, 8)),
    (ScatteringMixer(32, (8, 8)), (8, 8)),
    (ScatteringMixer(8, (8, 8)), (40, 40)),
    (GlobalFilter(8, (8, 8)), (9, 8)),
    (DynamicFilter(8, (8, 8)), (8, 8)),
    (HeatConduction(8, (8, 8)), (9, 8)),
]
MODES = [torch.no_grad, torch.enable_grad]


@pytest.mark.parametrize("size", SIZES)
def test_transforms(size) -> None:
    x = torch.zeros(0, *size)
    pyramid = dtcwt2d(x, 2)
    assert [part.shape[:3] for part in pyramid.highpass[1]] == [(0, size[0], 6)] * 2
    assert idtcwt2d(pyramid, size=size[1:]).shape == x.shape
    assert irfft2(*rfft2(x), size[1:]).shape == x.shape
    even = [side + side % 2 for side in size[1:]]
    assert DTCWTInverse()(DTCWTForward(J=2)(x)).shape == (0, size[0], *even)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("mixer", "size"), MIXERS)
def test_mixers(mixer, size, mode) -> None:
    x = torch.zeros(0, mixer.dim, *size, requires_grad=True)
    with mode():
        y = mixer(x)
    assert y.shape == x.shape
    if y.requires_grad:
        gradients = torch.autograd.grad(y.sum(), [x, *mixer.parameters()])
        assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OF_EACH_FAMILY)
def test_networks(name, mode) -> None:
    model = twin(name, num_classes=3).eval()
    with mode():
        assert model(torch.zeros(0, 3, 64, 64)).shape == (0, 3)
