import numpy as np
import pytest
import torch

from spectralvision.ops import complex_linear
from tests.helpers.tolerances import DOUBLE
from tests.reference import complex_linear as naive


def arguments(batch: tuple[int, ...] = ()) -> tuple[torch.Tensor, ...]:
    double = torch.float64
    x = torch.randn(2, *batch, 3, 4, 5, dtype=double)  # G = 3, I = 4, N = 5
    return x[0], x[1], torch.randn(2, 3, 4, 6, dtype=double), torch.randn(2, 3, 6, dtype=double)


def test_equals_the_loops() -> None:
    re, im, weight, bias = arguments()
    out = torch.complex(*complex_linear(re, im, weight, bias))
    expected = naive.complex_linear(torch.complex(re, im).numpy(), weight.numpy(), bias.numpy())
    np.testing.assert_allclose(out, expected, atol=DOUBLE)


def test_batched_without_bias_equals_complex_einsum_in_values_and_gradients() -> None:
    re, im, weight, _ = (leaf.requires_grad_() for leaf in arguments((2, 3)))
    out = torch.complex(*complex_linear(re, im, weight))
    expected = torch.einsum(
        "...gin,gio->...gon", torch.complex(re, im), torch.complex(weight[0], weight[1])
    )
    torch.testing.assert_close(out, expected, atol=DOUBLE, rtol=0)
    probe = torch.randn_like(out)
    got, wanted = (
        torch.autograd.grad((value * probe).real.sum(), (re, im, weight), retain_graph=True)
        for value in (out, expected)
    )
    torch.testing.assert_close(got, wanted, atol=DOUBLE, rtol=0)


def test_gradcheck() -> None:
    assert torch.autograd.gradcheck(
        complex_linear, tuple(leaf.requires_grad_() for leaf in arguments())
    )


@pytest.mark.parametrize("wrong", ["weight", "features", "bias"])
def test_mismatched_shapes_are_rejected(wrong: str) -> None:
    re, im, weight, bias = arguments()
    if wrong == "weight":
        weight = weight[0]
    elif wrong == "features":
        re = re[:, :3]
    else:
        bias = bias[:, :, :4]
    with pytest.raises(ValueError, match="shape"):
        complex_linear(re, im, weight, bias)
