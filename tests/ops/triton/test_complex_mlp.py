"""The Triton kernel against plain PyTorch and the loops.

In Triton's interpreter where there is no GPU.
"""

import pytest
import torch

from tests.helpers.interpreter import run_interpreted

# features, positions, act, product; the last has more features than the backward kernel takes
CASES = [
    (16, 37, "silu", True),
    (13, 300, "silu", True),
    (32, 64, "relu", False),
    (40, 5, "relu", True),
    (70, 9, "silu", False),
]


def compare(features, positions, act, multiply, dtype=torch.float32, device="cpu"):
    """Return the largest error of values and gradients, against plain PyTorch in float32."""
    from spectralvision.ops.triton.complex_mlp import complex_mlp, complex_mlp_torch

    torch.manual_seed(0)
    shape, groups = (2, 3, features, positions), 3
    x = [torch.randn(shape, device=device) for _ in range(2)]
    weights = [
        torch.randn(2, groups, features, features, device=device) / features**0.5 for _ in range(2)
    ]
    biases = [torch.randn(2, groups, features, device=device) for _ in range(2)]
    leaves = [*x, weights[0], biases[0], weights[1], biases[1]]
    results = []
    for function, kind in ((complex_mlp, dtype), (complex_mlp_torch, torch.float32)):
        values = [leaf.to(kind).detach().requires_grad_() for leaf in leaves]
        out = function(*values, act, 0.1, multiply)
        gradients = torch.autograd.grad(sum((part.float() ** 2).sum() for part in out), values)
        results.append([part.float() for part in (*out, *gradients)])
    return [
        ((one - other).abs().max() / other.abs().max().clamp(min=1)).item()
        for one, other in zip(*results, strict=True)
    ]


def compare_channels_last(features, groups, act, multiply):
    """Return the largest error on parts (..., C), the groups in turn along C."""
    from spectralvision.ops.triton.complex_mlp import complex_mlp_channels_last, complex_mlp_torch

    torch.manual_seed(0)
    bands = torch.randn(2, 2, 3, 5, groups * features).requires_grad_()
    weights = [torch.randn(2, groups, features, features) / features**0.5] * 2
    biases = [torch.randn(2, groups, features)] * 2
    leaves = [
        bands,
        *(
            leaf.clone().requires_grad_()
            for pair in zip(weights, biases, strict=True)
            for leaf in pair
        ),
    ]
    out = torch.stack(complex_mlp_channels_last(*bands.unbind(0), *leaves[1:], act, 0.1, multiply))
    assert out.is_contiguous()
    parts = bands.flatten(1, 3).unflatten(-1, (groups, features)).permute(0, 2, 3, 1).unsqueeze(1)
    expected = torch.stack(complex_mlp_torch(*parts.unbind(0), *leaves[1:], act, 0.1, multiply))
    expected = expected.squeeze(1).permute(0, 3, 1, 2).reshape(bands.shape)
    toward = torch.randn_like(out)
    results = [
        [one, *torch.autograd.grad(one, leaves, toward, retain_graph=True)]
        for one in (out, expected)
    ]
    return max(
        ((one - other).abs().max() / other.abs().max().clamp(min=1)).item()
        for one, other in zip(*results, strict=True)
    )


def main():
    """Run in a process of its own: Triton decides at import whether it interprets."""
    from spectralvision.ops.triton.complex_mlp import complex_mlp
    from tests.helpers.tolerances import HALF, SINGLE
    from tests.reference import complex_linear as naive

    for case in CASES:
        errors = compare(*case)
        print("float32", case, " ".join(f"{error:.1e}" for error in errors))
        assert max(errors) < SINGLE, case
    for case in ((16, 2, "relu", False), (5, 3, "silu", True)):
        assert compare_channels_last(*case) < SINGLE, case
    # The interpreter stores bfloat16 as plain bits, so half precision is tested in float16.
    assert max(compare(16, 37, "silu", True, torch.float16)) < HALF
    torch.manual_seed(0)
    re, im, w, b = (
        torch.randn(1, 2, 3, 4),
        torch.randn(1, 2, 3, 4),
        torch.randn(2, 2, 3, 3),
        torch.randn(2, 2, 3),
    )
    hidden = naive.apart(
        lambda x: x.clip(0), naive.complex_linear((re + 1j * im)[0].numpy(), w.numpy(), b.numpy())
    )
    expected = naive.complex_linear(hidden, w.numpy(), b.numpy())
    got = torch.complex(*complex_mlp(re, im, w, b, w, b, "relu", 0.0, False))[0]
    assert abs(got.numpy() - expected).max() < SINGLE
    for wrong in ((re, im[..., :1], w, "relu"), (re, im, w[:1], "relu"), (re, im, w, "tanh")):
        with pytest.raises(ValueError, match=r"shape|act"):
            complex_mlp(*wrong[:3], b, w, b, wrong[3], 0.0, False)


def test_in_the_interpreter():
    run_interpreted("tests.ops.triton.test_complex_mlp")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("case", CASES)
def test_on_the_gpu(case):
    assert max(compare(*case, device="cuda")) < 1e-4


if __name__ == "__main__":
    main()
