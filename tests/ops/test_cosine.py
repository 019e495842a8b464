import numpy as np
import pytest
import torch

from spectralvision.ops import cosine, dct2, idct2
from tests.helpers.tolerances import DOUBLE, HALF, RECONSTRUCTION, SINGLE
from tests.reference import cosine as naive

# PyTorch's own forward-mode rules are scripted when they are first needed.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

SIZES = [(1, 1), (1, 2), (2, 1), (4, 4), (7, 9), (8, 6), (5, 12)]
FORMS = ["fft", "matmul"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", SIZES)
def test_equals_the_sums(size: tuple[int, int], form: str) -> None:
    x = torch.randn(2, *size, dtype=torch.float64)
    for function, sums in ((dct2, naive.dct2), (idct2, naive.idct2)):
        expected = np.stack([sums(one) for one in x.numpy()])
        np.testing.assert_allclose(function(x, form), expected, atol=DOUBLE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [*SIZES, (33, 47), (64, 30)])
def test_is_orthogonal(size: tuple[int, int], form: str) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    a = dct2(x, form)
    torch.testing.assert_close(idct2(a, form), x, atol=RECONSTRUCTION, rtol=0)
    torch.testing.assert_close(a.square().sum(), x.square().sum())


@pytest.mark.parametrize("function", [dct2, idct2])
@pytest.mark.parametrize("size", [*SIZES, (33, 47)])
def test_forms_agree_in_gradients(function, size: tuple[int, int]) -> None:
    x, probe = torch.randn(2, 2, *size, dtype=torch.float64)
    gradients = []
    for form in FORMS:
        leaf = x.clone().requires_grad_()
        gradients.append(torch.autograd.grad((function(leaf, form) * probe).sum(), leaf)[0])
    torch.testing.assert_close(*gradients, atol=DOUBLE, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck(form: str) -> None:
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: dct2(x, form), x, check_forward_ad=True)
    assert torch.autograd.gradcheck(lambda x: idct2(x, form), x, check_forward_ad=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(form: str, dtype: torch.dtype) -> None:
    x = torch.randn(2, 7, 9).to(dtype)
    a = dct2(x, form)
    assert a.dtype == dtype
    torch.testing.assert_close(a, dct2(x.float(), form).to(dtype), rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        exact = dct2(x.float(), form)
        assert exact.dtype == torch.float32
    torch.testing.assert_close(dct2(x.float(), form), exact, rtol=0, atol=0)
    assert (idct2(a, form).float() - x.float()).abs().max() < HALF


def test_auto_uses_products_up_to_a_measured_side(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, ...]] = []
    plain = cosine._dct_matmul
    monkeypatch.setattr(
        cosine, "_dct_matmul", lambda x, dim: taken.append(tuple(x.shape)) or plain(x, dim)
    )
    largest = cosine.MATMUL_MAX_SIDE
    for size in [(4, largest), (largest, 4), (4, largest + 1)]:
        dct2(torch.zeros(size))
    assert set(taken) == {(4, largest), (largest, 4)}


def test_exports_and_compiles_as_products() -> None:
    class Both(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return idct2(dct2(x).relu())

    x = torch.randn(2, 6, 300)  # longer than what products are faster for
    program = torch.export.export(Both(), (x,))
    assert not [node for node in program.graph.nodes if "fft" in str(node.target)]
    torch.testing.assert_close(program.module()(x), Both()(x), atol=SINGLE, rtol=0)
    compiled = torch.compile(Both(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), Both()(x), atol=SINGLE, rtol=0)


def test_an_empty_batch() -> None:
    assert dct2(torch.zeros(0, 3, 4)).shape == idct2(torch.zeros(0, 3, 4)).shape == (0, 3, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dct2(torch.zeros(3, 3, dtype=torch.int64)), "int64"),
        (lambda: dct2(torch.zeros(3)), "two axes"),
        (lambda: idct2(torch.zeros(2, 0, 3)), "1 x 1"),
        (lambda: idct2(torch.zeros(3, 3), form="dct"), "dct"),  # type: ignore[arg-type]
        (lambda: dct2(torch.zeros(3, 3, dtype=torch.complex64)), "complex64"),
    ],
)
def test_bad_input_names_the_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
