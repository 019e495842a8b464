"""A whole run: automatic settings, run folder, reproducibility, settings that do not work."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from spectralvision.data.open_data import open_data
from spectralvision.data.splits import split_train_val
from spectralvision.engine.model_io import load_model
from spectralvision.runs import UserError
from spectralvision.tasks import training_run
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.classification.model import build_model
from spectralvision.tasks.evaluation import evaluate
from spectralvision.tasks.start_training import start_training
from tests.helpers.pictures import image_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "photos", 10)


def ignore(line):
    """Take a message for the user."""


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """Return the folder of a run, its settings, its result and its messages."""
    run = tmp_path_factory.mktemp("runs") / "first"
    lines = []
    config = ClassificationConfig(
        data=str(photos), model="test_resnet", epochs=4, out=str(run), workers=0
    )
    return run, config, start_training(config, lines.append), lines


def test_a_run_folder_is_complete(trained, photos):
    run, _, result, lines = trained
    assert {path.name for path in run.iterdir()} == {
        "config.json", "model.safetensors", "run.json", "metrics.csv", "checkpoints",
        "report.html", "classes.csv", "confusions.csv",
    }  # fmt: skip
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["task"] == record["recipe"] == "classification"
    assert record["results"] | {"report": str(run / "report.html")} == result
    assert record["data"]["images"] == {"train": 24, "val": 6}
    assert record["data"]["val_split"]["seed"] == 0
    assert record["config"]["batch_size"] == 16
    assert record["config"]["input_size"] == 64
    assert record["device"] == {"accelerator": "cpu", "precision": "32-true"}
    assert record["resolved"] == {
        "workers": 0,
        "device": "cpu",
        "precision": "32",
        "trainer": {"strategy": "single process"},
    }
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[result["best_epoch"] - 1]["val_top1"]) == result["val_top1"]
    assert "photos: 3 classes; 24 train, 6 val images (val: 20% of all, seed 0)" in lines[0]
    assert lines[1].startswith("model  test_resnet: ")
    assert " on cpu in float32, about " in lines[2]


def test_any_timm_user_can_load_the_weights(trained, photos):
    run, _, result, _ = trained
    metrics = evaluate(str(run), open_data(str(photos)))
    assert metrics["split"] == "val"  # the images that were held out in training, not all
    assert metrics["images"] == 6
    assert metrics["top1"] == pytest.approx(result["val_top1"])
    model = timm.create_model(f"local-dir:{run}", pretrained=True).eval()
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(x), load_model(str(run)).eval()(x))
    assert model.pretrained_cfg["label_names"] == ["blue", "green", "red"]


def test_the_same_seed_gives_the_same_weights(trained, tmp_path):
    run, config, _, _ = trained
    start_training(replace(config, out=str(tmp_path / "again"), workers=2), ignore)
    start_training(replace(config, out=str(tmp_path / "other"), seed=1), ignore)
    first, again, other = (
        load_file(path / "model.safetensors")
        for path in (run, tmp_path / "again", tmp_path / "other")
    )
    assert first
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_training_from_the_weights_of_a_run(trained, tmp_path):
    run, config, _, _ = trained
    lines = []
    again = replace(config, model=str(run), out=str(tmp_path / "on"), epochs=1)
    start_training(again, lines.append)
    assert "pretrained weights" in lines[1]
    two = image_folder(tmp_path / "two", 6, classes=("red", "green"))
    start_training(replace(again, data=str(two), out=str(tmp_path / "two-run")), ignore)
    model = load_model(str(tmp_path / "two-run"))
    assert model.num_classes == 2
    stem = next(iter(load_file(run / "model.safetensors")))
    assert model.state_dict()[stem].shape == load_model(str(run)).state_dict()[stem].shape


def test_the_head_is_reset_for_other_classes_only(trained, photos, tmp_path):
    run, config, _, _ = trained
    source = load_model(str(run)).get_classifier().weight

    def head_weight(folder):
        data = split_train_val(open_data(str(folder)), 0.2, 0)
        model, _ = build_model(replace(config, data=str(folder), model=str(run)), data)
        return model.get_classifier().weight

    assert torch.equal(head_weight(photos), source)
    renamed = image_folder(tmp_path / "renamed", 4)
    (renamed / "red").rename(renamed / "zebra")
    assert head_weight(renamed).shape == source.shape
    assert not torch.equal(head_weight(renamed), source)


def test_a_model_of_fixed_size_is_built_at_the_size_of_the_data(trained, photos, tmp_path):
    _, config, _, _ = trained
    run = str(tmp_path / "vit")
    start_training(replace(config, model="deit_tiny_patch16_224", epochs=1, out=run), ignore)
    model = timm.create_model(f"local-dir:{run}", pretrained=True)
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 3)
    assert evaluate(run, open_data(str(photos)))["images"] == 6


def test_automatic_settings_of_the_digits(trained):
    def resolve(**fields):
        config = ClassificationConfig(**({"data": "digits", "model": "test_resnet"} | fields))
        return start_training(config, ignore, dry_run=True)["config"]

    run, _, _, _ = trained
    from_scratch = resolve()
    assert (from_scratch["epochs"], from_scratch["batch_size"]) == (15, 32)
    lr = from_scratch["optimizer"]["lr"]
    assert lr == pytest.approx(2e-3 * np.sqrt(0.5), rel=1e-2)
    assert from_scratch["augmentation"]["hflip"] == 0
    assert resolve(model=str(run))["optimizer"]["lr"] == lr  # pretrained, but small
    assert resolve(batch_size=33)["batch_size"] == 32  # even


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"epochs": 0}, "--epochs 0"),
        ({"batch_size": 1}, "--batch-size 1"),
        ({"val_fraction": 1.5}, "--val-fraction 1.5"),
        ({"model": "no_such"}, "no_such is neither"),
        ({"input_size": 1, "model": "test_vit"}, "does not take 1 x 1 pixels"),
        ({"out": "."}, "--out"),
    ],
)
def test_settings_that_do_not_work(photos, tmp_path, monkeypatch, fields, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    config = ClassificationConfig(**({"data": str(photos), "model": "test_resnet"} | fields))
    with pytest.raises(UserError, match=sentence):
        start_training(config, ignore)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_one_class_is_rejected(tmp_path):
    image_folder(tmp_path / "one", 4, classes=("red",))
    sentence = r"one has one class \(red\), but at least two classes are required\."
    with pytest.raises(UserError, match=sentence):
        start_training(ClassificationConfig(data=str(tmp_path / "one")), ignore)


def test_a_run_that_fails_is_recorded_as_failed(photos, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(training_run, "fit", fail)
    run = tmp_path / "run"
    config = ClassificationConfig(data=str(photos), model="test_resnet", out=str(run))
    with pytest.raises(RuntimeError, match="out of luck"):
        start_training(config, ignore)
    assert json.loads((run / "run.json").read_text())["status"] == "failed"
