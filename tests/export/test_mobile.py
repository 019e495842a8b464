"""Files for phones, boards and compiled PyTorch, on their real runtimes.

All but those of AOTInductor need the extra `mobile`: `make test-slow` runs them in `.venv-extra`.
"""

import importlib.util
import subprocess
import sys

import pytest
import timm
import torch

from spectralvision.export.base import Network
from spectralvision.export.registry import TARGETS
from spectralvision.export.verify import smooth_images
from spectralvision.export.write import write
from spectralvision.runs import UserError
from spectralvision.tasks.registry import find_task
from tests.helpers.detection import tiny_detector
from tests.helpers.export import FAMILIES, SIZE, classifier, largest_difference, network

MOBILE = ("executorch", "litert", "coreml", "ncnn")
IMAGES = smooth_images(SIZE, 3)
needs_mobile = pytest.mark.skipif(
    importlib.util.find_spec("executorch") is None,
    reason="needs the extra mobile: run in .venv-extra by `make test-slow`",
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the converters about themselves
]


def check(name: str, module: torch.nn.Module, outputs: tuple[str, ...], folder) -> None:
    target = TARGETS[name]
    prepared = network(module, outputs)
    target.write(prepared, folder)
    operators = target.operators(folder, prepared)
    assert sum(operators.values()) > 2
    assert not [one for one in operators if "fft" in one.lower() or "complex" in one.lower()]
    if name == "executorch":
        assert all(one.startswith(("aten::", "dim_order_ops::", "Xnnpack")) for one in operators)
    if name == "litert":
        assert all(one == one.upper() for one in operators)  # built in
    original = Network(module=module.eval(), example=IMAGES[:1], outputs=outputs)
    if target.runs_here():
        assert largest_difference(target, folder, original, IMAGES) <= target.tolerance


@pytest.mark.mobile
@needs_mobile
@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("name", MOBILE)
def test_mobile(name: str, model: str, tmp_path) -> None:
    check(name, classifier(model), ("logits",), tmp_path)


@pytest.mark.mobile
@needs_mobile
def test_operators_that_ncnn_lacks_are_named(tmp_path) -> None:
    one = network(timm.create_model("mobilevit_xxs"))
    with pytest.raises(UserError, match=r"ncnn cannot take .* has no layer for Tensor\.reshape"):
        write(TARGETS["ncnn"], one, tmp_path)


@pytest.mark.parametrize("model", ["affnet_et", "svt_h_s"])
def test_pt2(model: str, tmp_path) -> None:
    check("pt2", classifier(model), ("logits",), tmp_path)


def test_pt2_runs_without_this_package(tmp_path) -> None:
    target, model = TARGETS["pt2"], classifier("affnet_et")
    target.write(network(model), tmp_path)
    program = (
        "import sys, torch; sys.modules['spectralvision'] = None\n"
        "from torch._inductor import aoti_load_package\n"
        f"run = aoti_load_package({str(tmp_path / target.file)!r})\n"
        f"torch.manual_seed(0); print(run(torch.ones(1, 3, {SIZE[0]}, {SIZE[1]})).sum().item())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    with torch.no_grad():
        expected = float(model(torch.ones(1, 3, *SIZE)).sum())
    assert float(done.stdout.split()[-1]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.mobile
@needs_mobile
@pytest.mark.parametrize("name", MOBILE)
def test_detectors(name: str, tmp_path) -> None:
    """Two outputs, upsampling and anchors: weights in another memory format went wrong here."""
    model = tiny_detector("fcos").to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    deployable = find_task("detection").deployable(model, SIZE, "auto")
    check(name, deployable.module, deployable.outputs, tmp_path)
