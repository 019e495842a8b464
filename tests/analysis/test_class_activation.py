"""Class activation maps of our models and timm's, and the sentences where there are none."""

import importlib.util

import numpy as np
import pytest
import timm
import torch
from torch import nn

from spectralvision.analysis import class_activation
from spectralvision.analysis.class_activation import draw_activation_maps, to_map
from spectralvision.data.transforms import denormalize
from spectralvision.engine.model_io import data_config

MODELS = {
    "affnet_et": 64,
    "svt_h_s": 64,
    "svt_s": 64,
    "test_resnet": 64,
    "test_convnext": 64,
    "test_efficientnet": 64,
    "swin_tiny_patch4_window7_224": 224,  # channels last
    "mixer_s32_224": 224,  # tokens
    "test_vit": 160,  # tokens after a class token
    "cait_xxs24_224": 224,  # tokens before the class token is added
}


def build(name: str, size: int) -> tuple[nn.Module, dict[int, torch.Tensor]]:
    torch.manual_seed(0)
    options = {"img_size": size} if name.startswith("svt") else {}
    model = timm.create_model(name, num_classes=7, **options).eval()
    return model, {number: torch.randn(3, size, size) for number in (5, 2)}


@pytest.mark.parametrize("name", MODELS)
def test_maps_of_models(name):
    model, inputs = build(name, MODELS[name])
    maps, note = draw_activation_maps(model, inputs, np.array([0, 0, 3, 0, 0, 1]))
    assert note == ""
    assert list(maps) == [5, 2]
    assert {image.size for image in maps.values()} == {(MODELS[name], MODELS[name])}
    for number, image in maps.items():
        heat = np.asarray(image, float) - np.asarray(
            denormalize(inputs[number], data_config(model))
        )
        red_over_blue = heat[..., 0] - heat[..., 2]
        assert np.ptp(red_over_blue) > 100, "a heat map that varies"
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_heat_is_where_the_class_is():
    """A class whose logit is the mean of channel 0, which is the red of the image."""

    class RedDetector(nn.Module):
        def __init__(self):
            super().__init__()
            self.feature_info = [{"num_chs": 3, "reduction": 1, "module": "features"}]
            self.pretrained_cfg = {"architecture": "red", "mean": (0, 0, 0), "std": (1, 1, 1)}
            self.features = nn.Conv2d(3, 3, 1, bias=False)
            self.features.weight.data = torch.eye(3)[..., None, None]

        def forward(self, x):
            return self.features(x).mean(dim=(2, 3))

    pixels = torch.zeros(3, 16, 16)
    pixels[0, :8] = 1
    maps, note = draw_activation_maps(RedDetector(), {0: pixels}, np.array([0]))
    assert note == ""
    top, bottom = np.asarray(maps[0], float)[[4, 12], 8]
    assert top[0] > 200 > 100 > top[2]  # the end of the scale is red
    assert bottom[2] > 50 > bottom[0]  # its start is blue


def test_only_the_first_images_within_the_time(monkeypatch):
    model, inputs = build("test_resnet", 64)
    many = dict.fromkeys(range(20), inputs[2])
    assert list(draw_activation_maps(model, many, np.zeros(20, int))[0]) == list(range(8))
    monkeypatch.setattr(class_activation, "MAX_SECONDS", 0)
    assert list(draw_activation_maps(model, many, np.zeros(20, int))[0]) == [0]


def test_a_model_without_a_feature_map():
    model, inputs = build("tnt_s_legacy_patch16_224", 224)
    sentence = "tnt_s_legacy_patch16_224 has no feature map that Grad-CAM can use."
    assert draw_activation_maps(model, inputs, np.zeros(6, int)) == ({}, sentence)


def test_without_the_package(monkeypatch):
    model, inputs = build("test_resnet", 64)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    maps, note = draw_activation_maps(model, inputs, np.zeros(6, int))
    assert maps == {}
    assert note == (
        'Class activation maps need grad-cam: run `pip install ".[train]"` in your clone of '
        "spectralvision."
    )


def test_layouts():
    info = {"num_chs": 5, "reduction": 4, "prefix": 1}
    maps = torch.randn(2, 5, 2, 3)
    channels_last = maps.movedim(1, -1)
    tokens = channels_last.flatten(1, 2)
    with_prefix = torch.cat([torch.randn(2, 1, 5), tokens], dim=1)
    for features in (maps, channels_last, tokens, with_prefix):
        assert torch.equal(to_map(features, info, (8, 12)), maps)
    with pytest.raises(ValueError, match=r"neither map nor tokens: \(2, 8, 5\)"):
        to_map(torch.randn(2, 8, 5), info, (8, 12))
