"""Mixers with learned spectra or frequencies: loops, sizes, precision, forms, bad arguments."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectralvision import load_released
from spectralvision.mixers import DynamicFilter, GlobalFilter, HeatConduction
from spectralvision.mixers.heat_conduction import FrequencyEmbedding
from tests.helpers.tolerances import DOUBLE, HALF, SINGLE
from tests.reference.adaptive_frequency import circular_convolution
from tests.reference.cosine import heat_conduction
from tests.reference.learned_spectra import dynamic_filter, global_filter

KINDS = [GlobalFilter, DynamicFilter, HeatConduction]
SIZES = [(4, 5), (7, 6), (1, 3)]


def mixer(kind, dim: int = 6, resolution: tuple[int, int] = (4, 5)) -> nn.Module:
    """Return a mixer in float64 in which every weight matters."""
    module = kind(dim, resolution).double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def star_relu(x: Tensor, act: nn.Module) -> Tensor:
    return act.scale * x.relu() ** 2 + act.bias


@pytest.mark.parametrize("size", SIZES)
def test_global_filter_equals_the_loops(size: tuple[int, int]) -> None:
    module = mixer(GlobalFilter, resolution=size)
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    y, kernel = module(x).detach(), module.kernel().detach()
    weight = module.weight.detach().numpy()
    for image in range(2):
        expected = global_filter(x[image].numpy(), weight)
        np.testing.assert_allclose(y[image], expected, atol=DOUBLE)
    assert kernel.shape == (6, *size)


@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_global_filter_is_a_circular_convolution(size: tuple[int, int]) -> None:
    """For a Hermitian spectrum; here that of a real kernel."""
    module, kernel = mixer(GlobalFilter, resolution=size), np.random.default_rng(0)
    kernels = kernel.standard_normal((6, *size))
    spectrum = np.fft.rfft2(kernels)
    module.weight.data = torch.from_numpy(np.stack([spectrum.real, spectrum.imag]))
    x = torch.randn(1, 6, *size, dtype=torch.float64)
    y, found = module(x).detach()[0], module.kernel().detach()
    np.testing.assert_allclose(found, kernels, atol=DOUBLE)
    for channel in range(6):
        expected = circular_convolution(kernels[channel], x[0, channel].numpy())
        np.testing.assert_allclose(y[channel], expected, atol=DOUBLE)


@pytest.mark.parametrize("size", SIZES)
def test_dynamic_filter_equals_the_loops(size: tuple[int, int]) -> None:
    module = mixer(DynamicFilter, resolution=size)
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    y = module(x).detach()
    weights = {name: value.detach() for name, value in module.named_parameters()}
    for image, one in enumerate(x):
        hidden = star_relu(weights["mixture.fc1.weight"] @ one.mean((1, 2)), module.mixture.act)
        logits = (weights["mixture.fc2.weight"] @ hidden).view(4, 12)
        mixture = (logits.exp() / logits.exp().sum(0)).detach().numpy()
        z = torch.einsum("oi,ihw->ohw", weights["expand.weight"][:, :, 0, 0], one)
        z = star_relu(z, module.act).detach().numpy()
        filtered = dynamic_filter(z, mixture, weights["spectra"].numpy())
        expected = np.einsum("oi,ihw->ohw", weights["project.weight"][:, :, 0, 0], filtered)
        np.testing.assert_allclose(y[image], expected, atol=DOUBLE)


@pytest.mark.parametrize("size", SIZES)
def test_heat_conduction_equals_the_loops(size: tuple[int, int]) -> None:
    module = mixer(HeatConduction, resolution=size)
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    y = module(x).detach()
    weights = {name: value.detach() for name, value in module.named_parameters()}
    embedding = weights["embedding.weight"]
    k = torch.einsum("oi,ihw->ohw", weights["diffusivity.weight"], embedding)
    k = (k + weights["diffusivity.bias"][:, None, None]).relu()
    assert 0 < (k == 0).double().mean() < 1
    for image, one in enumerate(x):
        local = F.conv2d(one[None], weights["conv.weight"], weights["conv.bias"], padding=1,
                         groups=6)[0]  # fmt: skip
        both = torch.einsum("oi,ihw->ohw", weights["linear.weight"][:, :, 0, 0], local)
        z, g = (both + weights["linear.bias"][:, None, None]).chunk(2)
        heat = torch.from_numpy(heat_conduction(z.numpy(), k.numpy()))
        mean, variance = heat.mean(0), heat.var(0, unbiased=False)
        normal = (heat - mean) / (variance + 1e-5).sqrt()
        normal = normal * weights["norm.weight"][:, None, None]
        normal = (normal + weights["norm.bias"][:, None, None]) * g * g.sigmoid()
        expected = torch.einsum("oi,ihw->ohw", weights["project.weight"][:, :, 0, 0], normal)
        expected = expected + weights["project.bias"][:, None, None]
        torch.testing.assert_close(y[image], expected, atol=DOUBLE, rtol=0)


def test_heat_follows_the_heat_equation() -> None:
    """dT/dt = k laplace(T) with insulated edges, for a cosine that is smooth on the grid."""
    size = 64
    position = (np.arange(size) + 0.5) / size
    wave = np.cos(np.pi * position)[:, None] * np.cos(2 * np.pi * position)[None]
    from spectralvision.ops.heat_conduction import heat_conduction as conduct
    from spectralvision.ops.heat_conduction import heat_decay

    k = torch.full((1, size, size), 3.0, dtype=torch.float64)
    found = conduct(torch.from_numpy(wave)[None, None], heat_decay(k))[0, 0]
    rate = 3.0 * ((np.pi / size) ** 2 + (2 * np.pi / size) ** 2)
    np.testing.assert_allclose(found, np.exp(-rate) * wave, atol=DOUBLE)


@pytest.mark.parametrize("kind", KINDS)
def test_any_size(kind) -> None:
    """Of the own size nothing is resized; of others the result is that of resized weights."""
    module = mixer(kind, resolution=(8, 8))
    for size in [(1, 1), (5, 8), (31, 17), (8, 8)]:
        x = torch.randn(2, 6, *size, dtype=torch.float64)
        y = module(x)
        assert y.shape == x.shape
        other = mixer(kind, resolution=(8, 8))
        other.load_state_dict(module.state_dict())
        for part in other.modules():
            if hasattr(part, "set_input_size"):
                part.set_input_size(size)
        assert getattr(other, "resolution", size) == size
        torch.testing.assert_close(other(x), y, atol=DOUBLE, rtol=0)
        again = load_released(mixer(kind, resolution=size), module.state_dict())
        torch.testing.assert_close(again(x), y, atol=SINGLE, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_precision_under_autocast_and_in_half_precision(kind) -> None:
    module = mixer(kind).float()
    x = torch.randn(2, 6, 4, 5)
    exact = module(x)
    scale = exact.abs().max().item()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = module(x)
    torch.testing.assert_close(rounded.float(), exact, atol=HALF * scale, rtol=0)
    if kind is GlobalFilter:
        assert torch.equal(rounded, exact)
    for dtype in (torch.bfloat16, torch.float16):
        y = module.to(dtype)(x.to(dtype))
        assert y.dtype == dtype
        torch.testing.assert_close(y.float(), exact, atol=2 * HALF * scale, rtol=0)
        module = module.float()


@pytest.mark.parametrize("kind", KINDS)
def test_compiles_and_exports_whole_and_real(kind) -> None:
    module, x = mixer(kind).float(), torch.randn(2, 6, 4, 7)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(x), atol=SINGLE, rtol=SINGLE)
    program = torch.export.export(module, (x,))
    torch.testing.assert_close(program.module()(x), module(x), atol=SINGLE, rtol=SINGLE)
    values = [node.meta["val"] for node in program.graph.nodes if "val" in node.meta]
    assert len(values) > 5
    assert not [value for value in values if isinstance(value, Tensor) and value.is_complex()]


@pytest.mark.parametrize("kind", KINDS)
def test_spectral_weights_take_no_decay(kind) -> None:
    module = kind(8, (4, 4))
    sized = module.embedding if kind is HeatConduction else module
    assert sized.no_weight_decay() == set(sized.resizes)


def test_a_shared_embedding_and_a_folded_decay() -> None:
    embedding, module = FrequencyEmbedding(6, (4, 5)), HeatConduction(6, None)
    nn.init.normal_(embedding.weight)
    x, other = torch.randn(2, 6, 4, 5), torch.randn(2, 6, 9, 3)
    with torch.no_grad():
        expected = module(x, embedding((4, 5))), module(other, embedding((9, 3)))
        module.fold(embedding.weight)
        module.diffusivity.weight.mul_(0)  # no longer used at the folded size
        torch.testing.assert_close(module(x), expected[0])
        assert not torch.allclose(module(other, embedding((9, 3))), expected[1])
    assert "decay" not in module.state_dict()
    with pytest.raises(ValueError, match="no embedding of its own"):
        module(other)


def test_the_mixture_adapts_to_the_image() -> None:
    module = mixer(DynamicFilter)
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    weights = module.mixture_weights(x)
    assert weights.shape == (2, 4, 12)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 12, dtype=torch.float64))
    assert (weights[0] - weights[1]).abs().max() > 1e-3


def test_bare_mixers_load_the_weights_of_the_authors() -> None:
    weight = torch.randn(8, 5, 6, 2)  # (U, V, C, 2)
    module = load_released(GlobalFilter(6, (8, 8)), {"complex_weight": weight})
    torch.testing.assert_close(module.weight[1, 4, 3, 2], weight[3, 2, 4, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GlobalFilter(0), "got 0"),
        (lambda: GlobalFilter(4, (0, 4)), r"\(0, 4\)"),
        (lambda: DynamicFilter(4, num_filters=0), "4, 0 and 2"),
        (lambda: HeatConduction(-1), "got -1"),
        (lambda: GlobalFilter(4)(torch.zeros(2, 4, 4)), "4 axes"),
        (lambda: DynamicFilter(4)(torch.zeros(2, 4, 4)), "4 axes"),
        (lambda: HeatConduction(4)(torch.zeros(2, 4, 4, 4, dtype=torch.complex64)), "complex64"),
    ],
)
def test_bad_arguments_name_the_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
