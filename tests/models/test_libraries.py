"""A model of each family in the libraries that build on timm: smp, torchvision, transformers."""

from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch

from spectralvision.engine.model_io import describe, save_model
from spectralvision.tasks.detection.config import DetectionConfig
from spectralvision.tasks.detection.detector import SizedImage
from spectralvision.tasks.detection.model import build_model
from tests.helpers.detection import scene_data
from tests.helpers.twins import SIZE, twin

FAMILIES = ["affnet_et", "svt_h_s", "gfnet_h_ti", "dfformer_s18", "vheat_t"]


@pytest.mark.parametrize("name", FAMILIES)
def test_smp_decodes_its_feature_maps(name: str) -> None:
    model = smp.create_model("unet", f"tu-{name}", encoder_weights=None, classes=2)
    logits = model(torch.rand(1, 3, 64, 96))
    assert logits.shape == (1, 2, 64, 96)
    logits.square().sum().backward()
    gradients = [parameter.grad for parameter in model.encoder.parameters()]
    assert sum(gradient is not None and bool(gradient.any()) for gradient in gradients) > 10


@pytest.mark.parametrize("name", [one for one in FAMILIES if one not in ("affnet_et", "svt_h_s")])
def test_torchvision_detects_with_it(name: str) -> None:
    config = DetectionConfig(data="scenes", model=name, detector="fcos", input_size=64)
    model, _ = build_model(config, scene_data(2, 2))
    with torch.no_grad():
        (found,) = model.eval()([SizedImage(torch.rand(3, 64, 64), (100, 90))])
    assert found.boxes.shape[1:] == (4,)
    assert found.boxes.isfinite().all()


@pytest.mark.parametrize("name", FAMILIES)
def test_transformers_wraps_it(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = twin(name).eval()
    describe(model, [str(number) for number in range(10)], SIZE)
    save_model(model, tmp_path)
    wrapped = transformers.TimmWrapperForImageClassification.from_pretrained(tmp_path).eval()
    x = torch.rand(2, 3, SIZE, SIZE)
    torch.testing.assert_close(wrapped(x).logits, model(x))
