import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spectralvision import load_released
from spectralvision.mixers import ScatteringMixer
from spectralvision.ops.resize_scattering import (
    resize_gain,
    resize_width_bias,
    resize_width_matrix,
)
from tests.golden import rule
from tests.helpers.golden import check_gradients, max_error
from tests.helpers.tolerances import DOUBLE, LOGITS, SINGLE
from tests.reference import scattering as naive

MIXINGS = ["channel", "channel_token"]


def mixer(
    resolution: tuple[int, int], mixing: str, dim: int = 8, groups: int = 2
) -> ScatteringMixer:
    """Return a mixer whose weights are large enough that every part of it matters."""
    module = ScatteringMixer(dim, resolution, mixing, groups)  # type: ignore[arg-type]
    for name, parameter in module.named_parameters():
        nn.init.normal_(parameter, mean=float(name == "gain"), std=0.5)
    return module


@pytest.mark.parametrize(
    "file",
    [
        "scattering_channel_64",
        "scattering_channel_128",
        "scattering_channel_token_64",
        "scattering_channel_token_128",
    ],
)
def test_golden(file: str) -> None:
    arrays, meta = rule.load(file)
    tokens = rule.images(file, tuple(meta["input_shape"])).requires_grad_()
    side = int(tokens.shape[1] ** 0.5)
    mixing = "channel_token" if "token" in file else "channel"
    module = load_released(ScatteringMixer(tokens.shape[2], (side, side), mixing), rule.state(meta))
    y = module(tokens.mT.unflatten(-1, (side, side))).flatten(2).mT
    assert max_error(y, arrays["output"]) <= LOGITS
    check_gradients(file, meta, module, y, tokens)


@pytest.mark.parametrize("size", [(6, 8), (4, 2)])
@pytest.mark.parametrize("mixing", MIXINGS)
def test_equals_the_loops(size: tuple[int, int], mixing: str) -> None:
    module = mixer(size, mixing).double()
    weights = {name: value.detach().numpy() for name, value in module.named_parameters()}
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    y = module(x).detach()
    for image in range(2):
        expected = naive.scattering_mixer(x[image].numpy(), weights, 2, mixing)
        np.testing.assert_allclose(y[image], expected, atol=DOUBLE)


@pytest.mark.parametrize("mixing", MIXINGS)
def test_gradcheck(mixing: str) -> None:
    module = mixer((4, 4), mixing, dim=4, groups=1).double()
    x = torch.randn(1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: module(x), (x, *module.parameters()))


@pytest.mark.parametrize("mixing", MIXINGS)
def test_an_odd_side_is_extended_by_its_last_row_or_column(mixing: str) -> None:
    module = mixer((7, 5), mixing)
    assert module.resolution == (8, 6)
    scattered = module.scatter
    x = torch.randn(1, 8 if mixing == "channel" else 4, 7, 5)
    extended = torch.cat([x, x[..., -1:, :]], dim=-2)
    extended = torch.cat([extended, extended[..., -1:]], dim=-1)
    torch.testing.assert_close(scattered(x), scattered(extended)[..., :7, :5], atol=SINGLE, rtol=0)


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("size", [(12, 10), (5, 9), (33, 47)])
def test_weights_are_interpolated_for_another_size_which_can_be_made_permanent(
    mixing: str, size: tuple[int, int]
) -> None:
    module, x = mixer((8, 8), mixing), torch.randn(2, 8, *size)
    y = module(x)
    assert y.shape == x.shape
    module.set_input_size(size)
    assert module.resolution == tuple(side + side % 2 for side in size)
    torch.testing.assert_close(module(x), y, atol=0, rtol=0)


def test_resized_weights_keep_their_meaning() -> None:
    """A constant gain stays constant; a width matrix acts on a smooth row as before."""
    assert torch.equal(
        resize_gain(torch.full((3, 8, 8), 2.0), (12, 6)), torch.full((3, 12, 6), 2.0)
    )
    matrix, bias = torch.full((2, 4, 4, 4), 0.25), torch.full((2, 4, 4), 0.5)
    row = torch.ones(6)
    resized = resize_width_matrix(matrix, (12, 12))
    assert resized.shape == (2, 6, 6, 6)
    torch.testing.assert_close(row @ resized[0, 0], torch.ones(6))  # as torch.ones(4) @ matrix
    torch.testing.assert_close(resize_width_bias(bias, (12, 12)), torch.full((2, 6, 6), 0.5))


def test_resized_width_matrix_equals_its_definition() -> None:
    """Trilinear over (row, in, out) with half-pixel centres, times w / w'."""
    matrix = torch.randn(2, 3, 4, 4, dtype=torch.float64)

    def along(x: Tensor, axis: int, n: int) -> Tensor:
        last = x.shape[axis] - 1
        place = ((torch.arange(n).double() + 0.5) * x.shape[axis] / n - 0.5).clamp(0, last)
        low, fraction = place.long(), place - place.long()
        high = (low + 1).clamp(max=last)
        shape = [n if i == axis else 1 for i in range(x.ndim)]
        one, other = x.index_select(axis, low), x.index_select(axis, high)
        return one * (1 - fraction).view(shape) + other * fraction.view(shape)

    expected = along(along(along(matrix, 1, 5), 2, 7), 3, 7) * 4 / 7
    torch.testing.assert_close(resize_width_matrix(matrix, (10, 14)), expected, atol=DOUBLE, rtol=0)


@pytest.mark.parametrize("mixing", MIXINGS)
def test_is_computed_in_float32_under_autocast(mixing: str) -> None:
    module, x = mixer((6, 6), mixing), torch.randn(2, 8, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x)
    assert y.dtype == torch.float32
    spectral = slice(None) if mixing == "channel" else slice(1, None, 2)
    assert torch.equal(y[:, spectral], module(x)[:, spectral])
    module = module.bfloat16()
    assert module(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("size", [(6, 6), (5, 8)])
def test_compiles_and_exports_whole(mixing: str, size: tuple[int, int]) -> None:
    module, x = mixer((6, 6), mixing), torch.randn(2, 8, *size)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(x), atol=SINGLE, rtol=SINGLE)
    program = torch.export.export(module, (x,))
    torch.testing.assert_close(program.module()(x), module(x), atol=SINGLE, rtol=SINGLE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 12}, "dim=12"),
        ({"dim": 6, "mixing": "channel"}, "dim=6"),
        ({"dim": 16, "mixing": "token"}, "'token'"),
        ({"dim": 16, "resolution": (0, 4)}, r"\(0, 4\)"),
    ],
)
def test_bad_arguments_name_the_value(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScatteringMixer(**options)
