import numpy as np
import pytest
import torch
from torch import nn

from spectralvision import load_released
from spectralvision.mixers import AdaptiveFrequencyFilter
from tests.golden import rule
from tests.helpers.golden import check_gradients, max_error
from tests.helpers.tolerances import DOUBLE, LOGITS, SINGLE
from tests.reference import adaptive_frequency as naive


def mixer(dim: int = 8, groups: int = 4, **options) -> AdaptiveFrequencyFilter:
    """Return a mixer whose weights are large enough that its mask is neither zero nor linear."""
    module = AdaptiveFrequencyFilter(dim, groups, **options)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("file", ["aff_64_7x9", "aff_64_32x32", "aff_104_16x16"])
def test_golden(file: str) -> None:
    arrays, meta = rule.load(file)
    x = rule.images(file, tuple(meta["input_shape"])).requires_grad_()
    module = load_released(AdaptiveFrequencyFilter(x.shape[1]), rule.state(meta))
    y = module(x)
    assert max_error(y, arrays["output"]) <= LOGITS
    check_gradients(file, meta, module, y, x)


@pytest.mark.parametrize("size", [(4, 5), (7, 6), (1, 3)])
@pytest.mark.parametrize("inner_skip", [True, False])
def test_equals_the_loops(size: tuple[int, int], inner_skip: bool) -> None:
    module = mixer(threshold=0.3, inner_skip=inner_skip).double()
    weights = {name: value.detach().numpy() for name, value in module.named_parameters()}
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    y, mask = module(x).detach(), torch.complex(*module.mask(x)).detach()
    for image in range(2):
        one = x[image].numpy()
        np.testing.assert_allclose(mask[image], naive.mask(one, weights, 4, 0.3), atol=DOUBLE)
        expected = naive.adaptive_frequency_filter(one, weights, 4, 0.3, inner_skip)
        np.testing.assert_allclose(y[image], expected, atol=DOUBLE)


@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_convolution_theorem(size: tuple[int, int]) -> None:
    """For a Hermitian masked spectrum the filter is the circular convolution with its kernel."""
    module = mixer(inner_skip=False).double()
    for parameter in (module.w1, module.b1, module.w2, module.b2):
        parameter.data[1] = 0  # real weights keep X -> M X Hermitian
    x = torch.randn(1, 8, *size, dtype=torch.float64)
    y, kernel = module(x).detach()[0], module.kernel(x).detach()[0]
    for channel in range(8):
        expected = naive.circular_convolution(kernel[channel].numpy(), x[0, channel].numpy())
        np.testing.assert_allclose(y[channel], expected, atol=DOUBLE)


def test_gradcheck() -> None:
    module = mixer(dim=4, groups=2, threshold=0.0).double()
    x = torch.randn(1, 4, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: module(x), (x, *module.parameters()))


def test_is_computed_in_float32_under_autocast_and_in_half_precision() -> None:
    module, x = mixer(), torch.randn(2, 8, 6, 6)
    exact = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module(x), exact)
    y = module(x.bfloat16())
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, module(x.bfloat16().float()).bfloat16())


def test_any_size_with_the_same_weights() -> None:
    module = mixer()
    for size in [(1, 1), (5, 8), (31, 17)]:
        x = torch.randn(1, 8, *size)
        assert module(x).shape == module.kernel(x).shape == x.shape


def test_compiles_and_exports_whole_and_real() -> None:
    module, x = mixer(), torch.randn(2, 8, 6, 7)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(x), atol=SINGLE, rtol=SINGLE)
    program = torch.export.export(module, (x,))
    torch.testing.assert_close(program.module()(x), module(x), atol=SINGLE, rtol=SINGLE)
    values = [node.meta["val"] for node in program.graph.nodes if "val" in node.meta]
    assert len(values) > 10
    assert not [value for value in values if isinstance(value, torch.Tensor) and value.is_complex()]


@pytest.mark.parametrize(
    ("options", "message"), [({"dim": 12}, "dim=12"), ({"dim": 8, "threshold": -1.0}, "-1.0")]
)
def test_bad_arguments_name_the_value(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaptiveFrequencyFilter(**options)
