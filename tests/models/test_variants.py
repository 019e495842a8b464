"""Sizes of every variant against the tables in the model files and the published numbers."""

import re

import pytest
import torch

import spectralvision as sv
from spectralvision.analysis import count_macs
from spectralvision.models import FAMILIES

PUBLISHED_PARAMETERS = {  # with the auxiliary head for SVT
    "affnet_et": 1_436_264,
    "affnet_t": 2_654_232,
    "affnet": 5_568_696,
    "affnet_base": 17_178_104,
    "affnet_large": 46_068_088,
    "svt_h_s": 22_019_248,
    "svt_h_b": 32_845_200,
    "svt_h_l": 54_091_536,
    "svt_s": 22_052_592,
    "svt_b": 32_878_544,
    "svt_l": 54_594_000,
}
STATED_PARAMETERS = {  # by the authors' code
    "gfnet_ti": 7_511_784,
    "gfnet_xs": 15_985_768,
    "gfnet_s": 24_869_608,
    "gfnet_b": 43_120_616,
    "gfnet_h_ti": 15_085_096,
    "gfnet_h_s": 32_162_632,
    "gfnet_h_b": 53_744_200,
    "dfformer_s18": 30_324_372,
    "dfformer_s36": 45_610_656,
    "dfformer_m36": 65_316_064,
    "dfformer_b36": 114_989_344,
    "cdfformer_s18": 30_193_512,
    "cdfformer_s36": 45_230_658,
    "cdfformer_m36": 64_433_218,
    "cdfformer_b36": 113_368_642,
    "gfformer_s18": 29_639_856,
    "vheat_t": 30_853_480,
    "vheat_s": 52_220_392,
    "vheat_b": 92_132_328,
}
ROUNDED_PARAMETERS = {"svt_v_t": 9e6, "svt_v_xs": 19.9e6, "svt_v_s": 32.2e6, "svt_v_b": 57.6e6}
"""In the paper; the skeleton is inferred."""
PLAIN_SVT = {"svt_s": 21_603_592, "svt_b": 32_365_544, "svt_l": 54_081_000}
CONVOLUTIONS_AND_LINEAR = {  # GMACs of the released SVT
    "svt_h_s": 3.916,
    "svt_h_b": 6.313,
    "svt_h_l": 12.674,
    "svt_s": 4.117,
    "svt_b": 6.514,
    "svt_l": 13.360,
}
PUBLISHED_AFFNET = {
    "affnet_et": 0.356,
    "affnet_t": 0.786,
    "affnet": 1.454,
    "affnet_base": 5.34,
    "affnet_large": 13.24,
}


def on_meta(name: str, **kwargs) -> torch.nn.Module:
    with torch.device("meta"):
        return sv.create_model(name, **kwargs)


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def row(name: str) -> list[str]:
    """Return the cells of a variant's row in the table of its model file."""
    text = next(family.__doc__ or "" for family in FAMILIES if name in family.VARIANTS)
    line = next(line for line in text.splitlines() if re.match(rf"\| {name} +\|", line))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("name", sv.list_models())
def test_parameters_and_macs_are_those_of_the_table(name: str) -> None:
    model = on_meta(name)
    side = model.pretrained_cfg["input_size"][-1]
    gmacs = f"{count_macs(model, (3, side, side)) / 1e9:.3f}"
    if name in ROUNDED_PARAMETERS:
        assert parameters(model) == pytest.approx(ROUNDED_PARAMETERS[name], rel=0.02)
        assert row(name)[3:5] == [f"{parameters(model):,}", gmacs]
    elif name in STATED_PARAMETERS:
        assert parameters(model) == STATED_PARAMETERS[name]
        assert row(name)[3:5] == [f"{parameters(model):,}", gmacs]
    elif name.startswith("affnet"):
        assert parameters(model) == PUBLISHED_PARAMETERS[name]
        assert row(name)[3:5] == [f"{parameters(model):,}", gmacs]
    else:
        full = parameters(on_meta(name, token_label=True))
        assert full == PUBLISHED_PARAMETERS[name]
        assert parameters(model) == PLAIN_SVT.get(name, parameters(model))
        assert row(name)[4:6] == [f"{parameters(model):,} / {full:,}", gmacs]


@pytest.mark.parametrize("name", PUBLISHED_AFFNET | CONVOLUTIONS_AND_LINEAR)
def test_published_macs(name: str) -> None:
    """AFFNet's published count is the full one without transforms, SVT's that of its modules."""
    model = on_meta(name, token_label=True) if name.startswith("svt") else on_meta(name)
    side = model.pretrained_cfg["input_size"][-1]
    module_macs = 0

    def add(module: torch.nn.Module, args: tuple, out: torch.Tensor) -> None:
        nonlocal module_macs
        if isinstance(module, torch.nn.Conv2d):
            module_macs += out.numel() * module.weight[0].numel()
        elif isinstance(module, torch.nn.Linear):
            module_macs += out.numel() * module.in_features
        elif isinstance(
            module, sv.mixers.AdaptiveFrequencyFilter
        ):  # mask network: H (W / 2 + 1) C^2
            _, c, h, w = args[0].shape
            module_macs += h * (w // 2 + 1) * c * c

    for module in model.modules():
        module.register_forward_hook(add)
    model.eval()(torch.empty(1, 3, side, side, device="meta"))
    expected = (PUBLISHED_AFFNET | CONVOLUTIONS_AND_LINEAR)[name]
    assert module_macs / 1e9 == pytest.approx(
        expected, abs=0.006 if name in ("affnet_base", "affnet_large") else 0.0006
    )


def test_folded_constants_give_the_published_parameters_of_vheat() -> None:
    """29 / 50 / 87 M: without the embedding of the frequencies and the layers on it."""
    for name, stated in (("vheat_t", 29_558_056), ("vheat_s", 50_054_056), ("vheat_b", 87_498_984)):
        model = on_meta(name)
        unused = [
            parameter.numel()
            for key, parameter in model.named_parameters()
            if ".embedding." in key or ".diffusivity." in key
        ]
        sizes = model.map_sizes(224)
        folded = sum(
            len(stage.blocks) * info["num_chs"] * height * width
            for stage, info, (height, width) in zip(
                model.stages, model.feature_info, sizes, strict=True
            )
        )
        assert parameters(model) - sum(unused) + folded == stated


def test_macs_count_the_transform_that_runs() -> None:
    class Transform(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return sv.ops.rfft2(x, self.form)[0]

    transform = Transform()
    transform.form = "matmul"
    assert count_macs(transform, (3, 8, 6)) == 3 * 48 * 64  # (H W)(H W x 2 U V)
    assert count_macs(transform, (3, 16, 6)) == 3 * (
        16 * 6 * 8 + 32 * 32 * 4
    )  # (16 x 6)(6 x 8), then (32 x 32)(32 x 4)
    transform.form = "fft"
    assert count_macs(transform, (3, 8, 8)) == 3 * 64 * 6  # n log2 n
