"""Costs by part add up to the network's."""

import pytest
import timm
import torch
from torch import nn

import spectralvision as sv
from spectralvision.analysis.costs import REST, cost_by_part, find_parts, time_by_part
from spectralvision.analysis.macs import count_macs

MODELS = ["affnet_et", "svt_h_s", "gfnet_ti", "vheat_t", "resnet18", "vit_tiny_patch16_224"]


@pytest.mark.parametrize("name", MODELS)
def test_the_parts_add_up(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    size = (3, 224, 224)
    costs = cost_by_part(model, size)
    assert sum(cost.macs for cost in costs) == count_macs(model, size)
    assert sum(cost.parameters for cost in costs) == sum(p.numel() for p in model.parameters())
    assert [cost.name for cost in costs] == [*find_parts(model), REST]
    assert all(cost.macs >= cost.module_macs >= 0 for cost in costs)
    assert len(costs) > 8


def test_the_published_convention_counts_modules():
    """Without transforms and products of the mixers: what the table of AFFNet states beside."""
    costs = cost_by_part(sv.create_model("affnet_et"), (3, 256, 256))
    full, published = (sum(getattr(cost, key) for cost in costs) for key in ("macs", "module_macs"))
    assert full / 1e9 == pytest.approx(0.361, abs=5e-4)
    assert published < full
    mixers = [cost for cost in costs if ".blocks." in cost.name]
    assert all(cost.macs > cost.module_macs for cost in mixers)


def test_macs_of_modules():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.Flatten(),
        nn.Linear(4 * 16 * 16, 10),
    )
    expected = [3 * 8 * 9 * 64, 8 * 9 * 64, 8 * 4 * 4 * 64, 0, 4 * 256 * 10, 0]
    costs = cost_by_part(net, (3, 16, 16))
    assert [cost.module_macs for cost in costs] == expected
    assert [cost.macs for cost in costs] == expected


class Slow(nn.Module):
    """Lets a clock run."""

    def __init__(self, clock, seconds):
        super().__init__()
        self.inner = nn.Linear(1, 1)
        self.clock, self.seconds = clock, seconds

    def forward(self, x):
        self.clock.now += self.seconds
        return x


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Network(nn.Module):
    def __init__(self, clock):
        super().__init__()
        self.first, self.second = Slow(clock, 2.0), Slow(clock, 3.0)
        self.clock = clock

    def forward(self, x):
        self.clock.now += 0.5
        return self.second(self.second(self.first(x)))


def test_times_are_exclusive_and_add_up():
    clock = Clock()
    seconds = time_by_part(Network(clock), torch.rand(1, 1), rounds=3, clock=clock)
    assert seconds == {"first": 2.0, "second": 6.0, REST: pytest.approx(0.5)}


def test_real_times_add_up():
    model = sv.create_model("affnet_et").eval()
    seconds = time_by_part(model, torch.rand(1, 3, 64, 64), rounds=3)
    assert set(seconds) == {*find_parts(model), REST}
    assert all(value >= 0 for value in seconds.values())
    assert not any(module._forward_hooks for module in model.modules())
