"""The range test finds where the loss falls fastest, and changes nothing."""

import numpy as np
import pytest
import torch

from spectralvision.cli import main
from spectralvision.engine.devices import Device
from spectralvision.engine.find_learning_rate import find_learning_rate, steepest_rate
from spectralvision.engine.model_io import save_model
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.engine.train_module import FitConfig
from spectralvision.engine.trainer_config import TrainerConfig
from spectralvision.runs import UserError, read_json
from spectralvision.tasks.classification.task import ClassificationTask
from tests.helpers.classifiers import batches, classifier
from tests.helpers.pictures import image_folder

RATES = np.logspace(-5, 0, 100)


def config(**trainer):
    return FitConfig(
        epochs=2,
        optimizer=OptimizerConfig(lr=0.01, warmup_epochs=0),
        trainer=TrainerConfig(**trainer).resolve(),
        device=Device("cpu", "32-true"),
        monitor=ClassificationTask.monitor,
        save=save_model,
    )


@pytest.mark.parametrize("center", [-4, -3, -1.5])
def test_the_steepest_slope_per_decade(center):
    losses = 2 - 1 / (1 + np.exp(-4 * (np.log10(RATES) - center)))
    losses += np.random.default_rng(0).normal(0, 0.05, len(RATES))
    rate = steepest_rate([*zip(RATES, losses, strict=True)])
    assert np.log10(rate) == pytest.approx(center, abs=0.3)


def test_steps_after_divergence_are_ignored():
    losses = 2 - 1 / (1 + np.exp(-4 * (np.log10(RATES) + 3)))
    losses[80:] = np.nan
    rate = steepest_rate([*zip(RATES, losses, strict=True)][:90])  # the test may end early
    assert rate == pytest.approx(1e-3, rel=0.1)


@pytest.mark.parametrize("losses", [RATES, RATES * 0 + 1, RATES * np.nan])
def test_a_loss_that_never_falls_has_no_rate(losses):
    assert steepest_rate([*zip(RATES, losses, strict=True)]) is None


def test_nothing_is_changed():
    module, loader = classifier(), batches()
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    state, first = torch.get_rng_state(), next(iter(loader))
    torch.set_rng_state(state)
    rate = find_learning_rate(module, loader, config())
    assert 1e-5 < rate < 1
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(module.state_dict(), weights, atol=0, rtol=0)
    assert all(parameter.grad is None for parameter in module.parameters())
    torch.testing.assert_close(next(iter(loader)), first, atol=0, rtol=0)


def test_several_processes_are_rejected():
    with pytest.raises(UserError, match="--lr find works in one process"):
        find_learning_rate(classifier(), batches(), config(devices=2))


def test_a_run_records_the_rate_that_was_found(tmp_path, capsys):
    data, run = image_folder(tmp_path / "photos", 6), tmp_path / "run"
    words = ["--model", "test_resnet", "--epochs", "1", "--batch-size", "8", "--workers", "0"]
    assert main(["train", "--data", str(data), *words, "--lr", "find", "--out", str(run)]) == 0
    lines = capsys.readouterr().err.splitlines()
    rate = read_json(run / "run.json")["config"]["optimizer"]["lr"]
    assert isinstance(rate, float)
    start = "find   learning rate, in 100 trial steps, at most "
    found = next(index for index, line in enumerate(lines) if line.startswith(start))
    assert f"learning rate {rate:g}," in " ".join(lines[found + 1 :])
    assert not any("best initial lr" in line or "weights_only" in line for line in lines)


def test_accumulated_batches_count_as_one_point():
    losses = 2 - 1 / (1 + np.exp(-4 * (np.log10(RATES) + 3)))
    noise = np.random.default_rng(0).normal(0, 0.3, (len(RATES), 16))
    pairs = [(rate, loss + one) for rate, loss, row in zip(RATES, losses, noise, strict=True)
             for one in row]  # fmt: skip
    assert np.log10(steepest_rate(pairs)) == pytest.approx(-3, abs=0.3)
    assert steepest_rate([(1e-5, 2.0)] * 200) is None
