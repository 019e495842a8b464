"""The weights that are part of the package."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file

import spectralvision as sv
from spectralvision.cli import main
from spectralvision.engine.model_io import label_titles
from spectralvision.engine.starting_weights import BUNDLED_TAG
from spectralvision_cli.options.predict import BUNDLED_MODEL

NAMES = ("affnet_et.cifar10", "affnet_et.tiny_imagenet")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHIP = Path(__file__).parents[2] / "docs/images/ship.png"  # a drawing
WEIGHTS = Path(sv.__file__).parent / "models/weights"


def file_of(name: str) -> Path:
    return WEIGHTS / f"{name}.safetensors"


def test_the_package_stays_small():
    files = [path for path in WEIGHTS.iterdir() if path.is_file()]
    assert {path.stem for path in files} == set(NAMES)
    assert {path.suffix for path in files} == {".md", ".safetensors", ".txt"}
    package = [path for path in Path(sv.__file__).parent.rglob("*") if path.is_file()]
    content = (path for path in package if "__pycache__" not in path.parts)
    assert sum(path.stat().st_size for path in content) < 6_000_000


@pytest.mark.parametrize("name", NAMES)
def test_small_half_precision_and_finite(name):
    assert file_of(name).stat().st_size <= 3_500_000
    values = load_file(file_of(name)).values()
    assert len(values) > 100
    for value in values:
        assert value.dtype in (torch.float16, torch.int64)
        assert value.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_by_its_tag_in_timm(name):
    assert name in timm.list_pretrained("affnet*")
    model = timm.create_model(name, pretrained=True)
    names = model.pretrained_cfg["label_names"]
    assert len(set(names)) == len(names) == model.num_classes
    side = 64 if name == "affnet_et.cifar10" else 128
    if name == "affnet_et.cifar10":
        assert names == CIFAR10
    else:
        assert model.num_classes == 200
        assert label_titles(model)[0] == "goldfish, Carassius auratus"
    assert model.pretrained_cfg["input_size"] == (3, side, side)
    for key, value in load_file(file_of(name)).items():
        torch.testing.assert_close(
            model.state_dict()[key], value, check_dtype=False, rtol=0, atol=0
        )
    other = timm.create_model(name, pretrained=True, num_classes=3)
    assert other.get_classifier().out_features == 3
    torch.testing.assert_close(other.stem.conv.weight, model.stem.conv.weight, rtol=0, atol=0)


def test_the_name_without_a_tag_has_no_weights():
    model = sv.create_model("affnet_et")
    assert (model.num_classes, model.pretrained_cfg["input_size"]) == (1000, (3, 256, 256))
    with pytest.raises(ValueError, match="no ImageNet weights of affnet_et"):
        sv.create_model("affnet_et", pretrained=True)


def test_predict_needs_no_model(capsys):
    assert main(["predict", str(SHIP), "--top-k", "200", "--json"]) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    classes = answer["predictions"][0]["classes"]
    assert len(classes) == 200
    assert sum(one["probability"] for one in classes) == pytest.approx(1, abs=1e-3)
    assert answer["model"] == BUNDLED_MODEL == "affnet_et.tiny_imagenet"
    assert "knows 200 classes only, such as goldfish, " in said.err


def test_predict_with_the_other_model(capsys):
    words = ["predict", str(SHIP), "--model", "affnet_et.cifar10", "--top-k", "10", "--json"]
    assert main(words) == 0
    said = capsys.readouterr()
    classes = json.loads(said.out)["predictions"][0]["classes"]
    assert classes[0]["class"] == "ship"
    assert {one["class"] for one in classes} == set(CIFAR10)
    assert "knows airplane, automobile, bird" in said.err


def test_the_weights_that_auto_starts_from_are_those_of_predict():
    assert f"affnet_et.{BUNDLED_TAG}" == BUNDLED_MODEL
