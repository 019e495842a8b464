"""A batch in chunks gives the same result as the whole batch."""

import pytest
import torch

import spectralvision as sv
from spectralvision.mixers import (
    AdaptiveFrequencyFilter,
    DynamicFilter,
    GlobalFilter,
    HeatConduction,
    ScatteringMixer,
)
from spectralvision.models.backbone import SpectralBackbone
from spectralvision.models.dfformer import DFFormer
from spectralvision.ops.adaptive_frequency import adaptive_frequency_filter
from spectralvision.ops.chunking import chunked_groups, image_slices, in_chunks
from spectralvision.ops.dynamic_filter import dynamic_filter
from spectralvision.ops.global_filter import global_filter
from spectralvision.ops.heat_conduction import heat_conduction
from spectralvision.ops.scattering import (
    scattering_channel_mixing,
    scattering_channel_token_mixing,
)
from tests.helpers.tolerances import SINGLE
from tests.helpers.twins import OF_EACH_FAMILY, twin

OPS = {
    "filter": adaptive_frequency_filter,
    "global": global_filter,
    "dynamic": dynamic_filter,
    "heat": heat_conduction,
    "channel": scattering_channel_mixing,
    "channel_token": scattering_channel_token_mixing,
}


MIXERS = {
    "filter": lambda: AdaptiveFrequencyFilter(128),
    "global": lambda: GlobalFilter(128, (9, 12)),
    "dynamic": lambda: DynamicFilter(128, (9, 12)),
    "heat": lambda: HeatConduction(128, (9, 12)),
    "channel": lambda: ScatteringMixer(128, (10, 12), "channel"),
    "channel_token": lambda: ScatteringMixer(128, (10, 12)),
}


@pytest.fixture
def tiny_chunks(monkeypatch):
    """One image and one group of channels per chunk, everywhere."""

    def set_tiny_chunks():
        for op in OPS.values():
            monkeypatch.setattr(op, "chunk_elements", 1)
        for cls in (SpectralBackbone, sv.AFFNet, DFFormer):
            monkeypatch.setattr(cls, "chunk_elements", 1)

    return set_tiny_chunks


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("elements", [1, 60, 130, 10_000])
def test_result_and_memory_format_are_those_of_the_whole_batch(order, elements):
    x = torch.randn(5, 3, 4, 5).to(memory_format=order)
    calls = []

    def function(x):
        calls.append(len(x))
        return torch.nn.functional.avg_pool2d(x, 2).to(memory_format=order)

    with torch.no_grad():
        out, whole = in_chunks(function, x, elements), function(x)
    assert torch.equal(out, whole)
    assert out.is_contiguous(memory_format=order)
    assert calls[:-1] == {1: [1] * 5, 60: [1] * 5, 130: [2, 2, 1], 10_000: [5]}[elements]


CHUNKS = [(1, [4] * 6), (10, [4] * 6), (60, [8, 4] * 2), (100, [12, 12]), (1000, [12])]


