"""`torch.jit.trace`, which OpenVINO and Core ML start from."""

import subprocess
import sys

import pytest
import torch
from torch.overrides import TorchFunctionMode

import spectralvision as sv
from spectralvision.ops.adaptive_frequency import softshrink
from tests.helpers.twins import twin

TRACE_FIRST = """
import torch, spectralvision as sv
torch.manual_seed(0)
model = sv.create_model({name!r}, num_classes=3, **{options!r}).eval()
traced = torch.jit.trace(model, torch.randn(1, 3, 64, 64), check_trace=False)
x = torch.randn(2, 3, 64, 64)
torch.testing.assert_close(traced(x), model(x), atol=1e-5, rtol=0)
graph = traced.inlined_graph
print(*{{node.kind() for node in graph.nodes()}})
"""
# OpenVINO's frontend has no rule for them.
UNSUPPORTED = {"aten::mT", "aten::softshrink", "prim::PythonOp"}
NETWORKS = {
    "affnet_et": {"depths": (1, 1, 1, 1, 1)},
    "svt_s": {"depths": (1, 1, 1, 1)},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_first_call_of_a_process_may_be_traced(name) -> None:
    """No table is built, converted or cached as part of the traced program."""
    program = TRACE_FIRST.format(name=name, options=NETWORKS[name])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    kinds = set(done.stdout.split())
    assert "aten::_convolution" in kinds
    assert not kinds & UNSUPPORTED


class RecordGetters(TorchFunctionMode):
    """Records the attributes of tensors that are tensors, such as `mT` and `real`."""

    def __init__(self) -> None:
        self.calls, self.getters = 0, set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls += 1
        if getattr(func, "__name__", "") == "__get__" and isinstance(result, torch.Tensor):
            self.getters.add(func.__self__.__name__)
        return result


@pytest.mark.parametrize("name", [*NETWORKS, "svt_h_s"])
def test_no_attribute_of_a_tensor_is_part_of_the_network(name) -> None:
    """NNCF copies the graph that it records, and cannot copy a node of such an attribute."""
    model = twin(name).eval()
    with torch.no_grad(), RecordGetters() as recorded:
        model(torch.randn(1, 3, 256, 256))
    assert recorded.calls > 100
    assert recorded.getters == set()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
def test_tables_built_inside_a_transform_outlive_it() -> None:
    """The same for the transforms of torch.func."""
    mixer = sv.mixers.AdaptiveFrequencyFilter(8, 2)
    x = torch.randn(2, 8, 29, 3)
    _, tangent = torch.func.jvp(mixer, (x,), (x,))
    assert tangent.shape == mixer(x).shape


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_traced_softshrink_equals_that_of_pytorch() -> None:
    x = torch.randn(1000)
    x[:3] = torch.tensor([0.5, -0.5, 0.0])
    traced = torch.jit.trace(lambda x: softshrink(x, 0.5), x)
    assert torch.equal(traced(x), torch.nn.functional.softshrink(x, 0.5))
