"""Cross-validation: every image is judged once, an interrupted one goes on, and its figure is that of the parts."""

import json

import pytest

from spectralvision.cli import main
from spectralvision.recipes.classification import Classification
from spectralvision.runs import UserError
from spectralvision.tasks import fitting
from tests.pictures import image_folder

FIELDS = {"model": "test_resnet", "epochs": 1, "workers": 0, "folds": 3}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "photos", 4)


def test_the_parts_make_the_figure(photos, tmp_path, capsys):
    words = ["--data", str(photos), "--model", "test_resnet", "--epochs", "1", "--workers", "0", "--folds", "3"]
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "run.json").read_text())["results"]
    assert [fold["images"] for fold in result["folds"]] == [4, 4, 4]
    right = sum(fold["val_top1"] * fold["images"] for fold in result["folds"])
    assert result["val_top1"] == pytest.approx(right / 12)
    assert result["val_top1_interval"][0] <= result["val_top1"] < result["val_top1_interval"][1]
    assert (tmp_path / "run" / "fold-3" / "report.html").exists()
    assert "fold 3   val top-1" in out
    assert "of 12 (95 % interval" in out


def test_an_interrupted_one_goes_on(photos, tmp_path, monkeypatch):
    recipe = Classification(data=str(photos), out=str(tmp_path / "run"), **FIELDS)
    fit, calls = fitting.fit, []

    def interrupted(*args, **options):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt, match="1 of 3 trainings have ended, `spectralvision train --resume"):
            recipe.run(lambda line: None)
    first = (tmp_path / "run" / "fold-1" / "model.safetensors").stat().st_mtime_ns
    again = Classification.of_run(tmp_path / "run")
    assert again == recipe
    result = again.run(lambda line: None, resume=tmp_path / "run")
    assert result["images"] == 12
    assert (tmp_path / "run" / "fold-1" / "model.safetensors").stat().st_mtime_ns == first


def test_dry_run_writes_nothing(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = []
    Classification(data=str(photos), **FIELDS).run(lines.append, dry_run=True)
    assert "(val: part 1 of 3 of all, seed 0)" in lines[0]
    assert lines[-1] == "folds  3 trainings like this one"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"folds": 1}, "--folds 1 should be at least 2"),
        ({"fold": 4}, "--fold 4 should lie between 1 and the number of --folds"),
        ({"folds": None, "fold": 1}, "--fold 1 should lie"),
    ],
)
def test_settings_that_do_not_work(photos, tmp_path, fields, sentence):
    with pytest.raises(UserError, match=sentence):
        Classification(data=str(photos), out=str(tmp_path / "run"), **(FIELDS | fields)).run(lambda line: None)
    assert not (tmp_path / "run").exists()
