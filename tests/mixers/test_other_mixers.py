"""Mixers of other papers: loops, sizes, precision, compilers, bad arguments, names."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spectralvision as sv
from spectralvision.mixers import (
    MIXERS,
    AdaptiveFourierOperator,
    FastFourierConvolution,
    FourierMixing,
    FourierOperator,
    SelfAttention,
    WaveletConvolution,
    WaveletMixing,
    named_mixer,
)
from spectralvision.ops.haar import haar2d, ihaar2d
from tests.helpers.tolerances import DOUBLE, HALF, RECONSTRUCTION, SINGLE
from tests.reference import other_mixers as twins
from tests.reference.fourier import irfft2, rfft2

SIZES = [(4, 5), (7, 6), (1, 3), (2, 2), (9, 1)]
NAMES = [*MIXERS]


def filled(module: nn.Module) -> nn.Module:
    """The module in float64 and evaluation mode, with weights that all matter."""
    module = module.double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    for name, buffer in module.named_buffers():
        if "running" in name:
            nn.init.uniform_(buffer, 0.5, 1.5)
    return module


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


def images(size: tuple[int, int], dim: int = 8) -> Tensor:
    return torch.randn(2, dim, *size, dtype=torch.float64)


def assert_equals(module: nn.Module, x: Tensor, twin) -> None:
    y = module(x).detach().numpy()
    assert np.abs(y).max() > 0.1
    for image in range(len(x)):
        np.testing.assert_allclose(y[image], twin(x[image].numpy()), atol=DOUBLE)


@pytest.mark.parametrize("size", SIZES)
def test_afno_equals_the_loops(size) -> None:
    module = filled(AdaptiveFourierOperator(8, groups=2, threshold=0.05))
    weights = weights_of(module)
    assert_equals(module, images(size), lambda one: twins.afno(one, weights, 2, 0.05))


@pytest.mark.parametrize("size", SIZES)
def test_fourier_mixing_equals_the_sums(size) -> None:
    assert_equals(FourierMixing(), images(size, 4), twins.fourier_mixing)


@pytest.mark.parametrize("size", [*SIZES, (12, 11)])
@pytest.mark.parametrize("modes", [1, 3])
def test_fourier_operator_equals_the_loops(size, modes) -> None:
    module = filled(FourierOperator(8, modes, groups=2))
    weights = weights_of(module)

    def twin(one):
        local = np.einsum("oi,ihw->ohw", weights["linear.weight"][:, :, 0, 0], one)
        local = local + weights["linear.bias"][:, None, None]
        return local + twins.fourier_operator(one, weights["weight"])

    assert_equals(module, images(size), twin)


@pytest.mark.parametrize("size", SIZES)
def test_haar_equals_the_loops_and_inverts(size) -> None:
    x = images(size, 3)
    bands = haar2d(x)
    for image in range(2):
        np.testing.assert_allclose(bands[image], twins.haar2d(x[image].numpy()), atol=DOUBLE)
    torch.testing.assert_close(ihaar2d(bands, size), x, atol=RECONSTRUCTION, rtol=0)
    if not size[0] % 2 and not size[1] % 2:
        torch.testing.assert_close(bands.square().sum(), x.square().sum())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("levels", [1, 3])
def test_wavelet_convolution_equals_the_loops(size, levels) -> None:
    module = filled(WaveletConvolution(4, levels, kernel_size=3))
    weights = weights_of(module)
    assert_equals(
        module, images(size, 4), lambda one: twins.wavelet_convolution(one, weights, levels)
    )


@pytest.mark.parametrize("size", SIZES)
def test_wavelet_mixing_equals_its_steps(size) -> None:
    module = filled(WaveletMixing(8))
    x = images(size)
    weights = weights_of(module)
    reduced = torch.einsum("oi,bihw->bohw", module.reduce.weight[:, :, 0, 0], x)
    reduced = (reduced + module.reduce.bias[:, None, None]).detach().numpy()
    bands = np.stack([twins.haar2d(one).reshape(8, *haar2d(x).shape[3:]) for one in reduced])
    restored = module.restore(module.mlp(torch.from_numpy(bands)))[..., : size[0], : size[1]]
    variance = module.norm.running_var[:, None, None] + module.norm.eps
    expected = (restored - module.norm.running_mean[:, None, None]) / variance.sqrt()
    expected = expected * module.norm.weight[:, None, None] + module.norm.bias[:, None, None]
    torch.testing.assert_close(module(x), expected, atol=DOUBLE, rtol=0)
    assert set(weights) > {"restore.weight", "mlp.0.weight"}


@pytest.mark.parametrize("size", SIZES)
def test_fast_fourier_convolution_equals_its_equations(size) -> None:
    module = filled(FastFourierConvolution(6, global_ratio=1 / 3))
    x = images(size, 6)
    l, g = x[:, :4], x[:, 4:]  # noqa: E741
    transform = module.global_to_global

    def normalize(norm: nn.BatchNorm2d, y: Tensor) -> Tensor:
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        shift = norm.bias - norm.running_mean * scale
        return (y * scale[:, None, None] + shift[:, None, None]).relu()

    z = normalize(transform.norm, transform.reduce(g))
    found = []
    for one in z.detach().numpy():
        spectrum = np.stack([rfft2(channel) for channel in one])
        parts = torch.from_numpy(np.concatenate([spectrum.real, spectrum.imag]))
        parts = normalize(transform.unit.norm, transform.unit.conv(parts[None]))[0].detach().numpy()
        half = len(parts) // 2
        both = parts[:half] + 1j * parts[half:]
        found.append(np.stack([irfft2(channel, size[1]) for channel in both]))
    wide = transform.project(z + torch.from_numpy(np.stack(found)))
    expected = torch.cat(
        [
            module.local_to_local(l) + module.global_to_local(g),
            module.local_to_global(l) + wide,
        ],
        dim=1,
    )
    torch.testing.assert_close(module(x), expected, atol=DOUBLE, rtol=0)


def test_self_attention_equals_its_equations() -> None:
    module = filled(SelfAttention(8, num_heads=2))
    x = images((3, 5))
    layer = module.attention
    tokens = x.flatten(2).transpose(1, 2)
    q, k, v = layer.qkv(tokens).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-2, -1) / 2).softmax(dim=-1)
    out = layer.proj((weights @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(module(x), out.transpose(1, 2).unflatten(2, (3, 5)), atol=DOUBLE,
                               rtol=0)  # fmt: skip


def build(name: str, dim: int = 8, resolution: tuple[int, int] = (4, 6)) -> nn.Module:
    return filled(named_mixer(name)(dim, resolution))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(4, 6), (7, 5), (16, 16)])
def test_every_named_mixer_keeps_the_shape(name, size) -> None:
    module, x = build(name), images(size)
    y = module(x)
    assert y.shape == x.shape
    torch.testing.assert_close(module(x[:1]), y[:1], atol=DOUBLE, rtol=0)
    assert module(x[:0]).shape == (0, 8, *size)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
@pytest.mark.parametrize("name", NAMES)
def test_derivatives(name) -> None:
    """First and second, in reverse and forward mode, against differences.

    PyTorch's attention on a CPU has the first in reverse mode only.
    """
    module, x = build(name), images((3, 4))[:1].requires_grad_()
    is_ours = name != "attention"
    assert torch.autograd.gradcheck(module, (x,), check_forward_ad=is_ours, fast_mode=True)
    assert not is_ours or torch.autograd.gradgradcheck(module, (x,), fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_and_autocast(name) -> None:
    module = build(name).float()
    x = images((4, 6)).float()
    exact = module(x)
    scale = exact.abs().max().item()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = module(x)
    torch.testing.assert_close(rounded.float(), exact, atol=2 * HALF * scale, rtol=0)
    y = module.to(torch.bfloat16)(x.to(torch.bfloat16))
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), exact, atol=3 * HALF * scale, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_compiles_and_exports_whole_and_real(name) -> None:
    module, x = build(name).float(), images((4, 6)).float()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(x), atol=SINGLE, rtol=SINGLE)
    program = torch.export.export(module, (x,))
    torch.testing.assert_close(program.module()(x), module(x), atol=SINGLE, rtol=SINGLE)
    values = [node.meta["val"] for node in program.graph.nodes if "val" in node.meta]
    assert values
    assert not [value for value in values if isinstance(value, Tensor) and value.is_complex()]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_with_a_named_mixer_can_be_saved_and_loaded(name, tmp_path) -> None:
    model = sv.create_model("affnet_et", num_classes=3, mixer_layer=name, depths=(1, 1, 1, 1, 1),
                            img_size=64).eval()  # fmt: skip
    sv.save_run(model, ["a", "b", "c"], 64, tmp_path / "run")
    again = sv.create_model(f"local-dir:{tmp_path / 'run'}", pretrained=True).eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(x), model(x))


def test_settings_of_named_mixers() -> None:
    module = named_mixer("aff(groups=1, threshold=0.5, act_layer='relu', inner_skip=False)")(
        8, (4, 4)
    )
    assert (module.groups, module.threshold, module.inner_skip) == (1, 0.5, False)
    assert isinstance(module.act, nn.ReLU)
    assert named_mixer("aff(groups='dim')")(8, (4, 4)).groups == 8
    assert named_mixer("scattering_channel")(8, (4, 4)).mixing == "channel"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: named_mixer("affn"), "'affn' is no mixer: the mixers are aff, scattering"),
        (lambda: named_mixer("aff(8)"), "is not the name of a mixer: write aff"),
        (lambda: named_mixer("aff(groups=print(1))"), "is not the name of a mixer"),
        (lambda: named_mixer("__import__('os')"), "is not the name of a mixer"),
        (lambda: named_mixer("aff("), "is not the name of a mixer"),
        (lambda: named_mixer("aff(modes=2)")(8, (4, 4)), "cannot be built: "),
        (lambda: named_mixer("aff(groups=3)")(8, (4, 4)), "got dim=8 and groups=3"),
        (lambda: AdaptiveFourierOperator(6, groups=4), "got dim=6 and groups=4"),
        (lambda: AdaptiveFourierOperator(8, threshold=-1), "got -1"),
        (lambda: FourierOperator(6, groups=4), "got dim=6 and groups=4"),
        (lambda: FourierOperator(8, modes=0), "got 0"),
        (lambda: WaveletMixing(6), "multiple of 4, got 6"),
        (lambda: WaveletMixing(8, expansion=0), "got 0"),
        (lambda: WaveletConvolution(0), "got 0 and 2"),
        (lambda: WaveletConvolution(4, kernel_size=4), "odd and positive, got 4"),
        (lambda: FastFourierConvolution(1), "at least 2, got 1"),
        (lambda: FastFourierConvolution(4, global_ratio=1), "got 1"),
        (lambda: SelfAttention(6, num_heads=4), "got dim=6 and 4 heads"),
        (lambda: FourierMixing()(torch.zeros(2, 4, 4)), "4 axes"),
        (lambda: ihaar2d(torch.zeros(1, 2, 3, 4, 4)), r"\(1, 2, 3, 4, 4\)"),
        (lambda: ihaar2d(torch.zeros(1, 2, 4, 4, 4), (6, 8)), r"\(6, 8\)"),
    ],
)
def test_bad_arguments_name_the_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
