"""Automatic settings on a CPU end within an hour; what was asked for stays."""

import pytest

from spectralvision.engine.auto_settings import shorten_epochs, shorten_input_size
from spectralvision.engine.projection import Cost, Projection
from spectralvision.runs import read_json
from spectralvision.tasks import prepare_run
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.cross_validation import cross_validate
from spectralvision.tasks.training_run import train
from tests.helpers.pictures import image_folder

HOURS = 3600.0


@pytest.fixture
def photos(tmp_path):
    return image_folder(tmp_path / "photos", 10)


@pytest.fixture
def slow(monkeypatch):
    """A CPU that needs 0.1 s a pixel and epoch."""

    def measure_cost(module, config, batch_size, train, val):
        side = module.example_batch(1)[0].shape[-1]
        return Cost(0.1 * side**2 / len(train) / batch_size, 0.0, 0.0, None)

    monkeypatch.setattr(prepare_run, "measure_cost", measure_cost)


def config_for(photos, **settings):
    settings = {"model": "test_resnet", "workers": 0, "device": "cpu"} | settings
    return ClassificationConfig(data=str(photos), **settings)


@pytest.mark.parametrize(
    ("size", "hours", "smallest", "shorter"),
    [(224, 1, 64, 224), (224, 2, 64, 128), (224, 25, 64, 64), (224, 25, 128, 128),
     (64, 25, 64, 64), (96, 1.5, 64, 64), (32, 9, 64, 32)],
)  # fmt: skip
def test_input_size(size, hours, smallest, shorter):
    assert shorten_input_size(size, hours * HOURS, smallest) == shorter


@pytest.mark.parametrize(
    ("epochs", "hours", "shorter"), [(50, 1, 50), (50, 2, 25), (50, 25, 10), (15, 4, 10), (5, 4, 5)]
)
def test_epochs(epochs, hours, shorter):
    assert shorten_epochs(epochs, hours * HOURS) == shorter


def plan(config):
    lines = []
    return train(config, lines.append, dry_run=True)["config"], lines


def test_a_long_run_is_made_shorter_and_says_so(photos, slow):
    """167 epochs of 96 pixels take 42 h; 64 pixels take 19 h."""
    chosen, lines = plan(config_for(photos, input_size="auto"))
    assert (chosen["input_size"], chosen["epochs"]) == (64, 10)
    assert chosen["optimizer"]["warmup_epochs"] == 1.0
    assert any("64 x 64 pixels" in line for line in lines if line.startswith("model"))
    (note,) = (line for line in lines if "instead of" in line)
    assert "10 instead of 200 epochs" in note
    assert "--input-size and --epochs override this" in note
    assert any("spectralvision train finetune --model" in line for line in lines)


def test_what_was_asked_for_stays(photos, slow):
    chosen, lines = plan(config_for(photos, input_size=96, epochs=60))
    assert (chosen["input_size"], chosen["epochs"]) == (96, 60)
    (note,) = (line for line in lines if line.startswith("note") and "less time" in line)
    assert "--input-size 64" in note
    assert "fewer --epochs" in note
    chosen, _ = plan(config_for(photos, epochs=60))
    assert chosen["epochs"] == 60


def test_a_short_run_stays(photos):
    chosen, lines = plan(config_for(photos))
    assert not [line for line in lines if "less time" in line or "instead of" in line]
    assert chosen["epochs"] > 10


def test_all_folds_are_alike(photos, tmp_path, monkeypatch):
    """The second fold measures another speed, but takes the settings of the first."""
    seconds = iter([12 * HOURS, 12 * HOURS, 12 * HOURS, 1.0])
    monkeypatch.setattr(
        prepare_run, "project", lambda *_: Projection(next(seconds, 99.0), 1.0, 0.0, None)
    )
    out = tmp_path / "run"
    config = config_for(photos, folds=2, input_size=32, out=str(out))
    cross_validate(config, lambda line: None, False, None)
    epochs = [read_json(out / f"fold-{k}" / "run.json")["config"]["epochs"] for k in (1, 2)]
    assert epochs[0] == epochs[1] == 10
    assert read_json(out / "run.json")["config"]["epochs"] == 10
