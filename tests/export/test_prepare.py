"""A network that is prepared for export, against the network."""

import pytest
import timm
import torch
from torch import nn

from spectralvision.export.prepare import prepare, spectral_modules
from spectralvision.export.verify import smooth_images
from tests.helpers.export import SIZE, classifier
from tests.helpers.tolerances import FUSED
from tests.helpers.twins import DISTINCT

FORBIDDEN = ("fft", "complex", "polar", "aten.real", "aten.imag")


@pytest.mark.parametrize("name", DISTINCT)
def test_every_model_computes_the_same(name: str) -> None:
    model = classifier(name)
    images = smooth_images(SIZE, 2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        expected = model(images)
        found = prepare(model, images[:1])(images)
    scale = expected.abs().max()
    assert scale > 1e-2
    torch.testing.assert_close(found / scale, expected / scale, atol=FUSED, rtol=0)
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("name", DISTINCT)
def test_no_batch_norm_and_no_spectral_operator_is_left(name: str) -> None:
    model = prepare(classifier(name), smooth_images(SIZE, 1))
    assert not any(isinstance(one, nn.BatchNorm2d) for one in model.modules())
    assert spectral_modules(model)
    program = torch.export.export(model, (smooth_images(SIZE, 1),)).run_decompositions()
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert len(names) > 10
    assert not [one for one in names if any(word in one for word in FORBIDDEN)]
    values = (node.meta.get("val") for node in program.graph.nodes)
    assert not any(isinstance(one, torch.Tensor) and one.is_complex() for one in values)


@pytest.mark.parametrize("size", [(64, 96), (72, 40)])
def test_other_sizes(size: tuple[int, int]) -> None:
    for name in ("affnet_et", "svt_h_s"):
        model, images = classifier(name), smooth_images(size, 1)
        with torch.no_grad():
            expected = model(images)
            torch.testing.assert_close(
                prepare(model, images)(images), expected, atol=FUSED, rtol=FUSED
            )


def test_models_of_timm_are_reparameterized() -> None:
    model = timm.create_model("repvit_m0_9", num_classes=10).eval()
    images = smooth_images((64, 64), 1)
    prepared = prepare(model, images)
    count = [sum(isinstance(one, nn.Conv2d) for one in it.modules()) for it in (model, prepared)]
    assert count[1] < count[0]
    with torch.no_grad():
        torch.testing.assert_close(prepared(images), model(images), atol=1e-4, rtol=1e-4)


def test_weights_are_contiguous() -> None:
    model = classifier("affnet_et").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    prepared = prepare(model, smooth_images(SIZE, 1))
    assert all(one.is_contiguous() for one in prepared.state_dict().values())
