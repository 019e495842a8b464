"""A run folder from any training loop."""

import json

import pytest
import timm
import torch
from torch import nn

import spectralvision as sv
from spectralvision.cli import main
from tests.helpers.pictures import image_folder

CLASSES = ["blue", "green", "red"]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return sv.create_model("affnet_et", num_classes=3, depths=(1, 1, 1, 1, 1))


def test_timm_and_the_command_take_it(model, tmp_path, capsys):
    before = dict(model.pretrained_cfg)
    folder = sv.save_run(model.train(), CLASSES, 64, tmp_path / "run")
    assert (model.training, dict(model.pretrained_cfg)) == (True, before)
    again = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(x), model.eval()(x))
    photos = image_folder(tmp_path / "photos", 2)
    words = ["--model", str(folder), "--data", str(photos), "--workers", "0", "--json"]
    assert main(["evaluate", *words]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 6
    assert main(["predict", *words]) == 0
    first = json.loads(capsys.readouterr().out)["predictions"][0]
    assert first["classes"][0]["class"] in CLASSES
    assert main(["train", "--resume", str(folder)]) == 2


def test_what_does_not_fit_is_rejected(model, tmp_path):
    with pytest.raises(ValueError, match="the model has 3 classes, but 2 class names are given"):
        sv.save_run(model, CLASSES[:2], 64, tmp_path / "run")
    with pytest.raises(ValueError, match="the class name 'red' is given twice"):
        sv.save_run(model, ["red", "red", "blue"], 64, tmp_path / "run")
    vit = timm.create_model("test_vit", num_classes=3)
    with pytest.raises(ValueError, match="does not take 77 x 77 pixels"):
        sv.save_run(vit, CLASSES, 77, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ValueError, match="not an empty folder"):
        sv.save_run(model, CLASSES, 64, tmp_path / "full")


def test_a_model_whose_arguments_cannot_be_stored_is_rejected(tmp_path):
    def mixer(dim, resolution):
        return nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    model = sv.create_model("affnet_et", num_classes=3, mixer_layer=mixer)
    with pytest.raises(ValueError, match=r"mixer_layer.*: save its weights alone with torch\.save"):
        sv.save_run(model, CLASSES, 64, tmp_path / "run")
    assert not (tmp_path / "run").exists()
