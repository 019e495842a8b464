"""Finding layers and recording what goes through them."""

import pytest
import timm
import torch
from torch import nn

import spectralvision as sv
from spectralvision.analysis.layers import (
    find_blocks,
    find_layers,
    maps_of,
    record_inputs,
    record_outputs,
    spread,
)
from spectralvision.mixers import AdaptiveFrequencyFilter

BLOCKS = {
    "affnet_et": (13, "stages.0.0", "stages.4.blocks.2"),
    "gfnet_ti": (12, "stages.0", "stages.11"),
    "resnet18": (8, "layer1.0", "layer4.1"),
    "vit_tiny_patch16_224": (12, "blocks.0", "blocks.11"),
    "mobilenetv3_small_100": (12, "blocks.0.0", "blocks.5.0"),
    "swin_tiny_patch4_window7_224": (12, "layers.0.blocks.0", "layers.3.blocks.1"),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_those_of_the_network(name):
    with torch.device("meta"):
        names = list(find_blocks(timm.create_model(name)))
    assert (len(names), names[0], names[-1]) == BLOCKS[name]


def test_inputs_and_outputs_of_chunks_are_joined():
    model = sv.create_model("affnet_et", num_classes=5).eval()
    layers = find_layers(model, AdaptiveFrequencyFilter)
    assert len(layers) == 9
    images = torch.rand(6, 3, 64, 64)
    model.chunk_elements = 1  # an image at a time
    inputs = record_inputs(lambda: model(images), layers)
    outputs = record_outputs(lambda: model(images), layers)
    assert list(inputs) == list(outputs) == list(layers)
    for name, layer in layers.items():
        assert len(inputs[name]) == 6
        with torch.no_grad():
            torch.testing.assert_close(layer(inputs[name]), outputs[name])
        assert not layer._forward_hooks


def test_hooks_are_removed_after_an_error():
    layer = nn.Linear(2, 2)
    with pytest.raises(ZeroDivisionError):
        record_inputs(lambda: 1 / 0, {"layer": layer})
    assert not layer._forward_hooks


def test_layers_that_do_not_run_or_return_no_tensor_are_left_out():
    unused, pair = nn.Linear(2, 2), nn.LSTM(2, 2)
    layers = {"unused": unused, "pair": pair}
    assert record_outputs(lambda: pair(torch.rand(1, 2)), layers) == {}


def test_features_as_maps():
    model = nn.Module()
    maps = torch.rand(2, 5, 3, 4)
    assert maps_of(model, maps) is maps
    tokens = torch.rand(2, 10, 7)
    assert maps_of(model, tokens) is None
    model.num_prefix_tokens = 1
    square = maps_of(model, tokens)
    assert square.shape == (2, 7, 3, 3)
    assert torch.equal(square[:, :, 1, 2], tokens[:, 1 + 5])
    model.output_fmt = "NHWC"
    assert torch.equal(maps_of(model, maps), maps.permute(0, 3, 1, 2))
    assert maps_of(model, torch.rand(2, 3)) is None


def test_spread():
    names = list("abcdefg")
    assert spread(names, 3) == ["a", "d", "g"]
    assert spread(names, 9) == names
    assert spread(names, 1) == ["g"]
    assert spread([], 3) == []
