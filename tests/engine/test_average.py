"""The moving average of the weights."""

import pytest
import torch
from torch import nn

from spectralvision.engine.optimizer import build_average


def test_the_average_against_a_plain_loop():
    """The first update is copied; then the decay rises to its value."""
    decay = 0.5
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
    average = build_average(model, decay)
    expected: dict[str, torch.Tensor] = {}
    for update in range(12):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
            model(torch.randn(8, 2, dtype=torch.float64))
        average.update_parameters(model)
        now = min(decay, (1 + update) / (10 + update)) if update else 0.0
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                last = expected.get(name, value)
                expected[name] = now * last + (1 - now) * value
    found = average.module.state_dict()
    assert len(expected) == 6
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-12), name


def test_first_values_are_soon_forgotten():
    """A decay of 0.999 alone would keep four fifths of them after 200 updates."""
    model = nn.BatchNorm1d(1)
    average = build_average(model, 0.999)
    for value in [1.0] + [0.01] * 200:
        model.running_var.fill_(value)
        average.update_parameters(model)
    assert float(average.module.running_var) == pytest.approx(0.01, rel=1e-2)


def test_without_a_decay_there_is_none():
    assert build_average(nn.Linear(1, 1), None) is None
