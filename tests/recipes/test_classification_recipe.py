"""The whole run: what `auto` becomes, what the folder holds, that it repeats itself."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from spectralvision.data.opening import open_data
from spectralvision.recipes import RECIPES, find_recipe
from spectralvision.recipes.classification import Classification
from spectralvision.runs import UserError
from spectralvision.tasks import inference
from spectralvision.tasks.loading import load_model
from tests.pictures import image_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "photos", 10)


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "first"
    lines = []
    recipe = Classification(data=str(photos), model="test_resnet", epochs=4, out=str(run), workers=0)
    return run, recipe, recipe.run(lines.append), lines


def test_a_run_folder_is_complete(trained, photos):
    run, _, result, lines = trained
    assert {path.name for path in run.iterdir()} == {
        "config.json", "model.safetensors", "run.json", "metrics.csv", "checkpoints", "report.html"
    }  # fmt: skip
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["results"] | {"report": str(run / "report.html")} == result
    assert record["data"]["images"] == {"train": 24, "val": 6}
    assert record["data"]["val_carved"]["seed"] == 0
    assert record["recipe"]["batch_size"] == 16
    assert record["recipe"]["input_size"] == 64
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[result["best_epoch"] - 1]["val_top1"]) == result["val_top1"]
    assert "photos: 3 classes; 24 train, 6 val images (val: 20% of all, seed 0)" in lines[0]
    assert "test_resnet" in lines[1]
    assert "cpu" in lines[2]


def test_the_colours_are_learnt_and_any_timm_user_can_load_them(trained, photos):
    run, _, result, _ = trained
    scores = inference.evaluate(str(run), open_data(str(photos)))
    assert scores["split"] == "val"  # the images that were held out in training, not all
    assert scores["images"] == 6
    assert scores["top1"] == pytest.approx(result["val_top1"])
    model = timm.create_model(f"local-dir:{run}", pretrained=True).eval()
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(x), load_model(str(run)).eval()(x))
    assert model.pretrained_cfg["label_names"] == ["blue", "green", "red"]


def test_the_same_seed_gives_the_same_weights(trained, tmp_path):
    run, recipe, _, _ = trained
    replace(recipe, out=str(tmp_path / "again"), workers=2).run(lambda line: None)
    replace(recipe, out=str(tmp_path / "other"), seed=1).run(lambda line: None)
    first, again, other = (
        load_file(path / "model.safetensors") for path in (run, tmp_path / "again", tmp_path / "other")
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_going_on_from_a_run(trained, photos, tmp_path):
    run, recipe, _, _ = trained
    lines = []
    again = replace(recipe, model=str(run), out=str(tmp_path / "on"), epochs=1, optimisation=recipe.optimisation)
    again.run(lines.append)
    assert "trained weights" in lines[1]
    two = image_folder(tmp_path / "two", 6, classes=("red", "green"))
    replace(again, data=str(two), out=str(tmp_path / "two-run")).run(lambda line: None)
    model = load_model(str(tmp_path / "two-run"))
    assert model.num_classes == 2
    stem = next(iter(load_file(run / "model.safetensors")))
    assert model.state_dict()[stem].shape == load_model(str(run)).state_dict()[stem].shape


def test_the_head_is_reset_where_classes_differ_and_kept_where_not(trained, photos, tmp_path):
    from spectralvision.recipes import classification, settling

    run, recipe, _, _ = trained
    source = load_model(str(run)).get_classifier().weight

    def head(folder):
        fields = replace(recipe, data=str(folder), model=str(run))
        data, _ = classification._data(fields)
        model, _ = classification._model(settling.resolved(fields, data), data)
        return model.get_classifier().weight

    assert torch.equal(head(photos), source)
    renamed = image_folder(tmp_path / "renamed", 4)
    (renamed / "red").rename(renamed / "zebra")
    assert head(renamed).shape == source.shape
    assert not torch.equal(head(renamed), source)


def test_a_fixed_size_model_is_made_at_the_size_of_the_data(photos, tmp_path):
    recipe = Classification(
        data=str(photos), model="deit_tiny_patch16_224", epochs=1, out=str(tmp_path / "vit"), workers=0
    )
    recipe.run(lambda line: None)
    model = timm.create_model(f"local-dir:{tmp_path / 'vit'}", pretrained=True)
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 3)
    scores = inference.evaluate(str(tmp_path / "vit"), open_data(str(photos)))
    assert scores["images"] == 6


def test_what_auto_becomes():
    from spectralvision.recipes.classification import _data
    from spectralvision.recipes.settling import resolved

    digits = Classification(data="digits")
    data, _ = _data(digits)
    settled = resolved(digits, data)
    assert (settled.epochs, settled.batch_size) == (15, 32)
    assert settled.optimisation.lr == pytest.approx(2e-3 * np.sqrt(0.5), rel=1e-2)
    assert settled.augmentation.hflip == 0
    assert resolved(replace(digits, pretrained=True), data).optimisation.lr < settled.optimisation.lr / 3
    assert resolved(replace(digits, batch_size=33), data).batch_size == 32  # even


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
    with pytest.raises(UserError, match=sentence):
        Classification(**({"data": str(photos), "model": "test_resnet"} | fields)).run(lambda line: None)
    assert not (tmp_path / "runs").exists()


def test_one_class_is_refused(tmp_path):
    image_folder(tmp_path / "one", 4, classes=("red",))
    with pytest.raises(UserError, match=r"one class only \(red\)"):
        Classification(data=str(tmp_path / "one")).run(lambda line: None)


def test_a_run_that_fails_says_so_in_its_record(photos, tmp_path, monkeypatch):
    from spectralvision.tasks import fitting

    def broken(*args, **options):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(fitting, "fit", broken)
    recipe = Classification(data=str(photos), model="test_resnet", out=str(tmp_path / "run"))
    with pytest.raises(RuntimeError):
        recipe.run(lambda line: None)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


def test_recipes_are_found_by_name():
    assert find_recipe("classification") is Classification
    assert all(find_recipe(name).__doc__ for name in RECIPES)
    with pytest.raises(UserError, match="did you mean classification"):
        find_recipe("clasification")
