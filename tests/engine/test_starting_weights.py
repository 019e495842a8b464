"""Which weights a run starts from, by name and by what the images are."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from spectralvision.cli import main
from spectralvision.data.open_data import open_data
from spectralvision.engine import starting_weights
from spectralvision.engine.model_io import describe, save_model
from spectralvision.engine.starting_weights import (
    choose_weights,
    describe_weights,
    format_weights,
    has_color_photographs,
    has_strong_weights,
    is_bundled,
    is_colored,
)
from spectralvision.runs import UserError, read_json
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.classification.model import build_model
from tests.helpers.pictures import image_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("weights") / "photos", 6, side=72)


@pytest.fixture
def bundled(monkeypatch):
    """The weights that `auto` takes are those of CIFAR-10."""
    monkeypatch.setattr(starting_weights, "BUNDLED_TAG", "cifar10")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    model = timm.create_model("affnet_et", num_classes=2)
    describe(model, ["a", "b"], 64)
    folder = tmp_path_factory.mktemp("run")
    save_model(model, folder)
    return folder


@pytest.mark.parametrize(
    ("model", "pretrained", "expected"),
    [
        ("affnet_et", "auto", ("affnet_et.cifar10", "published")),
        ("affnet_t", "auto", ("affnet_t", "none")),
        ("resnet18", "auto", ("resnet18", "none")),
        ("affnet_et", "none", ("affnet_et", "none")),
        ("resnet18", "published", ("resnet18", "published")),
        ("affnet_et", "cifar10", ("affnet_et.cifar10", "published")),
        ("affnet_et", "affnet_et.cifar10", ("affnet_et.cifar10", "published")),
        ("affnet_et.cifar10", "none", ("affnet_et.cifar10", "published")),
        ("resnet18.a1_in1k", "auto", ("resnet18.a1_in1k", "published")),
        ("resnet18.a1_in1k", "tv_in1k", ("resnet18.tv_in1k", "published")),
    ],
)
def test_weights_by_name(model, pretrained, expected, photos, bundled):
    data = open_data(str(photos))
    data.splits["train"] = data.split("all")
    assert choose_weights(model, pretrained, data) == expected


@pytest.mark.parametrize(
    ("model", "pretrained", "sentence"),
    [
        ("affnet_t", "affnet_et.cifar10", "--pretrained affnet_et.cifar10 holds weights of "
         "affnet_et, not of affnet_t."),
        ("affnet_et", "cifar", "affnet_et has no weights named 'cifar': did you mean cifar10?"),
        ("affnet_t", "cifar10", "affnet_t has no weights named 'cifar10': it has none, use "
         "affnet_t."),
        ("affnet_et", "", "affnet_et has no weights named ''"),
        ("affnet_et", "published", "affnet_et has no published weights for ImageNet, but the "
         "package has cifar10"),
    ],
)  # fmt: skip
def test_unknown_names_are_rejected(model, pretrained, sentence, photos):
    with pytest.raises(UserError) as error:
        choose_weights(model, pretrained, open_data(str(photos)))
    assert str(error.value).startswith(sentence)


def test_a_run_brings_its_own_weights(run, photos):
    data = open_data(str(photos))
    assert choose_weights(str(run), "published", data) == (str(run), "none")
    assert has_strong_weights(str(run), "none")
    with pytest.raises(UserError, match=r"brings its own weights: leave out --pretrained cifar10"):
        choose_weights(str(run), "cifar10", data)


def test_auto_is_for_coloured_photographs(tmp_path, photos):
    def train_split(folder):
        data = open_data(str(folder))
        data.splits["train"] = data.splits.get("train", data.splits.get("all"))
        return data

    assert has_color_photographs(train_split(photos))
    assert not has_color_photographs(train_split(image_folder(tmp_path / "small", 4, side=63)))
    gray = image_folder(tmp_path / "gray", 4, side=72)
    for path in gray.rglob("*.png"):
        Image.open(path).convert("L").convert("RGB").save(path)
    assert not has_color_photographs(train_split(gray))
    assert not has_color_photographs(train_split("digits"))
    assert not has_color_photographs(train_split("synthetic/40"))


def test_colours_of_one_image():
    gray = np.full((90, 70, 3), 128, np.uint8)
    assert not is_colored(Image.fromarray(gray))
    gray[:, :, 0] += 10  # a tint of scanners
    assert not is_colored(Image.fromarray(gray))
    gray[:40, :40, 0] = 255
    assert is_colored(Image.fromarray(gray))
    assert not is_colored(Image.new("L", (5, 5)))
    assert is_colored(Image.new("RGBA", (1, 1), (255, 0, 0, 10)))


def test_what_is_known_of_weights(run):
    assert is_bundled("affnet_et.cifar10")
    assert not is_bundled("affnet_et")
    assert not is_bundled("resnet18.a1_in1k")
    assert not is_bundled("no_such.cifar10")
    assert not has_strong_weights("affnet_et.cifar10", "published")
    assert has_strong_weights("resnet18", "published")
    known = describe_weights("affnet_et.cifar10", "published")
    line = (
        "start  affnet_et.cifar10, trained on CIFAR-10, compressed again (license: none is stated)"
    )
    assert format_weights(known) == line
    assert describe_weights("affnet_et", "none") is None
    other = describe_weights("resnet18", "published")
    assert other["name"] == "resnet18.a1_in1k"
    assert describe_weights(str(run), "none")["name"] == str(run)


def test_a_run_names_its_weights(photos, tmp_path, capsys, bundled):
    words = ["train", "--data", str(photos), "--epochs", "1", "--workers", "0"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert "start  affnet_et.cifar10, trained on CIFAR-10" in capsys.readouterr().err
    record = read_json(tmp_path / "run" / "run.json")
    assert record["weights"]["name"] == "affnet_et.cifar10"
    assert record["config"]["model"] == "affnet_et.cifar10"
    assert record["config"]["pretrained"] == "published"
    config = read_json(tmp_path / "run" / "config.json")
    assert "description" not in config["pretrained_cfg"]

    # From scratch
    assert main([*words, "--out", str(tmp_path / "new"), "--pretrained", "none"]) == 0
    assert "start  " not in capsys.readouterr().err
    assert read_json(tmp_path / "new" / "run.json")["weights"] is None


def test_a_run_from_a_run_names_its_data(photos, tmp_path, capsys):
    words = [
        "train",
        "--data",
        str(photos),
        "--epochs",
        "1",
        "--workers",
        "0",
        "--input-size",
        "64",
    ]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    assert main([*words, "--out", str(tmp_path / "b"), "--model", str(tmp_path / "a")]) == 0
    assert f"start  {tmp_path / 'a'}, trained on photos" in capsys.readouterr().err


def test_the_size_of_bundled_weights_does_not_limit_that_of_the_images(photos):
    """Twice the 72 pixels of the photographs, as for the model without weights."""
    data = open_data(str(photos))
    data.splits["train"] = data.split("all")
    config = ClassificationConfig(data=str(photos), model="affnet_et.cifar10")
    model, resolved = build_model(replace(config, pretrained="published"), data)
    assert resolved.input_size == 160
    assert model.pretrained_cfg["input_size"] == (3, 160, 160)


@pytest.mark.parametrize("names", [["red", "unknown", "blue"], ["no", "blue", "a", "b", "red"]])
def test_classes_that_the_weights_know_keep_their_rows(names, tmp_path, photos):
    """The head for the classes of a folder starts from the rows of those that a run has too."""
    data = open_data(str(photos))
    data.splits["train"] = data.split("all")
    torch.manual_seed(1)
    source = timm.create_model("test_resnet", num_classes=len(names))
    describe(source, names, 64)
    (tmp_path / "source").mkdir()
    save_model(source, tmp_path / "source")
    config = ClassificationConfig(data=str(photos), model=str(tmp_path / "source"), input_size=64)
    model, _ = build_model(config, data)
    new, old = model.get_classifier(), source.get_classifier()
    assert new.weight.shape[0] == len(data.classes)
    for row, name in enumerate(data.classes):
        if name not in names:
            assert not any(torch.equal(new.weight[row], one) for one in old.weight)
            continue
        torch.testing.assert_close(new.weight[row], old.weight[names.index(name)])
        torch.testing.assert_close(new.bias[row], old.bias[names.index(name)])
