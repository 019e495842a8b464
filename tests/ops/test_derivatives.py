"""Every form of the ops and mixers under every transform equals the plain form in float64.

The plain form is convolutions and `torch.fft` on the whole batch, which PyTorch differentiates.
"""

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vjp

from spectralvision.mixers import (
    AdaptiveFrequencyFilter,
    DynamicFilter,
    GlobalFilter,
    HeatConduction,
    ScatteringMixer,
)
from spectralvision.ops import (
    DTCWTForward,
    DTCWTInverse,
    dct2,
    dtcwt,
    fourier,
    idct2,
    irfft2,
    rfft2,
)
from spectralvision.ops.adaptive_frequency import adaptive_frequency_filter
from spectralvision.ops.complex_linear import complex_linear
from spectralvision.ops.dtcwt import Pyramid, dtcwt2d, idtcwt2d
from spectralvision.ops.dynamic_filter import dynamic_filter
from spectralvision.ops.global_filter import global_filter
from spectralvision.ops.heat_conduction import heat_conduction
from spectralvision.ops.scattering import (
    scattering_channel_mixing,
    scattering_channel_token_mixing,
)
from tests.helpers.tolerances import DOUBLE, HALF, SINGLE

# PyTorch's own forward-mode rules are scripted when they are first needed.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

MIXING_OPS = (
    adaptive_frequency_filter,
    dynamic_filter,
    global_filter,
    heat_conduction,
    scattering_channel_mixing,
    scattering_channel_token_mixing,
)


def flat(*parts: Tensor) -> Tensor:
    return torch.cat([part.flatten(1) for part in parts], dim=1)


class Wavelets(nn.Module):
    """Two levels, a nonlinear change of the bands, and the inverse."""

    def forward(self, x: Tensor) -> Tensor:
        low, bands = dtcwt2d(x, 2)
        changed = tuple((re * im, im + low.mean()) for re, im in bands)
        return flat(low, *bands[0], idtcwt2d(Pyramid(low.square(), changed)))


class WaveletModules(nn.Module):
    """The same through the modules of pytorch_wavelets' names."""

    def __init__(self) -> None:
        super().__init__()
        self.split, self.join = DTCWTForward(J=2), DTCWTInverse()

    def forward(self, x: Tensor) -> Tensor:
        low, bands = self.split(x)
        return flat(low, self.join((low.square(), [band * band for band in bands])))


class Fourier(nn.Module):
    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        re, im = rfft2(x, self.form)
        return flat(re, irfft2(re * im, im.square(), x.shape[-2:], self.form))


class Cosine(nn.Module):
    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        a = dct2(x, self.form)
        return flat(a, idct2(a * a, self.form))


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 2, 3, 4) / 3)
        self.bias = nn.Parameter(torch.randn(2, 2, 4))

    def forward(self, x: Tensor) -> Tensor:
        re, im = x.unflatten(1, (2, 3)).flatten(3), x.unflatten(1, (2, 3)).flatten(3).square()
        return flat(*complex_linear(re, im, self.weight.to(x.dtype), self.bias.to(x.dtype)))


# name: (module, shape of x); the form that the shape leads to
CASES = {
    "matrices": (Wavelets, (2, 3, 8, 12)),
    "convolutions": (Wavelets, (1, 1, 4, 132)),
    "channels last": (Wavelets, (2, 16, 8, 12)),
    "channels last, batch folded": (Wavelets, (16, 1, 8, 4)),
    "channels last, depthwise": (Wavelets, (1, 16, 36, 4)),
    "modules": (WaveletModules, (2, 16, 8, 8)),
    "fft": (lambda: Fourier("fft"), (2, 2, 9, 10)),
    "matmul": (lambda: Fourier("matmul"), (2, 2, 9, 10)),
    "matmul, both axes at once": (lambda: Fourier("matmul"), (2, 2, 5, 6)),
    "cosine, fft": (lambda: Cosine("fft"), (2, 2, 5, 6)),
    "cosine, matmul": (lambda: Cosine("matmul"), (2, 2, 5, 6)),
    "complex linear": (Linear, (2, 6, 3, 2)),
    "filter": (lambda: AdaptiveFrequencyFilter(8, 2, threshold=0.3), (2, 8, 9, 10)),
    "filter, small map": (lambda: AdaptiveFrequencyFilter(8, 2, threshold=0.3), (2, 8, 6, 6)),
    "filter, prime side": (lambda: AdaptiveFrequencyFilter(4, 2, threshold=0.3), (1, 4, 23, 3)),
    "global": (lambda: GlobalFilter(4, (9, 10)), (2, 4, 9, 10)),
    "global, resized": (lambda: GlobalFilter(4, (6, 6)), (2, 4, 9, 10)),
    "dynamic": (lambda: DynamicFilter(4, (9, 10)), (2, 4, 9, 10)),
    "heat": (lambda: HeatConduction(4, (5, 6)), (2, 4, 5, 6)),
    "heat, resized": (lambda: HeatConduction(4, (6, 4)), (2, 4, 5, 6)),
    "channel": (lambda: ScatteringMixer(32, (8, 8), "channel", groups=2), (2, 32, 8, 8)),
    "channel, resized": (lambda: ScatteringMixer(32, (8, 8), "channel", groups=2), (2, 32, 5, 6)),
    "channel_token": (lambda: ScatteringMixer(32, (8, 6), groups=2), (2, 32, 8, 6)),
    "channel_token, few channels": (lambda: ScatteringMixer(8, (8, 6), groups=2), (2, 8, 8, 6)),
}


