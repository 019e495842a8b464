"""A run that is stopped at any moment and goes on ends with the weights of one that was not, bit for bit."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spectralvision.cli import main
from spectralvision.recipes.classification import Classification
from spectralvision.runs import Stopped
from spectralvision.tasks import classification as task
from spectralvision.tasks.engine import Engine
from spectralvision.tasks.optimisation import Optimisation
from tests.pictures import image_folder
from tests.recipes.test_resume import what_came_out

FIELDS = {"ema": 0.5, "mixup": 0.5, "drop_path": 0.1}
WORDS = [
    "--model", "test_resnet", "--epochs", "4", "--batch-size", "8", "--lr", "1e-3", "--ema", "0.5", "--mixup", "0.5",
    "--checkpoint-minutes", "0",
]  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "photos", 11)  # 27 to train on: the last batch has three


def recipe_of(photos, out, workers=0, **engine):
    return Classification(
        data=str(photos), model="test_resnet", epochs=3, batch_size=8, workers=workers, out=str(out),
        optimisation=Optimisation(lr=1e-3, **FIELDS), engine=Engine(**engine),
    )  # fmt: skip


def equal(run, other):
    (weights, checkpoint, rows), (weights2, checkpoint2, rows2) = what_came_out(run), what_came_out(other)
    assert all(torch.equal(weights[name], weights2[name]) for name in weights)
    assert rows == rows2
    for key in ("state_dict", "current_model_state"):
        assert all(torch.equal(value, checkpoint2[key][name]) for name, value in checkpoint[key].items())
    moments, moments2 = (one["optimizer_states"][0]["state"] for one in (checkpoint, checkpoint2))
    assert all(torch.equal(moments[key]["exp_avg_sq"], moments2[key]["exp_avg_sq"]) for key in moments)


def stopped(recipe, hook, when, **options):
    """Runs a recipe until SIGTERM comes in the call of a step of that number."""
    true, calls = getattr(task.Classifier, hook), []

    def asked():
        calls.append(hook)
        if len(calls) == when:
            os.kill(os.getpid(), signal.SIGTERM)

    def training_step(module, batch, batch_idx):
        asked()
        return true(module, batch, batch_idx)

    def validation_step(module, batch):
        asked()
        return true(module, batch)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task.Classifier, hook, {"training_step": training_step}.get(hook, validation_step))
        with pytest.raises(Stopped, match=r"--resume .* goes on"):
            recipe.run(lambda line: None, **options)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    recipe = recipe_of(photos, tmp_path_factory.mktemp("runs") / "whole")
    recipe.run(lambda line: None)
    return recipe


@pytest.mark.parametrize(
    ("hook", "when"),
    [("training_step", 1), ("training_step", 2), ("training_step", 4), ("training_step", 7), ("validation_step", 2)],
)
def test_sigterm_ends_the_step_and_the_rest_is_the_same(photos, whole, tmp_path, hook, when):
    run = tmp_path / "run"
    stopped(replace(whole, out=str(run)), hook, when)
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "interrupted"
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == (when if hook == "training_step" else 8)  # not a step was lost
    Classification.of_run(run).run(lambda line: None, resume=run)
    equal(Path(whole.out), run)


@pytest.mark.parametrize("when", [3, 6])
def test_with_readers_and_portions(photos, tmp_path, when):
    """Readers fetch ahead, and a checkpoint comes between updates only."""
    first, run = recipe_of(photos, tmp_path / "whole", 2, accumulate=2), tmp_path / "run"
    first.run(lambda line: None)
    stopped(replace(first, out=str(run)), "training_step", when)
    Classification.of_run(run).run(lambda line: None, resume=run)
    equal(tmp_path / "whole", run)


def test_a_checkpoint_cut_short_by_a_power_cut_does_no_harm(photos, whole, tmp_path):
    run = tmp_path / "run"
    stopped(replace(whole, out=str(run)), "training_step", 6)
    last = run / "checkpoints" / "last.ckpt"
    beside = last.with_name(".last.ckpt.abcd1234")  # as the write that the power cut ended has left it
    beside.write_bytes(last.read_bytes()[:1000])
    Classification.of_run(run).run(lambda line: None, resume=run)
    equal(Path(whole.out), run)
    assert not list(run.rglob(".*"))


def test_the_command_says_so_and_exits_with_143(photos, tmp_path, monkeypatch, capsys):
    true = task.Classifier.training_step

    def step(module, batch, batch_idx):
        os.kill(os.getpid(), signal.SIGTERM)
        return true(module, batch, batch_idx)

    monkeypatch.setattr(task.Classifier, "training_step", step)
    run = tmp_path / "run"
    assert main(["train", "--data", str(photos), "--out", str(run), *WORDS]) == 143
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last == f"spectralvision: stopped by SIGTERM; `spectralvision train --resume {run}` goes on"


def command(*words):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "spectralvision.cli", "train", *map(str, words)]
    return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def succeed(*words):
    process = command(*words)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def underway(process, run):
    """Waits until a run has something to go on from."""
    while not (run / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def children(process):
    """Ids of the processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.slow
def test_a_reader_that_dies_ends_it_with_a_sentence(photos, tmp_path):
    run = tmp_path / "run"
    process = command("--data", photos, *WORDS, "--epochs", "500", "--workers", "1", "--out", run)
    underway(process, run)
    time.sleep(1.0)
    for reader in children(process):
        os.kill(reader, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    last = said.strip().splitlines()[-1]
    assert "error: a process that reads images has died, often for want of memory: fewer --workers may help; " in last
    assert last.endswith(f"`spectralvision train --resume {run}` goes on.")
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_killed_five_times(photos, tmp_path, seed):
    """SIGKILL and SIGTERM in turn, each some moments after training has gone on."""
    whole, run, draw = tmp_path / "whole", tmp_path / "run", random.Random(seed)
    words = ["--data", photos, *WORDS, "--epochs", 20, "--workers", seed % 2]
    succeed(*words, "--out", whole)
    hits = 0
    while hits < 5:
        process = command("--resume", run) if run.exists() else command(*words, "--out", run)
        before = _written(run)
        while process.poll() is None and _written(run) == before:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.15))
        kind = (signal.SIGKILL, signal.SIGTERM)[(hits + seed // 2) % 2]
        process.send_signal(kind)
        _, said = process.communicate(timeout=120)
        if process.returncode == 0:  # it had come to its end before: once more
            shutil.rmtree(run)
            continue
        assert process.returncode == (-9 if kind == signal.SIGKILL else 143), said
        if kind == signal.SIGTERM:  # a reader may tell, by a traceback, of a process that was killed while it listened
            assert "Traceback" not in said
        hits += 1
    succeed("--resume", run)
    equal(whole, run)


def _written(run):
    path = run / "checkpoints" / "last.ckpt"
    return path.stat().st_mtime_ns if path.exists() else 0
