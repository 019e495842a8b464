"""Training stops when the metric gets no better, and a resumed run stops where it would have."""

import csv

import pytest

from spectralvision.engine.devices import Device
from spectralvision.engine.fit import fit
from spectralvision.engine.model_io import save_model
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.engine.train_module import FitConfig
from spectralvision.engine.trainer_config import TrainerConfig
from spectralvision.tasks.classification.task import ClassificationTask
from tests.helpers.classifiers import batches, classifier
from tests.helpers.training import interrupted_at

TOP1 = [0.2, 0.5, 0.4, 0.5, 0.6, 0.3, 0.6, 0.6, 0.9, 0.9]
LOSS = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]


def train(run, early_stop, resume=False, loss=LOSS):
    """Train for ten epochs with the metrics above; return what was said."""
    run.mkdir(exist_ok=True)
    module = classifier()
    done = len(rows(run)) if resume else 0
    values = iter(zip(TOP1[done:], loss[done:], strict=True))
    module.metrics.compute = lambda: dict(zip(("top1", "loss"), next(values), strict=True))
    config = FitConfig(
        epochs=10,
        early_stop=early_stop,
        optimizer=OptimizerConfig(lr=0.01, warmup_epochs=0),
        trainer=TrainerConfig().resolve(),
        device=Device("cpu", "32-true"),
        monitor=ClassificationTask.monitor,
        save=save_model,
    )
    lines = []
    fit(module, batches(), batches(), run, config, lines.append, resume)
    return [line for line in lines if line.startswith("stop")]


def rows(run):
    return list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))


@pytest.mark.parametrize(("early_stop", "epochs"), [(1, 3), (2, 4), (3, 8), (4, 10), (None, 10)])
def test_epochs_without_a_better_one_end_the_training(early_stop, epochs, tmp_path):
    lines = train(tmp_path / "run", early_stop)
    assert [row["epoch"] for row in rows(tmp_path / "run")] == [str(i + 1) for i in range(epochs)]
    said = [
        f"stop   after {epochs} of 10 epochs: no better val top-1 in the last {early_stop} "
        f"(--early-stop {early_stop})"
    ]
    assert lines == (said if epochs < 10 else [])


def test_a_better_tie_counts(tmp_path):
    """Epoch 4 is as good as epoch 2 by top-1, and better by the loss."""
    loss = [1.0, 1.0, 1.0, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    train(tmp_path / "run", 2, loss=loss)
    assert len(rows(tmp_path / "run")) == 7


@pytest.mark.parametrize("epoch", [2, 5])
def test_a_resumed_run_stops_at_the_same_epoch(epoch, tmp_path):
    run, updates = tmp_path / "run", len(batches())
    with interrupted_at(type(classifier()), epoch * updates), pytest.raises(KeyboardInterrupt):
        train(run, 3)
    assert len(rows(run)) == epoch
    lines = train(run, 3, resume=True)
    assert len(rows(run)) == 8
    assert len(lines) == 1
