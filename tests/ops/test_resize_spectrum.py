"""Weights that belong to a map size, resized: identities, frequencies that stay, constants."""

import pytest
import torch

from spectralvision.ops.cosine import dct2, idct2
from spectralvision.ops.fourier import irfft2
from spectralvision.ops.resize_spectrum import (
    resize_frequency_embedding,
    resize_position_embedding,
    resize_spectrum,
)
from tests.helpers.tolerances import SINGLE


@pytest.mark.parametrize("size", [(7, 9), (8, 8), (1, 1), (3, 2)])
def test_the_own_size_changes_nothing(size: tuple[int, int]) -> None:
    height, width = size
    weight = torch.randn(2, 3, height, width // 2 + 1)
    torch.testing.assert_close(resize_spectrum(weight, size), weight, atol=SINGLE, rtol=0)
    maps = torch.randn(3, *size)
    torch.testing.assert_close(resize_position_embedding(maps, size), maps, atol=SINGLE, rtol=0)
    torch.testing.assert_close(resize_frequency_embedding(maps, size), maps, atol=0, rtol=0)


def test_corners_of_a_spectrum_stay() -> None:
    weight = torch.randn(2, 3, 8, 5)
    larger = resize_spectrum(weight, (13, 11))
    assert larger.shape == (2, 3, 13, 6)
    for u in (0, -1):
        for v in (0, -1):
            torch.testing.assert_close(larger[..., u, v], weight[..., u, v], atol=SINGLE, rtol=0)


@pytest.mark.parametrize("size", [(5, 7), (16, 12), (8, 3)])
def test_constants_stay(size: tuple[int, int]) -> None:
    """A constant spectrum is the identity at every size."""
    weight = torch.ones(2, 1, 6, 4) * torch.tensor([1.0, 0.0])[:, None, None, None]
    resized = resize_spectrum(weight, size)
    torch.testing.assert_close(resized[0], torch.ones_like(resized[0]))
    kernel = irfft2(resized[0], resized[1], size) / (size[0] * size[1]) ** 0.5
    expected = torch.zeros(1, *size)
    expected[0, 0, 0] = 1
    torch.testing.assert_close(kernel, expected, atol=SINGLE, rtol=0)
    maps = resize_position_embedding(torch.full((2, 6, 6), 3.0), size)
    torch.testing.assert_close(maps, torch.full((2, *size), 3.0))


def test_new_frequencies_are_zeros_and_the_highest_are_cut() -> None:
    weight = torch.randn(3, 4, 5)
    larger = resize_frequency_embedding(weight, (6, 7))
    torch.testing.assert_close(larger[:, :4, :5], weight, atol=0, rtol=0)
    assert not larger[:, 4:].any()
    assert not larger[:, :, 5:].any()
    torch.testing.assert_close(
        resize_frequency_embedding(weight, (2, 7))[:, :, :5], weight[:, :2], atol=0, rtol=0
    )
    smooth = idct2(resize_frequency_embedding(dct2(torch.ones(1, 4, 4)), (8, 8)))
    torch.testing.assert_close(smooth, torch.full((1, 8, 8), 0.5))
