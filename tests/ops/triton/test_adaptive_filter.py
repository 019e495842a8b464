"""The filter in two launches against the mixer and the loops.

In Triton's interpreter where there is no GPU.
"""

import pytest
import torch
from torch import nn

from tests.helpers.interpreter import run_interpreted

ACTS = {"silu": nn.SiLU, "relu": nn.ReLU}
# batch, groups, features, (H, W), act, threshold, inner skip
CASES = [
    (2, 2, 3, (7, 9), "silu", 0.01, True),
    (3, 2, 5, (8, 8), "relu", 0.0, False),
    (1, 1, 40, (8, 8), "silu", 0.01, False),
    (2, 1, 20, (16, 12), "silu", 0.0, True),
    (1, 2, 16, (32, 32), "relu", 0.01, True),
    (1, 1, 2, (1, 2), "silu", 0.01, True),
    (1, 1, 2, (3, 1), "relu", 0.01, True),
    (270, 1, 1, (2, 2), "silu", 0.0, True),  # more images than programs of the backward launch
    (1, 1, 4, (5, 64), "silu", 0.01, False),
]


def mixer_of(case):
    """Build a mixer whose mask is neither zero nor linear."""
    from spectralvision.mixers import AdaptiveFrequencyFilter

    _, groups, features, _, act, threshold, inner_skip = case
    mixer = AdaptiveFrequencyFilter(groups * features, groups, ACTS[act], threshold, inner_skip)
    for parameter in mixer.parameters():
        nn.init.normal_(parameter, std=0.5 / features**0.5 if parameter.ndim == 4 else 0.2)
    return mixer


def compare(case, dtype=torch.float32, device="cpu"):
    """Return the largest error of the value and of each gradient, against the mixer in float32."""
    from spectralvision.ops.triton.adaptive_filter import adaptive_filter

    torch.manual_seed(0)
    batch, groups, features, size, act, threshold, inner_skip = case
    mixer = mixer_of(case).to(device)
    x = torch.randn(batch, groups * features, *size, device=device)
    toward = torch.randn_like(x)
    weights = [mixer.w1, mixer.b1, mixer.w2, mixer.b2]
    y = mixer(x.requires_grad_())
    expected = [y, *torch.autograd.grad(y, [x, *weights], toward)]
    leaves = [leaf.detach().to(dtype).requires_grad_() for leaf in (x, *weights)]
    y = adaptive_filter(*leaves, act, threshold, inner_skip)
    got = [y, *torch.autograd.grad(y, leaves, toward.to(dtype))]
    pairs = zip(got, expected, strict=True)
    return [
        ((one.float() - other).abs().max() / other.abs().max().clamp(min=1)).item()
        for one, other in pairs
    ]


def error_against_the_loops():
    """Return the largest error against the loops in NumPy."""
    from spectralvision.ops.triton.adaptive_filter import adaptive_filter
    from tests.reference.adaptive_frequency import adaptive_frequency_filter

    mixer = mixer_of((1, 2, 3, (6, 5), "silu", 0.05, False))
    x = torch.randn(1, 6, 6, 5)
    weights = {name: value.detach() for name, value in mixer.named_parameters()}
    got = adaptive_filter(
        x, *(weights[name] for name in ("w1", "b1", "w2", "b2")), "silu", 0.05, False
    )
    arrays = {name: value.double().numpy() for name, value in weights.items()}
    expected = adaptive_frequency_filter(x[0].double().numpy(), arrays, 2, 0.05, False)
    return abs(got[0].numpy() - expected).max()


def main():
    """Run in a process of its own: Triton decides at import whether it interprets."""
    from spectralvision.ops.triton.adaptive_filter import adaptive_filter
    from tests.helpers.tolerances import HALF, SINGLE

    for case in CASES:
        errors = compare(case)
        print("float32", case, " ".join(f"{error:.1e}" for error in errors))
        assert max(errors) < SINGLE, case
    # The interpreter stores bfloat16 as plain bits, so half precision is tested in float16.
    errors = compare(CASES[0], torch.float16)
    print("float16", CASES[0], " ".join(f"{error:.1e}" for error in errors))
    assert max(errors) < HALF
    assert error_against_the_loops() < SINGLE
    x, w, b = torch.randn(1, 6, 4, 4), torch.randn(2, 2, 3, 3), torch.randn(2, 2, 3)
    for wrong in (
        (x[0], w, "relu"),
        (x, w[:1], "relu"),
        (x, w, "tanh"),
        (x[:, :5], w, "relu"),
        (x.double(), w, "relu"),
        (torch.randn(1, 6, 65, 4), w, "relu"),
        (torch.randn(1, 20, 64, 2), torch.randn(2, 1, 20, 20), "relu"),
    ):
        with pytest.raises(ValueError, match=r"shape|act|channels|sides|height"):
            adaptive_filter(wrong[0], wrong[1], b, w, b, wrong[2], 0.0, False)


def test_in_the_interpreter():
    run_interpreted("tests.ops.triton.test_adaptive_filter")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("case", CASES)
def test_on_the_gpu(case):
    assert max(compare(case, device="cuda")) < 1e-4
    assert max(compare(case, torch.bfloat16, "cuda")) < 3e-2


if __name__ == "__main__":
    main()
