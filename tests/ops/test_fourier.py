import numpy as np
import pytest
import torch

from spectralvision.ops import fourier, irfft2, rfft2
from tests.helpers.tolerances import DOUBLE, HALF, SINGLE
from tests.reference import fourier as naive

SIZES = [(1, 1), (1, 2), (2, 1), (4, 4), (7, 9), (8, 6), (5, 12)]
FORMS = ["fft", "matmul"]


def spectrum(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    re, im = torch.randn(2, 3, height, width // 2 + 1, dtype=torch.float64)
    return re, im


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", SIZES)
def test_equals_the_sums(size: tuple[int, int], form: str) -> None:
    x = torch.randn(3, *size, dtype=torch.float64)
    re, im = rfft2(x, form)
    expected = np.stack([naive.rfft2(channel) for channel in x.numpy()])
    np.testing.assert_allclose(torch.complex(re, im), expected, atol=DOUBLE)

    re, im = spectrum(*size)  # not Hermitian
    expected = np.stack(
        [naive.irfft2(channel, size[1]) for channel in torch.complex(re, im).numpy()]
    )
    np.testing.assert_allclose(irfft2(re, im, size, form), expected, atol=DOUBLE)


@pytest.mark.parametrize("size", [*SIZES, (33, 47), (30, 64)])
def test_forms_agree_in_gradients(size: tuple[int, int]) -> None:
    x = torch.randn(2, *size, dtype=torch.float64)
    mask_re, mask_im = torch.randn(2, 2, size[0], size[1] // 2 + 1, dtype=torch.float64)
    weight = torch.randn(2, *size, dtype=torch.float64)

    def gradients(form: str) -> tuple[torch.Tensor, ...]:
        leaves = [leaf.clone().requires_grad_() for leaf in (x, mask_re, mask_im)]
        re, im = rfft2(leaves[0], form)
        masked = (leaves[1] * re - leaves[2] * im, leaves[1] * im + leaves[2] * re)
        y = irfft2(*masked, size, form)
        return torch.autograd.grad((y * weight).sum(), leaves)

    for one, other in zip(gradients("fft"), gradients("matmul"), strict=True):
        torch.testing.assert_close(one, other, atol=DOUBLE, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck(form: str) -> None:
    re, im = (part.requires_grad_() for part in spectrum(3, 4))
    assert torch.autograd.gradcheck(lambda a, b: irfft2(a, b, (3, 4), form), (re, im))
    assert torch.autograd.gradcheck(
        lambda a: rfft2(a, form), torch.randn(2, 3, 5, dtype=torch.float64).requires_grad_()
    )


@pytest.mark.parametrize("form", FORMS)
def test_round_trip_keeps_energy(form: str) -> None:
    x = torch.randn(2, 3, 15, 14)
    re, im = rfft2(x, form)
    torch.testing.assert_close(irfft2(re, im, (15, 14), form), x, atol=SINGLE, rtol=0)
    twice = torch.full((8,), 2.0)
    twice[[0, 7]] = 1.0  # every other column also represents its mirror image
    torch.testing.assert_close(((re**2 + im**2) * twice).sum(), (x**2).sum(), rtol=SINGLE, atol=0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(form: str, dtype: torch.dtype) -> None:
    x = torch.randn(2, 7, 9).to(dtype)
    re, im = rfft2(x, form)
    assert re.dtype == im.dtype == dtype
    exact = rfft2(x.float(), form)
    torch.testing.assert_close(re, exact[0].to(dtype), rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(rfft2(x.float(), form)[0], exact[0], rtol=0, atol=0)
    assert (irfft2(re, im, (7, 9), form).float() - x.float()).abs().max() < HALF


def test_auto_uses_matmul_for_sizes_with_a_large_prime(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(fourier, "rfft2_matmul", lambda x: taken.append(tuple(x.shape)) or (x, x))
    for size in [(7, 9), (9, 7), (16, 19), (30, 47), (46, 8), (64, 1), (8, 8)]:
        rfft2(torch.zeros(size))
    assert taken == [(7, 9), (9, 7), (30, 47), (46, 8), (64, 1), (8, 8)]


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (16, 6), (5, 32)])
def test_the_registered_operators_are_the_transform_and_each_others_gradient(size) -> None:
    x = torch.randn(2, *size, dtype=torch.float64, requires_grad=True)
    parts = fourier.rfft2_operator(x)
    torch.testing.assert_close(parts, torch.stack(rfft2(x, "matmul")), atol=DOUBLE, rtol=0)
    re, im = (part.detach().requires_grad_() for part in torch.randn_like(parts))
    back = fourier.irfft2_operator(re, im, size[1])
    torch.testing.assert_close(back, irfft2(re, im, size, "matmul"), atol=DOUBLE, rtol=0)
    assert torch.autograd.gradcheck(fourier.rfft2_operator, x)
    assert torch.autograd.gradcheck(
        lambda re, im: fourier.irfft2_operator(re, im, size[1]), (re, im)
    )


@pytest.mark.parametrize("form", ["fft", "matmul"])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (12, 10)])
def test_the_filter_is_mask_times_spectrum(form, size) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    out = fourier.fourier_filter(x, lambda re, im: (re * im, im - 0.5), form)
    re, im = rfft2(x, form)
    a, b = re * im, im - 0.5
    expected = irfft2(a * re - b * im, a * im + b * re, size, form)
    torch.testing.assert_close(out, expected, atol=DOUBLE, rtol=0)
    probe = torch.randn_like(x)
    gradients = [torch.autograd.grad((value * probe).sum(), x)[0] for value in (out, expected)]
    torch.testing.assert_close(*gradients, atol=DOUBLE, rtol=0)


def test_auto_uses_matmul_when_exported() -> None:
    class Filter(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return irfft2(*rfft2(x), (6, 10))

    x = torch.randn(2, 6, 10)
    program = torch.export.export(Filter(), (x,))
    targets = [str(node.target) for node in program.graph.nodes]
    assert [target for target in targets if "matmul" in target or "mm" in target]
    assert not [target for target in targets if "fft" in target]
    torch.testing.assert_close(program.module()(x), Filter()(x), atol=SINGLE, rtol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rfft2(torch.zeros(3, 3, dtype=torch.int64)), "int64"),
        (lambda: rfft2(torch.zeros(3)), "two axes"),
        (lambda: rfft2(torch.zeros(2, 0, 3)), "1 x 1"),
        (lambda: rfft2(torch.zeros(3, 3), form="dft"), "dft"),  # type: ignore[arg-type]
        (lambda: irfft2(torch.zeros(4, 3), torch.zeros(4, 3), (4, 3)), "not of the spectrum"),
        (lambda: irfft2(torch.zeros(4, 3), torch.zeros(4, 4), (4, 4)), "one shape"),
    ],
)
def test_bad_input_names_the_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
