"""The ops compile without graph breaks and export, to the same values."""

import pytest
import torch
from torch import Tensor, nn

from spectralvision.ops import complex_linear, dtcwt, dtcwt2d, idtcwt2d, irfft2, rfft2
from tests.helpers.marks import needs_compiler
from tests.helpers.tolerances import SINGLE


class Spectral(nn.Module):
    """Every op once."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 2, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        size = (x.shape[-2], x.shape[-1])
        x = idtcwt2d(dtcwt2d(x, 2), size=size)
        re, im = rfft2(x)
        blocks = (x.shape[0], 2, 2, -1)
        mixed = complex_linear(re.reshape(blocks), im.reshape(blocks), self.weight)
        return irfft2(*(part.reshape(re.shape) for part in mixed), size)


@pytest.mark.parametrize(
    "backend",
    ["aot_eager", pytest.param("inductor", marks=[pytest.mark.slow, needs_compiler])],
)
@pytest.mark.parametrize("form", ["matrices", "convolutions"])
def test_compiles_whole_at_several_sizes(
    form: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "convolutions":
        monkeypatch.setattr(dtcwt, "MATMUL_MAX_SIDE", 0)
    torch.compiler.reset()
    model = Spectral()
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    for size in [(12, 10), (9, 7)]:
        x = torch.randn(2, 4, *size, requires_grad=True)
        torch.testing.assert_close(compiled(x), model(x), atol=SINGLE, rtol=SINGLE)
        probe = torch.randn_like(x)
        one, other = (torch.autograd.grad((f(x) * probe).sum(), x)[0] for f in (compiled, model))
        torch.testing.assert_close(one, other, atol=SINGLE, rtol=SINGLE)


@pytest.mark.parametrize("strict", [False, True])
def test_exports(strict: bool) -> None:
    model, x = Spectral(), torch.randn(2, 4, 9, 10)
    program = torch.export.export(model, (x,), strict=strict)
    torch.testing.assert_close(program.module()(x), model(x), atol=SINGLE, rtol=SINGLE)
    torch.testing.assert_close(
        model(x).isfinite().all(), torch.tensor(True)
    )  # eager tables survived the export


def test_tables_first_built_in_inference_mode_work_with_autograd() -> None:
    x = torch.randn(1, 1, 13, 11)
    with torch.inference_mode():
        dtcwt2d(x)
    leaf = x.clone().requires_grad_()
    idtcwt2d(dtcwt2d(leaf)).sum().backward()
    assert leaf.grad is not None
