"""Any mixer in every family: plain convolutions, and the mixers of each other."""

from pathlib import Path

import pytest
import timm
import torch
from timm.models import save_for_hf
from torch import Tensor, nn

from spectralvision.mixers import (
    AdaptiveFrequencyFilter,
    DynamicFilter,
    GlobalFilter,
    HeatConduction,
    ScatteringMixer,
)
from tests.helpers.tolerances import SINGLE
from tests.helpers.twins import SIZE, twin

FAMILIES = {
    "affnet_et": AdaptiveFrequencyFilter,
    "svt_h_s": ScatteringMixer,
    "svt_v_t": ScatteringMixer,
    "gfnet_ti": GlobalFilter,
    "gfnet_h_ti": GlobalFilter,
    "dfformer_s18": DynamicFilter,
    "vheat_t": HeatConduction,
}
"""A model of each family, and its own mixer."""


class PlainMixer(nn.Module):
    """A depthwise convolution with its own initialisation and an undecayed scale."""

    def __init__(self, dim: int, resolution: tuple[int, int]) -> None:
        super().__init__()
        self.resolution = resolution
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.scale = nn.Parameter(torch.ones(dim, 1, 1))
        nn.init.zeros_(self.conv.weight)

    def no_weight_decay(self) -> set[str]:
        return {"scale"}

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.conv(x)


def filter_layer(dim: int, resolution: tuple[int, int]) -> nn.Module:
    return AdaptiveFrequencyFilter(dim)


def scattering_layer(dim: int, resolution: tuple[int, int]) -> nn.Module:
    return ScatteringMixer(dim, resolution, groups=2)


LAYERS = {
    "plain": (PlainMixer, PlainMixer),
    "filter": (filter_layer, AdaptiveFrequencyFilter),
    "scattering": (scattering_layer, ScatteringMixer),
}


def mixers_of(model: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, kind)]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", FAMILIES)
def test_forward_and_backward(name: str, layer: str) -> None:
    build, kind = LAYERS[layer]
    model = twin(name, mixer_layer=build, img_size=SIZE)
    # All blocks of the twin; AFFNet: those of stages 3 to 5; SVT: those that scatter
    numbers = {"affnet_et": 4, "svt_h_s": 3, "svt_v_t": 2, "gfnet_ti": 4}
    assert len(mixers_of(model, kind)) == numbers.get(name, 5)
    assert kind is FAMILIES[name] or not mixers_of(model, FAMILIES[name])
    for size in ((SIZE, SIZE), (45, 71)):
        model.zero_grad()
        logits = model(torch.randn(2, 3, *size))
        assert logits.shape == (2, 10)
        logits.square().sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_declared_parameters_take_no_decay_and_own_initialisation_is_kept(name: str) -> None:
    model = twin(name, mixer_layer=PlainMixer)
    mixers = [n for n, module in model.named_modules() if isinstance(module, PlainMixer)]
    positions = {n for n, _ in model.named_parameters() if n.endswith("position.weight")}
    assert model.no_weight_decay() == {f"{n}.scale" for n in mixers} | positions
    assert mixers
    for mixer in mixers_of(model, PlainMixer):
        assert not mixer.conv.weight.any()


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_affnet_mixers_get_the_resolution_of_their_maps(output_stride: int) -> None:
    model = twin(
        "affnet_et", mixer_layer=PlainMixer, output_stride=output_stride, img_size=(72, 50)
    )
    seen = []
    for mixer in mixers_of(model, PlainMixer):
        mixer.register_forward_pre_hook(
            lambda module, args: seen.append((module.resolution, tuple(args[0].shape[-2:])))
        )
    model.eval()(torch.randn(1, 3, 72, 50))
    assert len(seen) == 4
    assert all(resolution == size for resolution, size in seen)
    assert seen[-1][0] == {8: (9, 7), 16: (5, 4), 32: (3, 2)}[output_stride]


def test_svt_mixers_get_the_resolution_of_their_maps() -> None:
    model = twin("svt_h_s", mixer_layer=PlainMixer, img_size=(72, 50), scattering_stages=4)
    sizes = [[block.mixer.resolution for block in stage.blocks] for stage in model.stages]
    assert sizes == [[(18, 13)], [(9, 7)] * 2, [(5, 4)], [(3, 2)]]


@pytest.mark.parametrize("name", FAMILIES)
def test_another_size_can_be_made_permanent(name: str, tmp_path: Path) -> None:
    model = twin(name, mixer_layer=scattering_layer, img_size=SIZE).eval()
    x = torch.randn(1, 3, 96, 80)
    logits = model(x)
    model.set_input_size((96, 80))
    sizes = {mixer.resolution for mixer in mixers_of(model, ScatteringMixer)}
    assert sizes & {(12, 10), (6, 6)}
    torch.testing.assert_close(model(x), logits, atol=SINGLE, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_device_and_dtype(name: str) -> None:
    model = twin(name, mixer_layer=PlainMixer, dtype=torch.float64, device="cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    assert model(torch.randn(1, 3, SIZE, SIZE).double()).dtype == torch.float64
    on_meta = twin(name, mixer_layer=PlainMixer, device="meta")
    assert mixers_of(on_meta, PlainMixer)
    assert all(parameter.is_meta for parameter in on_meta.parameters())


def test_affnet_saves_its_input_size(tmp_path: Path) -> None:
    model = twin("affnet_et", img_size=SIZE).eval()
    model.set_input_size(96)
    save_for_hf(model, str(tmp_path), safe_serialization=True)
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = torch.randn(1, 3, 96, 96)
    torch.testing.assert_close(again(x), model(x), atol=0, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    "layer", [AdaptiveFrequencyFilter, 3, nn.Identity(), lambda dim: nn.Identity(), dict]
)
def test_what_cannot_be_called_with_dim_and_resolution_is_rejected(name, layer):
    with pytest.raises(ValueError, match=r"mixer_layer is called as mixer_layer\(dim, \(H, W\)\)"):
        timm.create_model(name, mixer_layer=layer)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_mixer_by_name(name):
    model = timm.create_model(name, mixer_layer="global_filter", num_classes=5)
    assert any(isinstance(module, GlobalFilter) for module in model.modules())
    with pytest.raises(ValueError, match="'shift' is no mixer: the mixers are aff, "):
        timm.create_model(name, mixer_layer="shift")
