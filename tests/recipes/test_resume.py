"""A run that was interrupted and goes on equals one that was not; what is said beforehand leaves no trace."""

import csv
import json
import random
import re
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from spectralvision.analysis import count_macs
from spectralvision.cli import main
from spectralvision.recipes import telling
from spectralvision.recipes.classification import Classification
from spectralvision.tasks import classification as task
from spectralvision.tasks import fitting, trial
from spectralvision.tasks.loading import describe
from spectralvision.tasks.optimisation import Optimisation
from tests.pictures import image_folder

CPU = {"accelerator": "cpu", "precision": "32-true"}
CLOCK = {"seconds", "images_per_second", "data_wait"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "photos", 10)


def recipe_of(photos, out, **fields):
    optimisation = Optimisation(lr=1e-3, **fields)
    return Classification(
        data=str(photos),
        model="test_resnet",
        epochs=4,
        batch_size=8,
        workers=0,
        out=str(out),
        optimisation=optimisation,
    )


def interrupted(recipe, at, **options):
    """Runs a recipe until Ctrl-C comes at a step."""
    true = task.Classifier.training_step

    def step(module, batch, batch_idx):
        if module.global_step == at:
            raise KeyboardInterrupt
        return true(module, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task.Classifier, "training_step", step)
        with pytest.raises(KeyboardInterrupt, match="--resume"):
            recipe.run(lambda line: None, **options)


def what_came_out(run):
    """Best weights, last checkpoint and metrics, without the time that was taken."""
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    rows = [
        {name: value for name, value in row.items() if name not in CLOCK}
        for row in csv.DictReader((run / "metrics.csv").read_text().splitlines())
    ]
    return load_file(run / "model.safetensors"), checkpoint, rows


@pytest.mark.parametrize("fields", [{}, {"ema": 0.5, "mixup": 0.5, "drop_path": 0.1}])
def test_a_resumed_run_equals_one_that_was_not_interrupted(photos, tmp_path, fields):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    recipe = recipe_of(photos, whole, **fields)
    recipe.run(lambda line: None)
    for first, step in ((True, 7), (False, 10)):  # in the third epoch, then in the fourth
        interrupted(replace(recipe, out=str(parts)), step, resume=None if first else parts)
    assert json.loads((parts / "run.json").read_text())["status"] == "interrupted"
    lines = []
    result = Classification.of_run(parts).run(lines.append, resume=parts)
    assert next(line for line in lines if line.startswith("epoch")).startswith("epoch 4/4")
    (weights, checkpoint, rows), (weights2, checkpoint2, rows2) = what_came_out(whole), what_came_out(parts)
    assert all(torch.equal(weights[name], weights2[name]) for name in weights)
    assert rows == rows2
    assert len(rows) == 4
    state, state2 = checkpoint["state_dict"], checkpoint2["state_dict"]
    assert all(torch.equal(state[name], state2[name]) for name in state)
    moments, moments2 = (one["optimizer_states"][0]["state"] for one in (checkpoint, checkpoint2))
    assert all(torch.equal(moments[key]["exp_avg_sq"], moments2[key]["exp_avg_sq"]) for key in moments)
    record = json.loads((parts / "run.json").read_text())
    assert record["results"] | {"report": str(parts / "report.html")} == result
    assert record["recipe"] | {"out": ""} == json.loads((whole / "run.json").read_text())["recipe"] | {"out": ""}


def test_resume_from_the_command(photos, tmp_path, capsys):
    run = tmp_path / "run"
    interrupted(recipe_of(photos, run), 4)
    assert main(["train", "--resume", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 4
    assert main(["train", "--resume", str(run)]) == 2
    assert "run is finished: `spectralvision train --model" in capsys.readouterr().err


def test_weights_that_were_better_before_the_interruption_stay(photos, tmp_path):
    run = tmp_path / "run"
    interrupted(recipe_of(photos, run), 10)
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["callbacks"]["KeepBest"]["best"] |= {"val_top1": 2.0, "epoch": 1}
    torch.save(checkpoint, path)
    before = (run / "model.safetensors").read_bytes()
    result = Classification.of_run(run).run(lambda line: None, resume=run)
    assert (result["best_epoch"], result["epochs"]) == (1, 4)
    assert (run / "model.safetensors").read_bytes() == before


def test_dry_run_says_what_it_takes_and_writes_nothing(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--data", str(photos), "--model", "test_resnet", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert [line.split()[0] for line in lines] == ["data", "model", "train", "note", "trial"]
    macs = count_macs(timm.create_model("test_resnet", num_classes=3), (3, 64, 64))
    assert f" {macs / 1e9:.3g} GMACs, from scratch" in lines[1]
    assert lines[2].endswith((" s", " min"))
    assert re.search(r"trial  \S+ images/s in training steps, peak memory \S+ GiB a process, \S+ h in all", lines[4])
    assert "nothing was trained or written" in out
    assert not list(tmp_path.iterdir())


def small():
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3)
    describe(model, ["a", "b", "c"], 32)
    return model


@pytest.mark.parametrize("fields", [{}, {"opt": "sgd"}])
def test_a_trial_leaves_weights_and_generators_as_they_are(fields):
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    assert trial.try_step(model, Optimisation(lr=0.1, **fields), 4, CPU).seconds > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert states[:2] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(states[2], torch.get_rng_state())


def test_another_error_of_a_trial_is_not_taken_for_memory(monkeypatch):
    def broken(self, x):
        raise RuntimeError("shapes do not fit")

    model = small()
    monkeypatch.setattr(type(model), "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        trial.try_step(model, Optimisation(lr=0.1), 4, CPU)


def test_expected_seconds_add_up(photos, monkeypatch):
    """Two epochs of 24 images in batches of 8 and 6 to validate on, at a known pace."""
    from spectralvision.recipes import classification, settling

    monkeypatch.setattr(trial, "try_step", lambda *args: trial.Trial(0.8, None))  # 0.1 s an image
    monkeypatch.setattr(telling, "_seconds_per_image", lambda loader: 0.05)
    recipe = replace(recipe_of(photos, "x"), epochs=2)
    data, _ = classification._data(recipe)
    model, recipe = classification._model(settling.resolved(recipe, data), data)
    loaders = classification._loaders(recipe, data, model)
    expected = 2 * (24 * (0.1 + 0.05) + 8 * (0.1 / 3 + 0.05))  # the one batch of val counts as a whole one
    assert telling.projected(recipe, model, CPU, *loaders).seconds == pytest.approx(expected)


def test_the_bar_shows_loss_top1_pace_and_time_left(photos, tmp_path, monkeypatch):
    """With a terminal; without one there is a line an epoch instead."""
    seen = []

    class Spy(fitting.ProgressBar):
        def get_metrics(self, trainer, pl_module):
            seen.append(super().get_metrics(trainer, pl_module))
            return seen[-1]

    monkeypatch.setattr(fitting, "ProgressBar", Spy)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    lines = []
    recipe_of(photos, tmp_path / "run").run(lines.append)
    assert not [line for line in lines if line.startswith("epoch")]
    assert set(seen[-1]) == {"loss", "top1", "val", "images/s", "left"}
    assert all(0 <= int(metrics["top1"].rstrip("%")) <= 100 for metrics in seen if "top1" in metrics)
    assert float(seen[-1]["images/s"]) > 0
    assert seen[-1]["left"] == "0 s"
