"""The choice of a kernel by the table, and the mixers with their kernels against without.

In Triton's interpreter where there is no GPU.
"""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer
from spectralvision.ops import kernel_choice
from spectralvision.ops.kernel_choice import FASTER_FROM_ELEMENTS, kernel_is_faster, with_kernel
from tests.helpers.interpreter import run_interpreted
from tests.helpers.tolerances import SINGLE

OPS = {
    "adaptive_frequency_filter": "adaptive_filter",
    "scattering_channel_mixing": "scattering",
    "scattering_channel_token_mixing": "scattering",
}


def mixers():
    return [
        (AdaptiveFrequencyFilter(12, 4, act_layer=nn.ReLU), (2, 12, 8, 6)),
        (ScatteringMixer(32, (8, 12), "channel", groups=4), (2, 32, 8, 12)),
        (ScatteringMixer(64, (8, 8), "channel_token", groups=2), (1, 64, 8, 12)),
    ]


def fill_table(patch, device="cpu", elements=0):
    """List every kernel as faster from `elements` on, on one device."""
    name = kernel_choice.device_name(torch.device(device))
    for op in OPS:
        patch.setitem(FASTER_FROM_ELEMENTS, (op, name, torch.float32), elements)


def count_kernel_calls(patch):
    """Count the calls of each op's kernel in the returned dictionary."""
    from importlib import import_module

    calls = dict.fromkeys(OPS, 0)
    for op, module in OPS.items():
        kernels = import_module(f"spectralvision.ops.triton.{module}")
        kernel = getattr(kernels, op)

        def counted(*args, op=op, kernel=kernel):
            calls[op] += 1
            return kernel(*args)

        patch.setattr(kernels, op, counted)
    return calls


def compare(mixer, shape, device="cpu"):
    """Return the largest error of the value and of each gradient, and the calls of kernels."""
    torch.manual_seed(0)
    for parameter in mixer.parameters():
        nn.init.normal_(parameter, std=0.3)
    mixer = mixer.to(device)
    x, toward = torch.randn(2, *shape, device=device)
    results, calls = [], {}
    for use_kernel in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if use_kernel:
                fill_table(patch, device)
                calls = count_kernel_calls(patch)
            leaves = [x.clone().requires_grad_(), *mixer.parameters()]
            y = mixer(leaves[0])
            results.append([y, *torch.autograd.grad(y, leaves, toward)])
    errors = [
        ((one - other).abs().max() / one.abs().max().clamp(min=1)).item()
        for one, other in zip(*results, strict=True)
    ]
    return errors, calls


def check_unsupported_arguments():
    """The kernels reject what they do not support, and the mixers then run without them."""
    from spectralvision.ops.triton import adaptive_filter, scattering

    gelu = AdaptiveFrequencyFilter(8, act_layer=nn.GELU)
    x = torch.randn(1, 8, 4, 4)
    weights = (gelu.w1, gelu.b1, gelu.w2, gelu.b2)
    with pytest.raises(ValueError, match="SiLU"):
        adaptive_filter.adaptive_frequency_filter(x, *weights, gelu.act, 0.01, True)
    odd = ScatteringMixer(16, (8, 8), "channel")
    y = torch.randn(1, 16, 7, 8)
    with pytest.raises(ValueError, match="even"):
        scattering.scattering_channel_mixing(y, odd.gain, odd.w1, odd.b1, odd.w2, odd.b2)
    hooked, seen = AdaptiveFrequencyFilter(8), []
    hooked.act.register_forward_hook(lambda module, args, out: seen.append(out))
    large = torch.randn(1, 8, 65, 4)
    cases = [(gelu, x), (odd, y), (hooked, x), (AdaptiveFrequencyFilter(8), large)]
    for mixer, maps in cases:
        expected = mixer(maps)
        with pytest.MonkeyPatch.context() as patch:
            fill_table(patch)
            calls = count_kernel_calls(patch)
            assert torch.equal(mixer(maps), expected)
            assert not any(calls.values())
    assert len(seen) == 2


