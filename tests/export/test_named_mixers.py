"""Mixers by name on onnxruntime."""

import numpy as np
import pytest
import torch
from torch import nn

from spectralvision.mixers import MIXERS, named_mixer
from tests.helpers.tolerances import SINGLE

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", MIXERS)
def test_onnx_without_an_fft(name, tmp_path):
    import onnx

    module = nn.Sequential(nn.Conv2d(3, 8, 1), named_mixer(name)(8, (8, 6))).eval()
    x = torch.randn(2, 3, 8, 6)
    path = tmp_path / "mixer.onnx"
    torch.onnx.export(module, (x,), path, dynamo=True, opset_version=20, verbose=False)
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert "DFT" not in operators
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(found, module(x).detach(), atol=SINGLE, rtol=SINGLE)
