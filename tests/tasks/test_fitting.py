"""What training is told: loggers, compilation, portions; and the time that it waits for data."""

import re
import time
from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader

from spectralvision.data.opening import open_data
from spectralvision.recipes import telling
from spectralvision.recipes.classification import Classification
from spectralvision.runs import UserError
from spectralvision.tasks.callbacks import Waiting
from spectralvision.tasks.engine import Engine
from spectralvision.tasks.fitting import fit, trainer_of
from spectralvision.tasks.loading import load_model
from tests.marks import needs_compiler
from tests.pictures import image_folder
from tests.tasks.test_classification import CPU, batches, classifier


def trained(run, engine=None, **fields):
    run.mkdir()
    module = classifier(**fields)
    keep = fit(module, batches(), batches(), run, CPU, print, engine=engine)
    return keep, load_model(str(run)).state_dict()


@needs_compiler
def test_a_compiled_model_is_saved_as_ever(tmp_path):
    """Also its average, which is a copy of it."""
    _, plain = trained(tmp_path / "plain", ema=0.5, opt="sgd")
    _, compiled = trained(tmp_path / "compiled", Engine(compile=True), ema=0.5, opt="sgd")
    assert plain.keys() == compiled.keys()
    assert all(torch.allclose(plain[name], compiled[name], atol=1e-4) for name in plain)
    state = torch.load(tmp_path / "compiled" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert not any("_orig_mod" in name for name in state)


@pytest.mark.parametrize(("name", "pattern"), [("tensorboard", "events.out.*"), ("CSVLogger", "metrics.csv")])
def test_loggers_write_into_the_run(tmp_path, name, pattern):
    keep, _ = trained(tmp_path / "run", Engine(logger=name))
    logs = [path for path in (tmp_path / "run").rglob(pattern) if path.parent != tmp_path / "run"]
    assert len(logs) == 1
    if name == "CSVLogger":
        head = logs[0].read_text().splitlines()[0].split(",")
        assert {"loss", "val_top1", "train_loss"} <= set(head)
    assert len(keep.rows) == 2


@pytest.mark.parametrize("name", ["tensorbord", "NoSuchLogger"])
def test_a_logger_that_does_not_exist_is_refused(tmp_path, name):
    engine = Engine(logger=name)
    refused = engine.check if name == "tensorbord" else lambda: trained(tmp_path / "run", engine)
    with pytest.raises(UserError, match=f"--logger {name} is no logger of Lightning's"):
        refused()


class Slow(DataLoader):
    def __iter__(self):
        for batch in super().__iter__():
            time.sleep(0.05)
            yield batch


def test_the_wait_for_data_is_told(tmp_path):
    for name, kind, low, high in (("slow", Slow, 0.1, 1.0), ("fast", DataLoader, 0.0, 0.5)):
        (tmp_path / name).mkdir()
        module, loader = classifier(), kind(batches(24).dataset, batch_size=4)
        waited = []
        keep = fit(module, loader, batches(), tmp_path / name, CPU, waited.append)
        assert low <= keep.pace.data_wait() <= high
        assert keep.rows[-1]["data_wait"] == pytest.approx(keep.pace.data_wait(), abs=1e-3)
    assert keep.pace.trainer.profiler.seconds > 0


def test_some_batches_stand_for_the_others(monkeypatch):
    clock = iter([0.0, 10.0, 11.0])
    waits = []
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: waits.append(1))
    waiting = Waiting(every=2)
    monkeypatch.setattr("spectralvision.tasks.callbacks.time.monotonic", lambda: next(clock))
    for action in ("[_TrainingEpochLoop].train_dataloader_next", "[_TrainingEpochLoop].train_dataloader_next"):
        waiting.start("run_training_batch")
        waiting.start(action)
        waiting.stop(action)
    assert (waiting.seconds, waits) == (2.0, [1])


@pytest.mark.parametrize(
    ("share", "workers", "accelerator", "words"),
    [
        (0.05, 0, "cuda", None),
        (0.3, 0, "cuda", "30% .* --workers 8 reads them meanwhile"),
        (0.3, 0, "cpu", "--workers 1 reads them meanwhile"),
        (0.3, 2, "cpu", "smaller files or a GPU help"),
        (0.3, 2, "cuda", r"more --workers help \(now 2, and there are 8 cores for each device\)"),
        (0.3, 8, "cuda", r"smaller files help \(96 pixels on the shorter side, where the model takes 32\)"),
    ],
)
def test_advice_where_training_waits(tmp_path, monkeypatch, share, workers, accelerator, words):
    monkeypatch.setattr("spectralvision.data.loading.num_cores", lambda: 8)
    data = open_data(str(image_folder(tmp_path / "photos", 2)))
    data = replace(data, splits={"train": data.splits["all"]})
    monkeypatch.setattr("spectralvision.data.loading.median_side", lambda images: 96)
    recipe = Classification(data="photos", input_size=32, engine=Engine().resolved())
    said = telling.wait_advice(share, recipe, data, workers, accelerator)
    if words is None:
        assert said is None
    else:
        assert re.search(words, said), said


def test_several_processes_work_by_ddp():
    assert type(trainer_of(CPU, engine=Engine(devices=2)).strategy).__name__ == "DDPStrategy"
    assert type(trainer_of(CPU).strategy).__name__ == "SingleDeviceStrategy"


def test_torchrun_says_how_many(monkeypatch):
    assert Engine().resolved().parts == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("WORLD_SIZE", "8")
    engine = Engine(accumulate=3).resolved()
    assert (engine.devices, engine.num_nodes, engine.processes, engine.parts) == (4, 2, 8, 24)


def test_batch_norms_over_gpus_need_gpus(tmp_path):
    with pytest.raises(UserError, match="--sync-batchnorm works on GPUs only"):
        trained(tmp_path / "run", Engine(devices=2, sync_batchnorm=True))
