"""Cross-validation: every image is validated once, and an interrupted one can be resumed."""

import json
from dataclasses import replace

import pytest

from spectralvision.cli import main
from spectralvision.runs import UserError
from spectralvision.tasks import training_run
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.classification.module import Classifier
from spectralvision.tasks.start_training import start_training
from tests.helpers.pictures import image_folder

FIELDS = {"model": "test_resnet", "epochs": 1, "workers": 0, "folds": 3}
WORDS = ["--model", "test_resnet", "--epochs", "1", "--workers", "0", "--folds", "3"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "photos", 4)


def ignore(line):
    """Take a message for the user."""


def test_the_accuracy_uses_every_image(photos, tmp_path, capsys):
    run = tmp_path / "run"
    command = ["train", "--data", str(photos), *WORDS, "--epochs", "8", "--out", str(run)]
    assert main(command) == 0
    out = capsys.readouterr().out
    result = json.loads((run / "run.json").read_text())["results"]
    assert [fold["images"] for fold in result["folds"]] == [4, 4, 4]
    correct = sum(fold["val_top1"] * fold["images"] for fold in result["folds"])
    assert correct > 0
    assert result["val_top1"] == pytest.approx(correct / 12)
    assert result["images"] == 12
    low, high = result["val_top1_interval"]
    assert low <= result["val_top1"] < high
    assert (run / "fold-3" / "report.html").exists()
    assert "fold 3   val top-1" in out
    assert f"{result['val_top1']:.2%} on 12 images (95 % interval {low:.1%} to {high:.1%})" in out

    # The validation images of the folds are disjoint
    records = [json.loads((run / f"fold-{n}" / "run.json").read_text()) for n in (1, 2, 3)]
    assert len({record["data"]["fingerprints"]["val"] for record in records}) == 3


def interrupt(*args):
    raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["before training", "in the first update"])
def test_an_interrupted_one_can_be_resumed(photos, tmp_path, monkeypatch, moment):
    run = tmp_path / "run"
    config = ClassificationConfig(data=str(photos), out=str(run), **FIELDS)
    fit, calls = training_run.fit, []

    def fit_one_fold(module, *args, **options):
        calls.append(module)
        if len(calls) == 2 and moment == "before training":
            raise KeyboardInterrupt
        if len(calls) == 2:
            patch.setattr(Classifier, "training_step", interrupt)
        return fit(module, *args, **options)

    # 1. Ctrl-C in the second fold
    sentence = "1 of 3 folds are finished, `spectralvision train --resume .*run` trains the others"
    with monkeypatch.context() as patch:
        patch.setattr(training_run, "fit", fit_one_fold)
        with pytest.raises(KeyboardInterrupt, match=sentence):
            start_training(config, ignore)
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    has_checkpoint = (run / "fold-2" / "checkpoints" / "last.ckpt").exists()
    assert has_checkpoint is (moment == "in the first update")
    first = (run / "fold-1" / "model.safetensors").stat().st_mtime_ns

    # 2. The first fold is kept, the others are trained
    again = training_run.read_config(run)
    assert again == replace(config, input_size=64)  # as chosen for all folds
    result = start_training(again, ignore, resume=run)
    assert result["images"] == 12
    assert (run / "fold-1" / "model.safetensors").stat().st_mtime_ns == first


def test_a_dry_run_writes_nothing(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = []
    config = ClassificationConfig(data=str(photos), **FIELDS)
    start_training(config, lines.append, dry_run=True)
    assert "(val: fold 1 of 3 of all, seed 0)" in lines[0]
    assert lines[-1] == "folds  3 training runs like this one"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"folds": 1}, "--folds 1 should be between 2 and 1000000"),
        ({"folds": 1000}, "too few for --folds 1000: use at most --folds "),
        ({"fold": 4}, "--fold 4 should be between 1 and the number of --folds"),
        ({"folds": None, "fold": 1}, "--fold 1 should be between"),
    ],
)
def test_settings_that_do_not_work(photos, tmp_path, fields, sentence):
    run = tmp_path / "run"
    config = ClassificationConfig(data=str(photos), out=str(run), **(FIELDS | fields))
    with pytest.raises(UserError, match=sentence):
        start_training(config, ignore)
    assert not run.exists()
