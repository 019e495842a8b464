"""An interrupted run that is resumed equals one that was not; trial steps leave no trace."""

import json
import random
import re
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch

from spectralvision.analysis import count_macs
from spectralvision.cli import main
from spectralvision.engine import projection, training_loop, trial_steps
from spectralvision.engine.devices import Device
from spectralvision.engine.model_io import describe
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.engine.progress import TrainingBar
from spectralvision.engine.train_module import FitConfig, Monitor
from spectralvision.engine.trainer_config import TrainerConfig
from spectralvision.tasks.classification.config import ClassificationConfig, LossConfig
from spectralvision.tasks.classification.module import Classifier
from spectralvision.tasks.start_training import start_training
from spectralvision.tasks.training_run import read_config
from tests.helpers.pictures import image_folder
from tests.helpers.training import interrupted_at, read_results

CPU = Device("cpu", "32-true")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "photos", 10)


def config_for(photos, out, loss=None, **optimizer):
    return ClassificationConfig(
        data=str(photos),
        model="test_resnet",
        epochs=4,
        batch_size=8,
        workers=0,
        out=str(out),
        optimizer=OptimizerConfig(lr=1e-3, **optimizer),
        loss=loss or LossConfig(),
    )


def train(config, say=lambda line: None, resume=None):
    return start_training(config, say, resume=resume)


def interrupt(config, at, resume=None):
    """Train until Ctrl-C comes after that many updates of the run."""
    with interrupted_at(Classifier, at), pytest.raises(KeyboardInterrupt, match="--resume"):
        train(config, resume=resume)


@pytest.mark.parametrize(
    ("loss", "optimizer"), [({}, {}), ({"mixup": 0.5}, {"ema": 0.5, "drop_path": 0.1})]
)
def test_a_resumed_run_equals_one_that_was_not_interrupted(photos, tmp_path, loss, optimizer):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    config = config_for(photos, whole, LossConfig(**loss), **optimizer)
    train(config)
    for resume, at in ((None, 7), (parts, 10)):  # in the third epoch, then in the fourth
        interrupt(
            replace(config, out=str(parts)) if resume is None else read_config(parts), at, resume
        )
    assert json.loads((parts / "run.json").read_text())["status"] == "interrupted"
    lines = []
    result = train(read_config(parts), lines.append, resume=parts)
    assert next(line for line in lines if line.startswith("epoch")).startswith("epoch 4/4")
    weights, checkpoint, rows = read_results(whole)
    weights2, checkpoint2, rows2 = read_results(parts)
    assert weights
    assert all(torch.equal(weights[name], weights2[name]) for name in weights)
    assert rows == rows2
    assert len(rows) == 4
    state, state2 = checkpoint["model"], checkpoint2["model"]
    assert state
    assert all(torch.equal(state[name], state2[name]) for name in state)
    moments, moments2 = checkpoint["optimizer"]["state"], checkpoint2["optimizer"]["state"]
    assert moments
    assert all(
        torch.equal(moments[key]["exp_avg_sq"], moments2[key]["exp_avg_sq"]) for key in moments
    )
    record = json.loads((parts / "run.json").read_text())
    assert record["results"] | {"report": str(parts / "report.html")} == result
    first = json.loads((whole / "run.json").read_text())
    assert record["config"] | {"out": ""} == first["config"] | {"out": ""}


def test_resume_from_the_command(photos, tmp_path, capsys):
    run = tmp_path / "run"
    interrupt(config_for(photos, run), 4)
    assert main(["train", "--resume", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 4
    assert main(["train", "--resume", str(run)]) == 2
    assert (
        "run is finished: `spectralvision train classification --model" in capsys.readouterr().err
    )


def test_weights_that_were_better_before_the_interruption_stay(photos, tmp_path):
    run = tmp_path / "run"
    interrupt(config_for(photos, run), 10)
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["log"]["best"] |= {"val_top1": 2.0, "epoch": 1}
    torch.save(checkpoint, path)
    before = (run / "model.safetensors").read_bytes()
    result = train(read_config(run), resume=run)
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
    assert re.search(
        r"trial  \S+ images/s in training steps, peak memory .+ [GM]iB per process, .+ in total",
        lines[4],
    )
    assert "nothing was trained or written" in out
    assert not list(tmp_path.iterdir())


def small_module():
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3)
    describe(model, ["a", "b", "c"], 32)
    return Classifier(model)


def fit_config(**optimizer):
    return FitConfig(
        epochs=2,
        optimizer=OptimizerConfig(lr=0.1, **optimizer),
        trainer=TrainerConfig().resolve(),
        device=CPU,
        monitor=Monitor("val_top1"),
        save=lambda model, run: None,
    )


@pytest.mark.parametrize("fields", [{}, {"opt": "sgd"}])
def test_trial_steps_leave_weights_and_generators_as_they_are(fields):
    module = small_module()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    assert trial_steps.try_steps(module, fit_config(**fields), 4).seconds > 0
    assert before
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert states[:2] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(states[2], torch.get_rng_state())


def test_another_error_of_a_trial_is_not_taken_for_memory(monkeypatch):
    def broken(self, x):
        raise RuntimeError("shapes do not fit")

    module = small_module()
    monkeypatch.setattr(type(module.model), "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        trial_steps.try_steps(module, fit_config(), 4)


def test_expected_seconds_add_up(photos, tmp_path, monkeypatch):
    """Two epochs of 24 images in batches of 8 and 6 to validate on, at a known pace."""
    monkeypatch.setattr(projection, "try_steps", lambda *args: trial_steps.Trial(0.8, None))
    monkeypatch.setattr(projection, "_seconds_per_image", lambda loader: 0.05)
    config = replace(config_for(photos, tmp_path / "run"), epochs=2)
    result = start_training(config, lambda line: None, dry_run=True)
    val = 8 * (0.1 / 3 + 0.05)  # the one batch of val counts as a whole one
    assert result["seconds"] == pytest.approx(2 * (24 * (0.1 + 0.05) + val))
    assert result["images_per_second"] == pytest.approx(10)


def test_the_bar_shows_loss_metric_pace_and_time_left(photos, tmp_path, monkeypatch):
    """On a terminal; elsewhere there is a line per epoch instead."""
    shown, titles = [], []

    class Spy(TrainingBar):
        def begin(self, title, total, done=0):
            titles.append(title)
            super().begin(title, total, done)

        def advance(self, values=None):
            if values is not None:
                shown.append(values)
            super().advance(values)

    monkeypatch.setattr(training_loop, "TrainingBar", Spy)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    lines = []
    train(config_for(photos, tmp_path / "run"), lines.append)
    assert not [line for line in lines if line.startswith("epoch")]
    assert titles[:2] == ["Epoch 1/4", "Validation"]
    assert len(shown) == 12
    assert set(shown[0]) == {"loss", "images/s", "left"}
    assert set(shown[-1]) == {"loss", "val top-1", "images/s", "left"}
    assert re.fullmatch(r"\d+\.\d\d%", shown[-1]["val top-1"])
    assert float(shown[-1]["images/s"]) > 0
    assert shown[-1]["left"] == "0 s"
