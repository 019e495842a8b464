"""The weights that are part of the package."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file

import spectralvision as sv
from spectralvision.cli import main
from spectralvision.models.affnet import CIFAR10

NAME = "affnet_et.cifar10"
SHIP = Path(__file__).parents[2] / "docs/images/ship.png"  # a drawing
FILE = Path(sv.__file__).parent / f"models/weights/{NAME}.safetensors"


def test_small_half_precision_and_finite():
    assert FILE.stat().st_size <= 3_000_000
    values = load_file(FILE).values()
    assert len(values) > 100
    for value in values:
        assert value.dtype in (torch.float16, torch.int64)
        assert value.isfinite().all()


def test_by_its_tag_in_timm():
    assert NAME in timm.list_pretrained("affnet*")
    model = timm.create_model(NAME, pretrained=True)
    assert model.pretrained_cfg["label_names"] == CIFAR10
    assert model.pretrained_cfg["input_size"] == (3, 64, 64)
    for name, value in load_file(FILE).items():
        torch.testing.assert_close(
            model.state_dict()[name], value, check_dtype=False, rtol=0, atol=0
        )
    other = timm.create_model(NAME, pretrained=True, num_classes=3)
    assert other.get_classifier().out_features == 3
    torch.testing.assert_close(other.stem.conv.weight, model.stem.conv.weight, rtol=0, atol=0)


def test_the_name_without_a_tag_has_no_weights():
    model = sv.create_model("affnet_et")
    assert (model.num_classes, model.pretrained_cfg["input_size"]) == (1000, (3, 256, 256))
    with pytest.raises(ValueError, match="no ImageNet weights of affnet_et"):
        sv.create_model("affnet_et", pretrained=True)


def test_predict_needs_no_model(capsys):
    assert main(["predict", str(SHIP), "--top-k", "10", "--json"]) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    classes = answer["predictions"][0]["classes"]
    assert classes[0]["class"] == "ship"
    assert {one["class"] for one in classes} == set(CIFAR10)
    assert sum(one["probability"] for one in classes) == pytest.approx(1, abs=1e-4)
    assert answer["model"] == NAME
    assert "airplane, automobile, bird" in said.err
