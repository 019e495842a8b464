"""The effective receptive field."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from spectralvision.analysis.receptive_field import count_pixels, effective_receptive_field


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_that_of_a_stack_of_convolutions_is_the_analytic_one(depth):
    """The gradient is the convolution of all kernels, in the middle of the map."""
    convs = [nn.Conv2d(1, 1, 3, padding=1) for _ in range(depth)]
    stack = nn.Sequential(*convs).double()
    side = 21
    field = effective_receptive_field(stack, torch.rand(3, 1, side, side, dtype=torch.float64))

    kernel = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    for conv in convs:  # F.conv2d correlates: flip for a convolution
        kernel = F.conv2d(kernel, conv.weight.detach().flip(2, 3), padding=2)
    kernel = kernel[0, 0]
    expected = torch.zeros(side, side, dtype=torch.float64)
    middle = side // 2
    expected[middle - depth : middle + depth + 1, middle - depth : middle + depth + 1] = (
        kernel.square()
    )
    expected /= expected.sum()
    torch.testing.assert_close(field.energy, expected, atol=1e-12, rtol=1e-9)
    assert int((field.energy > 0).sum()) == (2 * depth + 1) ** 2
    assert field.areas[0.5] <= field.areas[0.95] <= (2 * depth + 1) ** 2


def test_random_signs_have_the_mean_of_the_sum_over_features():
    conv = nn.Conv2d(2, 5, 3, padding=1).double()
    images = torch.rand(4000, 2, 3, 3, dtype=torch.float64)
    field = effective_receptive_field(conv, images)
    expected = conv.weight.detach().square().sum(dim=(0, 1))
    torch.testing.assert_close(field.energy, expected / expected.sum(), atol=0.01, rtol=0)


def test_smallest_number_of_pixels():
    energy = torch.tensor([[0.5, 0.0], [0.3, 0.2]], dtype=torch.float64)
    assert [count_pixels(energy, one) for one in (0.3, 0.5, 0.51, 0.8, 0.95, 1.0)] == [
        1,
        1,
        2,
        2,
        3,
        3,
    ]
    equal = torch.full((10, 10), 0.01, dtype=torch.float64)
    assert count_pixels(equal, 0.5) == 50
    assert count_pixels(equal, 0.95) == 95


def test_features_that_do_not_depend_on_the_image_are_rejected():
    conv = nn.Conv2d(1, 1, 3, padding=1)
    nn.init.zeros_(conv.weight)
    with pytest.raises(ValueError, match="do not depend on the image"):
        effective_receptive_field(conv, torch.rand(1, 1, 8, 8))
