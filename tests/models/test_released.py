"""`load_released`: containers, errors, sizes, hostile files."""

import argparse
import os
import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

import spectralvision as sv
from spectralvision.mixers import AdaptiveFrequencyFilter, ScatteringMixer
from tests.golden import rule
from tests.helpers.twins import twin

FILE = "aff_64_7x9"


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return rule.state(rule.load(FILE)[1])


def loaded(source) -> bool:
    module = sv.load_released(AdaptiveFrequencyFilter(64), source)
    expected = rule.state(rule.load(FILE)[1])
    return all(torch.equal(module.state_dict()[name], value) for name, value in expected.items())


def test_every_container(state: dict, tmp_path: Path) -> None:
    assert loaded(state)
    assert loaded({"state_dict": state})
    assert loaded({"state_dict": {"wrong": state["w1"]}, "state_dict_ema": state})  # EMA first
    assert loaded({"model": {"state_dict": state}})
    assert loaded({"model.state_dict": state})
    torch.save({"state_dict": state, "args": argparse.Namespace(lr=1.0)}, tmp_path / "a.pt")
    assert loaded(tmp_path / "a.pt")
    save_file(state, tmp_path / "a.safetensors")
    assert loaded(str(tmp_path / "a.safetensors"))


def test_averaged_weights_come_first(state: dict) -> None:
    wrong = {"wrong": state["w1"]}
    assert loaded({"model_state_dict": state, "epoch": 1, "best_metric": 1.0})
    assert loaded({"model_state_dict": wrong, "ema_state_dict": state, "optim_state_dict": {}})
    assert loaded({"model": wrong, "model_ema": state, "args": argparse.Namespace(lr=1.0)})
    assert loaded({"model": state, "model_ema": None})
    assert loaded({"state_dict": {"model_state_dict": wrong, "ema_state_dict": state}})


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."),
        *("model.", "model._orig_mod.module.", "_fsdp_wrapped_module._checkpoint_wrapped_module."),
    ],
)
def test_every_wrapper(state: dict, prefix: str) -> None:
    wrapped = {prefix + name: value for name, value in state.items()}
    assert loaded(wrapped)
    assert loaded({"state_dict": wrapped})
    assert loaded({"n_averaged": torch.tensor(3), **wrapped})


def test_wrapped_parts_of_a_model() -> None:
    """torch.compile and activation checkpointing of single stages rename in the middle."""
    model = sv.create_model("affnet_et", num_classes=3)
    for wrapper in ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"):
        state = {
            name.replace("stages.1.", f"stages.1.{wrapper}."): value
            for name, value in model.state_dict().items()
        }
        assert state.keys() != model.state_dict().keys()
        again = sv.load_released(sv.create_model("affnet_et", num_classes=3), state)
        torch.testing.assert_close(again.state_dict(), model.state_dict(), atol=0, rtol=0)


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_hostile_checkpoint_is_never_executed(tmp_path: Path) -> None:
    victim = tmp_path / "executed"
    torch.save({"state_dict": Hostile(victim)}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Hostile(victim)))
    for file in ("a.pt", "b.pt"):
        with pytest.raises(ValueError, match="nothing in it was executed"):
            sv.load_released(AdaptiveFrequencyFilter(64), tmp_path / file)
    assert not victim.exists()


