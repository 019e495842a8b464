"""Loggers, compilation and strategies of training, and the time that it waits for data."""

import re
import time
from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader

from spectralvision.data.open_data import open_data
from spectralvision.engine.devices import Device, build_fabric
from spectralvision.engine.fit import fit
from spectralvision.engine.model_io import load_model, save_model
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.engine.pace import Pace
from spectralvision.engine.train_module import FitConfig
from spectralvision.engine.trainer_config import TrainerConfig
from spectralvision.runs import UserError
from spectralvision.tasks import messages
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.classification.task import ClassificationTask
from tests.helpers.classifiers import batches, classifier
from tests.helpers.marks import needs_compiler
from tests.helpers.pictures import image_folder

CPU = Device("cpu", "32-true")


def train(run, trainer=None, loader=None, device=CPU, module=None, **optimizer):
    """Train a small classifier for two epochs; return the loop and the saved weights."""
    run.mkdir()
    module = module or classifier()
    config = FitConfig(
        epochs=2,
        optimizer=OptimizerConfig(**{"lr": 0.01, "warmup_epochs": 0, **optimizer}),
        trainer=(trainer or TrainerConfig()).resolve(),
        device=device,
        monitor=ClassificationTask.monitor,
        save=save_model,
    )
    loop = fit(module, loader or batches(), batches(), run, config, lambda line: None)
    return loop, load_model(str(run)).state_dict()


@needs_compiler
def test_a_compiled_model_is_saved_like_any_other(tmp_path):
    """Its average, which is a copy of it, too."""
    _, plain = train(tmp_path / "plain", ema=0.5, opt="sgd")
    _, compiled = train(tmp_path / "compiled", TrainerConfig(compile=True), ema=0.5, opt="sgd")
    assert plain
    assert plain.keys() == compiled.keys()
    assert all(torch.allclose(plain[name], compiled[name], atol=1e-4) for name in plain)
    path = tmp_path / "compiled" / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)["model"]
    assert state.keys() == plain.keys()


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16-mixed", torch.bfloat16), ("32-true", torch.float32)]
)
def test_the_precision_is_that_of_training_and_of_validation(tmp_path, precision, dtype):
    module = classifier()
    seen = set()
    module.model.register_forward_hook(
        lambda model, inputs, logits: seen.add((model.training, logits.dtype))
    )
    train(tmp_path / "run", device=Device("cpu", precision), module=module)
    assert seen == {(True, dtype), (False, dtype)}


@pytest.mark.parametrize(
    ("name", "pattern"), [("tensorboard", "events.out.*"), ("CSVLogger", "metrics.csv")]
)
def test_loggers_write_into_the_run(tmp_path, name, pattern):
    loop, _ = train(tmp_path / "run", TrainerConfig(logger=name))
    logs = [path for path in (tmp_path / "run").rglob(pattern) if path.parent != tmp_path / "run"]
    assert len(logs) == 1
    if name == "CSVLogger":
        head = logs[0].read_text().splitlines()[0].split(",")
        assert {"loss", "val_top1", "train_loss"} <= set(head)
    assert len(loop.state.log.rows) == 2


def test_a_logger_that_does_not_exist_is_rejected(tmp_path):
    with pytest.raises(UserError, match="--logger tensorbord is not a logger of Lightning"):
        TrainerConfig(logger="tensorbord").check()
    with pytest.raises(UserError, match="--logger NoSuchLogger is not a logger of Lightning"):
        train(tmp_path / "run", TrainerConfig(logger="NoSuchLogger"))


class SlowLoader(DataLoader):
    def __iter__(self):
        for batch in super().__iter__():
            time.sleep(0.05)
            yield batch


def test_the_wait_for_data_is_measured(tmp_path):
    waits = {}
    for name, kind in (("slow", SlowLoader), ("fast", DataLoader)):
        loop, _ = train(tmp_path / name, loader=kind(batches(24).dataset, batch_size=4))
        waits[name] = loop.pace.data_wait()
        assert loop.state.log.rows[-1]["data_wait"] == pytest.approx(waits[name], abs=1e-3)
        if name == "slow":
            assert loop.pace.waiting_seconds >= 12 * 0.05
    assert 0 <= waits["fast"] < waits["slow"] <= 1


def test_on_an_accelerator_some_batches_are_measured_for_all(monkeypatch):
    clock = iter([0.0, 10.0, 11.0, 20.0])
    waits = []
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: waits.append(1))
    pace = Pace("cuda")
    pace.every = 2
    monkeypatch.setattr("spectralvision.engine.pace.time.monotonic", lambda: next(clock))
    batches = pace.time_batches([1, 2])
    assert next(batches) == 1  # at 0.0, not measured
    assert next(batches) == 2  # waited from 10.0 to 11.0
    assert (pace.waiting_seconds, waits) == (2.0, [1])


@pytest.mark.parametrize(
    ("fraction", "workers", "accelerator", "words"),
    [
        (0.05, 0, "cuda", None),
        (0.3, 0, "cuda", "30% .* --workers 8 loads them in the background"),
        (0.3, 0, "cpu", "smaller files or a GPU help"),
        (0.7, 0, "cpu", "--workers 8 loads them in the background"),
        (0.3, 2, "cpu", "smaller files or a GPU help"),
        (0.3, 2, "cuda", r"more --workers help \(now 2, with 8 cores per device\)"),
        (
            0.3,
            8,
            "cuda",
            r"smaller files help \(96 pixels on the shorter side, but the model takes 32\)",
        ),
    ],
)
def test_advice_where_training_waits(tmp_path, monkeypatch, fraction, workers, accelerator, words):
    monkeypatch.setattr(messages, "count_cores", lambda: 8)
    monkeypatch.setattr(messages, "estimate_median_side", lambda images: 96)
    data = open_data(str(image_folder(tmp_path / "photos", 2)))
    data = replace(data, splits={"train": data.splits["all"]})
    config = ClassificationConfig(data="photos", input_size=32, trainer=TrainerConfig().resolve())
    device = Device(accelerator, "32-true")
    advice = messages.advise_on_data_wait(fraction, config, data, workers, device)
    if words is None:
        assert advice is None
    else:
        assert re.search(words, advice), advice


def test_one_process_has_no_parallel_strategy():
    assert type(build_fabric(CPU).strategy).__name__ == "SingleDeviceStrategy"


def test_torchrun_says_how_many(monkeypatch):
    assert TrainerConfig().resolve().parts_per_batch == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("WORLD_SIZE", "8")
    trainer = TrainerConfig(accumulate=3).resolve()
    assert (trainer.devices, trainer.num_nodes) == (4, 2)
    assert (trainer.world_size, trainer.parts_per_batch) == (8, 24)


def test_fsdp2_and_an_average_exclude_each_other(tmp_path):
    with pytest.raises(UserError, match="--ema does not work with --strategy fsdp2"):
        train(tmp_path / "run", TrainerConfig(strategy="fsdp2"), ema=0.9)


def test_batch_norms_over_gpus_need_gpus(tmp_path):
    with pytest.raises(UserError, match="--sync-batchnorm works on GPUs only"):
        train(tmp_path / "run", TrainerConfig(devices=2, sync_batchnorm=True))
