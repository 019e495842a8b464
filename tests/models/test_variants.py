"""Sizes of every variant against the tables in the model files and the published numbers."""

import re

import pytest
import torch

import spectralvision as sv
from spectralvision.analysis import count_macs
from spectralvision.models import affnet, svt

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
    text = (affnet if name.startswith("affnet") else svt).__doc__ or ""
    line = next(line for line in text.splitlines() if re.match(rf"\| {name} +\|", line))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("name", sv.list_models())
def test_parameters_and_macs_are_those_of_the_table(name: str) -> None:
    model = on_meta(name)
    side = model.pretrained_cfg["input_size"][-1]
    gmacs = f"{count_macs(model, (3, side, side)) / 1e9:.3f}"
    if name.startswith("affnet"):
        assert parameters(model) == PUBLISHED_PARAMETERS[name]
        assert row(name)[3:5] == [f"{parameters(model):,}", gmacs]
    else:
        full = parameters(on_meta(name, token_label=True))
        assert full == PUBLISHED_PARAMETERS[name]
        assert parameters(model) == PLAIN_SVT.get(name, parameters(model))
        assert row(name)[4:6] == [f"{parameters(model):,} / {full:,}", gmacs]


@pytest.mark.parametrize("name", sv.list_models())
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