@pytest.mark.parametrize(("elements", "channels"), CHUNKS)
def test_large_images_are_divided_by_channel_groups(elements, channels):
    x, seen = torch.randn(2, 12, 5, 5), []
    weight, gain = torch.arange(3.0)[None], torch.randn(12)

    def scale(x, weight, gain):
        """Scale each of the groups, of which `weight` has one entry and `gain` four each."""
        seen.append(x.shape[1])
        assert len(gain) == 4 * weight.shape[1] == x.shape[1]
        return x * (weight[0].repeat_interleave(4) * gain)[:, None, None]

    axes = {"weight": 1, "gain": 0}
    whole = scale(x, weight, gain)
    seen.clear()
    with torch.no_grad():
        out = chunked_groups(elements, axes)(scale)(x, weight, gain)
        assert seen == channels
        assert torch.equal(out, whole)
        seen.clear()
        chunked_groups(elements, axes, min_channels=9)(scale)(x, weight, gain)
        assert set(seen) == {12}
    seen.clear()
    leaf = x.clone().requires_grad_()
    out = chunked_groups(elements, axes)(scale)(leaf, weight, gain)
    (one,) = torch.autograd.grad(out.square().sum(), leaf)
    assert seen == [12] * (1 if elements > 300 else 2)
    (other,) = torch.autograd.grad(scale(leaf, weight, gain).square().sum(), leaf)
    assert torch.equal(one, other)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_mixers_compute_the_same_in_groups_of_channels(op, order, tiny_chunks):
    torch.manual_seed(0)
    x = torch.randn(2, 128, 9, 12).to(memory_format=order)
    mixer = MIXERS[op]()
    leaves = [x.requires_grad_(), *mixer.parameters()]
    whole, toward = mixer(x), torch.randn_like(x)
    gradients = torch.autograd.grad(whole, leaves, toward)
    tiny_chunks()
    with torch.no_grad():
        torch.testing.assert_close(mixer(x), whole, atol=SINGLE, rtol=0)
    torch.testing.assert_close(mixer(x), whole, atol=SINGLE, rtol=0)
    scale = max(float(gradient.abs().max()) for gradient in gradients)
    torch.testing.assert_close(
        torch.autograd.grad(mixer(x), leaves, toward), gradients, atol=1e-6 * scale, rtol=1e-4
    )


def test_the_mixers_are_divided_into_chunks(monkeypatch):
    """Otherwise the comparison above would compare the whole batch with itself."""
    seen = []

    def act(x):
        seen.append(tuple(x.shape))
        return torch.relu(x)

    weights = [torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3)] * 2
    monkeypatch.setattr(adaptive_frequency_filter, "chunk_elements", 1)
    with torch.no_grad():
        adaptive_frequency_filter(torch.randn(2, 12, 8, 10), *weights, act, 0.1, True)
    assert seen == [(1, 6, 8 * 6)] * 8  # one group of one image: (G, 2 C / G, U V)


def test_the_batch_is_not_divided_with_gradients():
    calls = []
    in_chunks(lambda x: calls.append(len(x)) or x, torch.zeros(4, 2), 1)
    assert calls == [4]


def test_an_empty_batch_and_large_images():
    assert list(image_slices(torch.zeros(0, 3), 10)) == []
    assert list(image_slices(torch.zeros(2, 30), 10)) == [slice(0, 1), slice(1, 2)]


@pytest.mark.parametrize("name", OF_EACH_FAMILY)
def test_networks_compute_the_same_in_small_chunks(name, tiny_chunks):
    torch.manual_seed(0)
    model, x = twin(name).eval(), torch.randn(3, 3, 64, 96)
    with torch.no_grad():
        whole = model(x)
        tiny_chunks()
        torch.testing.assert_close(model(x), whole, atol=SINGLE, rtol=0)


HOOKED = ["stem", "stages.3", "stages.3.blocks.0", "stages.2.blocks.0.filter.act"]


@pytest.mark.parametrize("name", HOOKED)
def test_hooks_see_the_whole_batch(name, tiny_chunks):
    tiny_chunks()
    model, seen = sv.create_model("affnet_et", depths=(1, 1, 1, 1, 1)).eval(), []
    hook = model.get_submodule(name).register_forward_hook(
        lambda module, args, out: seen.append(args[0].shape)
    )
    x = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        model(x)
    whole = list(seen)
    seen.clear()
    model(x)  # with gradients the batch is whole anyway
    assert len(whole) == 1
    assert whole == seen
    hook.remove()


def test_batch_norm_sees_the_whole_batch_in_training(tiny_chunks):
    tiny_chunks()
    x = torch.randn(4, 3, 64, 64)
    statistics = []
    for keep in (True, False):
        torch.manual_seed(0)
        model = sv.create_model("affnet_et", depths=(1, 1, 1, 1, 1)).train()
        with torch.set_grad_enabled(keep):
            model(x)
        statistics.append(model.stem.norm.running_mean)
    torch.testing.assert_close(*statistics)
