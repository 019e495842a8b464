"""On a CPU, `--workers auto` takes workers only where reading takes longer than training."""

import pytest

from spectralvision.engine.projection import Cost
from spectralvision.runs import read_json
from spectralvision.tasks import prepare_run
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.prepare_run import prepare, shorten
from spectralvision.tasks.start_training import start_training
from tests.helpers.pictures import image_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "photos", 8)


@pytest.fixture
def reading(monkeypatch):
    """Set the time of reading an image; training on it takes 1 s."""

    def set_to(seconds):
        monkeypatch.setattr(
            prepare_run, "measure_cost", lambda *_: Cost(1.0, seconds, seconds, None)
        )

    return set_to


def config_for(photos, **settings):
    settings = {"model": "test_resnet", "device": "cpu", "epochs": 1, "batch_size": 4} | settings
    return ClassificationConfig(data=str(photos), input_size=32, **settings)


def workers_of(config):
    prepared, projection = shorten(prepare(config, None), config, is_new=True)
    loaders = prepared.train_loader, prepared.val_loader
    assert loaders[0].num_workers == loaders[1].num_workers
    assert prepared.config.workers == config.workers
    return loaders[0].num_workers, projection.seconds


def test_fast_reading_takes_no_workers(photos, reading):
    reading(0.5)
    assert workers_of(config_for(photos))[0] == 0


def test_slow_reading_takes_workers(photos, reading):
    reading(2.0)
    assert workers_of(config_for(photos))[0] > 0


def test_streams_keep_their_workers(photos, reading):
    """Their images cannot be read twice, so the time is not known."""
    reading(None)
    assert workers_of(config_for(photos))[0] > 0


def test_the_projection_has_no_workers_either(photos, reading):
    """An image takes 1.5 s to train on, and 1 / 3 + 0.5 s to validate on."""
    reading(0.5)
    config = config_for(photos)
    prepared = prepare(config, None)
    images = [4 * len(loader) for loader in (prepared.train_loader, prepared.val_loader)]
    assert workers_of(config)[1] == pytest.approx(images[0] * 1.5 + images[1] * (1 / 3 + 0.5))


def test_a_given_number_stays(photos, reading):
    reading(0.5)
    assert workers_of(config_for(photos, workers=1))[0] == 1


def test_the_record_keeps_auto_and_says_what_it_came_to(photos, reading, tmp_path):
    reading(0.5)
    start_training(config_for(photos, out=str(tmp_path / "run")), lambda line: None)
    record = read_json(tmp_path / "run/run.json")
    assert record["config"]["workers"] == "auto"
    assert record["resolved"]["workers"] == 0
