"""The loss along a line through the weights."""

import pytest
import torch
from torch import nn

from spectralvision.analysis.loss_landscape import loss_along_line


def test_each_filter_moves_by_its_own_length():
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Linear(4, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = []

    def loss(copy):
        seen.append({name: value.clone() for name, value in copy.state_dict().items()})
        return float(len(seen))

    assert loss_along_line(model, loss, steps=(0, 1, -2)) == [1.0, 2.0, 3.0]
    for name, value in before.items():
        assert torch.equal(model.state_dict()[name], value)
        assert torch.equal(seen[0][name], value)
        for step, moved in zip((1, 2), seen[1:], strict=True):
            change = (moved[name] - value).float()
            if value.ndim < 2:
                assert not change.any()
            else:
                lengths = change.flatten(1).norm(dim=1)
                torch.testing.assert_close(lengths, step * value.flatten(1).norm(dim=1))


def test_a_quadratic():
    """|w + a d|^2 = 1 + a^2 + 2 a <w, d>."""
    model = nn.Linear(50, 1, bias=False)
    nn.init.constant_(model.weight, 50**-0.5)
    low, middle, high = loss_along_line(
        model, lambda one: float(one.weight.square().sum()), steps=(-1, 0, 1), seed=3
    )
    assert middle == pytest.approx(1)
    assert low + high == pytest.approx(4)
    assert low != pytest.approx(high)


def test_the_seed_decides():
    model = nn.Linear(4, 3)

    def loss(one):
        return float(one.weight.sum())

    first, again, other = (loss_along_line(model, loss, (1,), seed) for seed in (0, 0, 1))
    assert first == again != other
