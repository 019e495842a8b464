"""Masks and kernels of adaptive frequency filters."""

import pytest
import torch

from spectralvision.analysis.filter_spectra import FilterMasks, filter_masks
from spectralvision.mixers import AdaptiveFrequencyFilter
from tests.helpers.tolerances import DOUBLE, SINGLE


def convolve_circularly(x, kernel):
    """(H, W) maps, one shifted copy of x for each weight; the kernel's origin is in the middle."""
    height, width = x.shape
    y = torch.zeros_like(x)
    for row in range(height):
        for column in range(width):
            shift = (row - height // 2, column - width // 2)
            y += kernel[row, column] * x.roll(shift, (0, 1))
    return y


@pytest.mark.parametrize("size", [(8, 8), (7, 6), (6, 9), (1, 5)])
@pytest.mark.parametrize("inner_skip", [True, False])
def test_the_kernel_convolved_circularly_is_the_output(size, inner_skip):
    mixer = AdaptiveFrequencyFilter(16, threshold=0.001, inner_skip=inner_skip)
    for parameter in mixer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 16, *size)
    masks = filter_masks(mixer, x)
    with torch.no_grad():
        y = mixer(x) - x * inner_skip
    assert y.abs().max() > 0.1
    for image in range(2):
        for channel in range(16):
            ours = convolve_circularly(x[image, channel], masks.kernel[image, channel])
            torch.testing.assert_close(ours, y[image, channel], atol=SINGLE, rtol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (7, 6)])
def test_the_mask_multiplies_the_spectrum(size):
    mixer = AdaptiveFrequencyFilter(8, inner_skip=False).double()
    x = torch.randn(1, 8, *size, dtype=torch.float64)
    masks = filter_masks(mixer, x)
    mask = torch.fft.ifftshift(masks.mask, dim=(-2, -1))
    with torch.no_grad():
        product = torch.fft.ifft2(mask * torch.fft.fft2(x))
        torch.testing.assert_close(product.real, mixer(x), atol=DOUBLE, rtol=0)
    assert product.imag.abs().max() < DOUBLE
    middle = (size[0] // 2, size[1] // 2)
    assert masks.mask[0, 0][middle].abs() == pytest.approx(masks.kernel[0, 0].sum().abs().item())


def test_what_the_softshrink_zeroes():
    mixer = AdaptiveFrequencyFilter(8, threshold=1e6)
    masks = filter_masks(mixer, torch.randn(2, 8, 6, 6))
    assert torch.equal(masks.zeroed, torch.ones(2, 8))
    assert not masks.kernel.any()
    mixer.threshold = 0.0
    masks = filter_masks(mixer, torch.randn(2, 8, 6, 6))
    assert masks.zeroed.max() < 0.1


def test_adaptivity():
    """0 for equal masks, 1/2 for two orthogonal ones, 1 for opposite ones, NaN for one image."""
    one = torch.randn(1, 4, 6, 6, dtype=torch.complex64)
    kernel, zeroed = one.real, torch.zeros(1, 4)

    def adaptivity(*masks):
        return FilterMasks(torch.cat(masks), kernel, zeroed, 2)

    assert adaptivity(one, one).adaptivity().abs().max() < 1e-6
    torch.testing.assert_close(adaptivity(one, -one).adaptivity(), torch.ones(4))
    torch.testing.assert_close(adaptivity(one, 1j * one).adaptivity(), torch.full((4,), 0.5))
    assert adaptivity(one, 1j * one).mean_adaptivity() == pytest.approx(0.5)
    assert adaptivity(one).adaptivity().isnan().all()
    assert adaptivity(one).by_group().shape == (1, 2, 6, 6)


def test_adaptivity_of_a_mixer():
    """A mask network without input weights gives the same mask for each image."""
    mixer = AdaptiveFrequencyFilter(8)
    x = torch.randn(4, 8, 8, 8)
    assert 0.01 < filter_masks(mixer, 20 * x).mean_adaptivity() <= 1
    torch.nn.init.zeros_(mixer.w1)
    assert filter_masks(mixer, x).mean_adaptivity() < 1e-10