def by_reverse(f, x, v, w):
    x = x.requires_grad_()
    return torch.autograd.grad((f(x) * w).sum(), x)[0]


def by_vjp(f, x, v, w):
    return vjp(f, x)[1](w)[0]


def by_forward_ad(f, x, v, w):
    with forward_ad.dual_level(), torch.no_grad():
        return forward_ad.unpack_dual(f(forward_ad.make_dual(x, v))).tangent


def by_jvp(f, x, v, w):
    return jvp(f, (x,), (v,))[1]


def by_double_backward(f, x, v, w):
    x = x.requires_grad_()
    (first,) = torch.autograd.grad((f(x) * w).sum(), x, create_graph=True)
    return torch.autograd.grad((first * v).sum(), x)[0]


def by_forward_over_reverse(f, x, v, w):
    return jvp(grad(lambda x: (f(x) * w).sum()), (x,), (v,))[1]


def by_reverse_over_forward(f, x, v, w):
    return grad(lambda x: (jvp(f, (x,), (v,))[1] * w).sum())(x)


def by_forward_over_forward(f, x, v, w):
    return jvp(lambda x: jvp(f, (x,), (v,))[1], (x,), (v,))[1]


def by_vmap(f, x, v, w):
    return torch.vmap(f, in_dims=1)(torch.stack([x, v], dim=1))


def by_nested_vmap(f, x, v, w):
    return torch.vmap(torch.vmap(f))(torch.stack([x, v, x + v, x - v]).unflatten(0, (2, 2)))


def by_vmap_of_gradients(f, x, v, w):
    """Per-sample gradients."""
    return torch.vmap(grad(lambda one: (f(one[None]) * w[:1]).sum()))(x)


def by_gradient_of_vmap(f, x, v, w):
    return grad(lambda x: (torch.vmap(lambda one: f(one[None]))(x) * w[:1]).sum())(x)


TRANSFORMS = {
    name.removeprefix("by_"): transform
    for name, transform in globals().items()
    if name.startswith("by_")
}
MODES = {"enabled": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}


@pytest.fixture
def plain(monkeypatch):
    """Return a function that runs another one with the plain forms only."""

    def run(function, *args):
        with monkeypatch.context() as patch:
            patch.setattr(dtcwt, "use_channels_last", lambda *args: False)
            patch.setattr(dtcwt, "MATMUL_MAX_SIDE", 0)
            patch.setattr(fourier, "MATMUL_MAX_SAMPLES", {})
            patch.setattr(fourier, "MATMUL_MIN_PRIME", {})
            for op in MIXING_OPS:
                patch.setattr(op, "chunk_elements", 1 << 40)
            return function(*args)

    return run


@pytest.fixture
def one_image_per_chunk(monkeypatch):
    for op in MIXING_OPS:
        monkeypatch.setattr(op, "chunk_elements", 1)