def main():
    """Run in a process of its own: Triton decides at import whether it interprets."""
    for mixer, shape in mixers():
        errors, calls = compare(mixer, shape)
        print(mixer, " ".join(f"{error:.1e}" for error in errors), calls)
        assert max(errors) < SINGLE, mixer
        assert sum(calls.values()) == 1
    check_unsupported_arguments()


def test_in_the_interpreter():
    run_interpreted("tests.ops.triton.test_kernel_choice")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("which", range(3))
def test_on_the_gpu(which):
    errors, calls = compare(*mixers()[which], device="cuda")
    assert max(errors) < 1e-4
    assert sum(calls.values()) == 1


def test_the_committed_table_chooses_no_kernel():
    """Nothing has been measured on a GPU yet."""
    assert FASTER_FROM_ELEMENTS == {}
    assert not any(kernel_is_faster(op, torch.empty(1 << 20)) for op in OPS)


def test_the_table_is_looked_up_by_op_device_dtype_and_size(monkeypatch):
    fill_table(monkeypatch, elements=100)
    assert kernel_is_faster("adaptive_frequency_filter", torch.empty(100))
    assert not kernel_is_faster("adaptive_frequency_filter", torch.empty(99))
    assert not kernel_is_faster("adaptive_frequency_filter", torch.empty(100).double())
    assert not kernel_is_faster("adaptive_frequency_filter", torch.empty(100, device="meta"))
    assert not kernel_is_faster("other_op", torch.empty(100))


def test_exported_programs_contain_no_kernel(monkeypatch):
    fill_table(monkeypatch)
    mixer, x = AdaptiveFrequencyFilter(8), torch.randn(1, 8, 4, 4)
    program = torch.export.export(mixer, (x,))
    targets = [str(node.target) for node in program.graph.nodes]
    assert any("baddbmm" in target for target in targets)
    assert not any("adaptive_filter" in target for target in targets)


def test_the_op_runs_where_its_kernel_does_not_support_the_arguments(monkeypatch):
    class Kernels:
        @staticmethod
        def supports(x, factor):
            return factor != 3

        @staticmethod
        def scale(x, factor):
            return "kernel"

    monkeypatch.setattr(kernel_choice, "import_module", {"some.module": Kernels}.get)
    monkeypatch.setitem(FASTER_FROM_ELEMENTS, ("scale", "cpu", torch.float32), 2)

    @with_kernel("some.module")
    def scale(x, factor):
        return factor * x

    assert scale(torch.ones(2), 2) == "kernel"
    assert scale(torch.ones(2), 3).tolist() == [3, 3]
    assert scale(torch.ones(1), 2).tolist() == [2]


if __name__ == "__main__":
    main()


TRANSFORMS = {
    "grad": lambda f, x: torch.func.grad(lambda x: f(x).sum())(x),
    "vmap": lambda f, x: torch.vmap(f)(x),
    "jvp": lambda f, x: torch.func.jvp(f, (x,), (x,)),
    "jacrev": lambda f, x: torch.func.jacrev(f)(x),
    "jacfwd": lambda f, x: torch.func.jacfwd(f)(x),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
@pytest.mark.parametrize("name", [*TRANSFORMS, "dual"])
def test_no_kernel_runs_under_a_transform(name, monkeypatch):
    """Kernels have neither a forward mode nor a rule for vmap, and would give zeros."""

    @with_kernel("kernels")
    def square(x):
        return x * x

    calls = []
    kernels = SimpleNamespace(supports=lambda x: True, square=lambda x: calls.append(x) or x * x)
    monkeypatch.setattr(kernel_choice, "import_module", lambda name: kernels)
    monkeypatch.setitem(FASTER_FROM_ELEMENTS, ("square", "cpu", torch.float32), 0)
    x = torch.randn(3, 2)
    if name == "dual":
        with forward_ad.dual_level():
            y = forward_ad.unpack_dual(square(forward_ad.make_dual(x, torch.ones_like(x))))
        torch.testing.assert_close(y.tangent, 2 * x)
    else:
        torch.testing.assert_close(TRANSFORMS[name](square, x), TRANSFORMS[name](torch.square, x))
    assert calls == []
    square(x.requires_grad_()).sum().backward()
    assert len(calls) == 1
    torch.testing.assert_close(x.grad, 2 * x)
