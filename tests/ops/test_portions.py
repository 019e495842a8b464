"""A batch some images at a time is the batch as a whole."""

import pytest
import torch

import spectralvision as sv
from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer, adaptive_frequency, scattering
from spectralvision.models.common import SpectralBackbone
from spectralvision.ops.portions import in_portions, in_portions_of_groups, portions


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("samples", [1, 60, 130, 10_000])
def test_the_result_and_its_memory_are_those_of_the_whole(order, samples):
    x = torch.randn(5, 3, 4, 5).to(memory_format=order)
    calls = []

    def part(x):
        calls.append(len(x))
        return torch.nn.functional.avg_pool2d(x, 2).to(memory_format=order)

    with torch.no_grad():
        out, whole = in_portions(part, x, samples), part(x)
    assert torch.equal(out, whole)
    assert out.is_contiguous(memory_format=order)
    assert calls[:-1] == {1: [1] * 5, 60: [1] * 5, 130: [2, 2, 1], 10_000: [5]}[samples]


@pytest.mark.parametrize(
    ("samples", "pieces"), [(1, [4] * 6), (10, [4] * 6), (60, [8, 4] * 2), (100, [12, 12]), (1000, [12])]
)  # fmt: skip
def test_large_images_go_through_in_groups_of_channels(samples, pieces):
    x, seen = torch.randn(2, 12, 5, 5), []

    def part(x, groups):
        seen.append(x.shape[1])
        return x * torch.arange(3.0)[groups].repeat_interleave(4)[:, None, None]

    with torch.no_grad():
        out = in_portions_of_groups(part, x, 3, samples)
        assert seen == pieces
        assert torch.equal(out, part(x, slice(0, 3)))
        seen.clear()
        in_portions_of_groups(part, x, 3, samples, chans=9)
        assert set(seen) == {12}
    seen.clear()
    leaf = x.clone().requires_grad_()
    (one,) = torch.autograd.grad(in_portions_of_groups(part, leaf, 3, samples).square().sum(), leaf)
    assert seen == [12] * (1 if samples > 300 else 2)
    (other,) = torch.autograd.grad(part(leaf, slice(0, 3)).square().sum(), leaf)
    assert torch.equal(one, other)


@pytest.mark.parametrize("mixing", ["filter", "channel", "channel_token"])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_mixers_compute_the_same_in_groups_of_channels(mixing, order, monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(2, 128, 9, 12).to(memory_format=order)
    mixer = AdaptiveFrequencyFilter(128) if mixing == "filter" else ScatteringMixer(128, (10, 12), mixing)
    leaves = [x.requires_grad_(), *mixer.parameters()]
    whole, toward = mixer(x), torch.randn_like(x)
    gradients = torch.autograd.grad(whole, leaves, toward)
    for module in (adaptive_frequency, scattering):
        monkeypatch.setattr(module, "SAMPLES", 1)
    with torch.no_grad():
        torch.testing.assert_close(mixer(x), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(mixer(x), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.autograd.grad(mixer(x), leaves, toward), gradients, atol=1e-4, rtol=1e-4)


def test_where_gradients_are_kept_the_batch_goes_as_a_whole():
    calls = []
    in_portions(lambda x: calls.append(len(x)) or x, torch.zeros(4, 2), 1)
    assert calls == [4]


def test_an_empty_batch_and_large_images():
    assert list(portions(torch.zeros(0, 3), 10)) == []
    assert list(portions(torch.zeros(2, 30), 10)) == [slice(0, 1), slice(1, 2)]


@pytest.mark.parametrize("name", ["affnet_et", "svt_h_s"])
def test_networks_compute_the_same_however_few_images_at_a_time(name, monkeypatch):
    torch.manual_seed(0)
    small = {"depths": (1, 1, 1, 1, 1)} if name == "affnet_et" else {"depths": (1, 1, 1, 1)}
    model, x = sv.create_model(name, num_classes=3, **small).eval(), torch.randn(3, 3, 64, 96)
    with torch.no_grad():
        whole = model(x)
        monkeypatch.setattr(SpectralBackbone, "samples", 1)
        monkeypatch.setattr(sv.AFFNet, "samples", 1)
        torch.testing.assert_close(model(x), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["stem", "stages.3", "stages.3.blocks.0", "stages.2.blocks.0.filter.act"])
def test_hooks_see_the_whole_batch(name, monkeypatch):
    monkeypatch.setattr(sv.AFFNet, "samples", 1)
    monkeypatch.setattr(adaptive_frequency, "SAMPLES", 1)
    model, seen = sv.create_model("affnet_et", depths=(1, 1, 1, 1, 1)).eval(), []
    hook = model.get_submodule(name).register_forward_hook(lambda module, args, out: seen.append(args[0].shape))
    x = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        model(x)
    whole = list(seen)
    seen.clear()
    model(x)  # with gradients the batch is whole anyway
    assert whole == seen
    hook.remove()


def test_batch_norm_sees_the_whole_batch_in_training(monkeypatch):
    monkeypatch.setattr(SpectralBackbone, "samples", 1)
    monkeypatch.setattr(sv.AFFNet, "samples", 1)
    x = torch.randn(4, 3, 64, 64)
    statistics = []
    for keep in (True, False):
        torch.manual_seed(0)
        model = sv.create_model("affnet_et", depths=(1, 1, 1, 1, 1)).train()
        with torch.set_grad_enabled(keep):
            model(x)
        statistics.append(model.stem.norm.running_mean)
    torch.testing.assert_close(*statistics)