class Squared(nn.Module):
    """The square of a module's result, so that second derivatives do not vanish."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x).square()


def build(case: str):
    """Return a module in float64, x, and directions in the shapes of x and of the result."""
    torch.manual_seed(0)
    make, shape = CASES[case]
    module = Squared(make()).double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    x, v = torch.randn(2, *shape, dtype=torch.float64)
    with torch.no_grad():
        w = torch.randn_like(module(x))
    return module, x, v, w


def assert_close(result: Tensor, wanted: Tensor, tolerance: float) -> None:
    """Compare relative to the largest wanted value."""
    scale = wanted.abs().max().item()
    torch.testing.assert_close(result.double(), wanted, atol=tolerance * scale, rtol=0)
    assert scale > 0


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("case", CASES)
def test_transforms(case, transform, plain, one_image_per_chunk) -> None:
    module, x, v, w = build(case)
    run = TRANSFORMS[transform]
    wanted = plain(run, module, x.clone(), v, w)
    assert_close(run(module, x.clone(), v, w), wanted, DOUBLE)

    module = module.float()
    x, v, w = x.float(), v.float(), w.float()
    assert_close(run(module, x.clone(), v, w), wanted, SINGLE)
    # Inside autocast, also the backward pass. (PyTorch's cache of casts knows no transforms.)
    # Convolutions beside the spectral ops are ordinary layers there.
    if case.startswith("heat") and transform == "vmap_of_gradients":
        return  # PyTorch itself fails there for a convolution followed by a layer norm
    plain_layers = case.startswith(("channel_token", "dynamic", "heat"))
    rounded = plain_layers or transform == "reverse_over_forward"
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype, cache_enabled=False):
            result = run(lambda x: module(x).float(), x.clone(), v, w)
        assert_close(result, wanted, HALF if rounded else SINGLE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("transform", ["reverse", "jvp", "vmap", "vmap_of_gradients"])
@pytest.mark.parametrize("case", [name for name in CASES if name != "complex linear"])
def test_half_precision(case, transform, dtype, plain) -> None:
    module, x, v, w = build(case)
    run = TRANSFORMS[transform]
    x, v, w = (one.to(dtype).double() for one in (x, v, w))
    wanted = plain(run, module.to(dtype).double(), x.clone(), v, w)
    result = run(module.to(dtype), x.to(dtype), v.to(dtype), w.to(dtype))
    assert result.dtype == dtype
    assert_close(result, wanted, HALF)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES)
def test_vmap_equals_a_loop_in_every_grad_mode(case, mode, one_image_per_chunk) -> None:
    module, x, v, _ = build(case)
    with MODES[mode]():
        each = torch.stack([module(x), module(v)])
        assert_close(torch.vmap(module)(torch.stack([x, v])), each, DOUBLE)


WITH_WEIGHTS = [
    "complex linear", "filter", "filter, small map", "channel", "channel_token", "global",
    "dynamic", "heat",
]  # fmt: skip


@pytest.mark.parametrize("case", WITH_WEIGHTS)
def test_derivatives_by_the_weights(case, plain, one_image_per_chunk) -> None:
    """Reverse, forward, per-sample and double gradients by all weights."""
    module, x, _, w = build(case)
    weights = {name: value.detach() for name, value in module.named_parameters()}
    toward = {name: torch.randn_like(value) for name, value in weights.items()}

    def loss(weights, x, w):
        return (functional_call(module, weights, (x,)) * w).sum()

    def derivatives():
        by_samples = torch.vmap(grad(loss), in_dims=(None, 0, 0))(
            weights, x.unsqueeze(1), w.unsqueeze(1)
        )
        forward = jvp(lambda weights: functional_call(module, weights, (x,)), (weights,), (toward,))
        return [
            grad(loss)(weights, x, w),
            by_samples,
            {"": forward[1]},
            jvp(lambda weights: grad(loss)(weights, x, w), (weights,), (toward,))[1],
        ]

    for result, wanted in zip(derivatives(), plain(derivatives), strict=True):
        for name, value in wanted.items():
            torch.testing.assert_close(result[name], value, atol=1e-9, rtol=1e-9, msg=name)


@pytest.mark.parametrize("case", WITH_WEIGHTS)
def test_vmap_over_an_ensemble_of_weights(case, one_image_per_chunk) -> None:
    modules, x = [build(case)[0] for _ in range(2)], build(case)[1]
    with torch.no_grad():
        for parameter in modules[1].parameters():
            parameter.mul_(-0.5)
    weights, _ = stack_module_state(modules)
    for mode in MODES.values():
        with mode():
            each = torch.stack([module(x) for module in modules])
            result = torch.vmap(lambda one: functional_call(modules[0], one, (x,)))(weights)
            assert_close(result, each, DOUBLE)


@pytest.mark.parametrize("case", ["filter, small map", "channel", "channels last"])
def test_jacobians_and_a_hessian(case, plain) -> None:
    module, x, _, w = build(case)
    small = x[:1, :, :2, :2].clone()

    def embed(part):
        return module(torch.cat([torch.cat([part, x[:1, :, :2, 2:]], 3), x[:1, :, 2:]], 2))

    def derivatives():
        return jacrev(embed)(small), hessian(lambda part: (embed(part) * w[:1]).sum())(small)

    by_jacrev, by_hessian = plain(derivatives)
    assert_close(jacfwd(embed)(small), by_jacrev, DOUBLE)
    assert_close(jacrev(embed)(small), by_jacrev, DOUBLE)
    assert_close(derivatives()[1], by_hessian, DOUBLE)