def test_what_is_not_a_checkpoint_is_rejected(state: dict, tmp_path: Path) -> None:
    module = AdaptiveFrequencyFilter(64)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save(state, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:2000])
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00")
    for source, message in [
        (tmp_path / "none.pt", "no checkpoint at"),
        (tmp_path / "list.pt", "contains a list, not a state dict"),
        (tmp_path / "cut.pt", "cannot be read"),
        (tmp_path / "cut.safetensors", "cannot be read"),
        ({}, "empty"),
        ({"epoch": 3, "w1": state["w1"]}, "epoch"),
        ({"w1": state["w1"]}, "lacks 3 of 4 tensors"),
        (state | {"w3": state["w1"]}, "w3"),
        (state | {"w1": state["b1"]}, "w1 has shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            sv.load_released(module, source)
    torch.testing.assert_close(module.state_dict(), before, atol=0, rtol=0)
    with pytest.raises(ValueError, match="'loose'"):
        sv.load_released(module, state, head="loose")  # type: ignore[arg-type]


def test_head_reset_keeps_the_own_classifier() -> None:
    _, meta = rule.load("affnet_et_256")
    model = sv.create_model("affnet_et", num_classes=12)
    own = model.head.fc.weight.clone()
    with pytest.raises(ValueError, match="head='reset'"):
        sv.load_released(model, rule.state(meta))
    sv.load_released(model, rule.state(meta), head="reset")
    assert torch.equal(model.head.fc.weight, own)
    assert torch.equal(model.stem.conv.weight, rule.state(meta)["conv_1.block.conv.weight"])


def test_auxiliary_head_weights_need_an_auxiliary_head() -> None:
    source = twin("svt_h_s", token_label=True).state_dict()
    with pytest.raises(ValueError, match="token_label=True"):
        sv.load_released(twin("svt_h_s"), source)
    sv.load_released(twin("svt_h_s", token_label=True), source)
    with pytest.raises(ValueError, match="lacks 2"):
        sv.load_released(twin("svt_h_s", token_label=True), twin("svt_h_s").state_dict())


@pytest.mark.parametrize("mixing", ["channel", "channel_token"])
def test_weights_of_another_map_size_are_resized(mixing: str) -> None:
    source, target = ScatteringMixer(16, (8, 8), mixing), ScatteringMixer(16, (12, 10), mixing)
    sv.load_released(target, source.state_dict())
    x = torch.randn(1, 16, 12, 10)
    torch.testing.assert_close(target(x), source(x))
    big, small = twin("svt_h_s", img_size=96).eval(), twin("svt_h_s", img_size=64).eval()
    sv.load_released(big, small.state_dict())
    x = torch.randn(1, 3, 96, 96)
    torch.testing.assert_close(big(x), small(x))


def test_is_the_checkpoint_filter_of_timm(tmp_path: Path) -> None:
    _, meta = rule.load("affnet_et_256")
    torch.save(rule.state(meta), tmp_path / "affnet_et.pt")
    overlay = {"file": str(tmp_path / "affnet_et.pt")}
    model = timm.create_model("affnet_et", pretrained=True, pretrained_cfg_overlay=overlay).eval()
    expected = sv.load_released(sv.create_model("affnet_et"), tmp_path / "affnet_et.pt").eval()
    torch.testing.assert_close(model.state_dict(), expected.state_dict(), atol=0, rtol=0)
    assert (
        timm.create_model(
            "affnet_et", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=5
        ).num_classes
        == 5
    )


def test_the_wavelet_taps_saved_by_the_released_code_are_ignored() -> None:
    """Its wavelet package keeps its filters as buffers, so every checkpoint contains them."""
    _, meta = rule.load("svt_s_released_plain")
    taps = {
        f"block1.{block}.attn.{part}.{bank}{number}{kind}": torch.zeros(1, 1, 13, 1)
        for block in range(3)
        for part, bank in (("xfm", "h"), ("ifm", "g"))
        for number in "01"
        for kind in "oab"
    }
    model = sv.create_model("svt_s")
    sv.load_released(model, rule.state(meta) | taps)
    assert torch.equal(model.head.weight, rule.state(meta)["head.weight"])
    with pytest.raises(ValueError, match="1 unknown ones"):
        sv.load_released(model, rule.state(meta) | {"block1.0.attn.xfm.other": torch.zeros(1)})


def test_containers_that_never_end_and_names_that_are_no_text(state: dict) -> None:
    endless: dict = {}
    endless["state_dict"] = endless
    for content in (endless, {1: state["w1"]}, {"state_dict": {("a",): state["w1"]}}):
        with pytest.raises(ValueError, match="not a state dict of tensors"):
            sv.load_released(AdaptiveFrequencyFilter(64), content)
