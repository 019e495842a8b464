"""A run that is stopped at any moment and resumed equals one that was not, bit for bit."""

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
from spectralvision.engine.checkpoints import StopRequest
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.engine.trainer_config import TrainerConfig
from spectralvision.runs import SigtermInterrupt
from spectralvision.tasks.classification.config import ClassificationConfig, LossConfig
from spectralvision.tasks.classification.module import Classifier
from spectralvision.tasks.start_training import start_training
from spectralvision.tasks.training_run import read_config
from tests.helpers.pictures import image_folder
from tests.helpers.training import read_results

OPTIMIZER = OptimizerConfig(lr=1e-3, ema=0.5, drop_path=0.1)
LOSS = LossConfig(mixup=0.5)
WORDS = [
    "--model", "test_resnet", "--epochs", "4", "--batch-size", "8", "--lr", "1e-3",
    "--ema", "0.5", "--mixup", "0.5",
    "--checkpoint-minutes", "0",
]  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(
        tmp_path_factory.mktemp("data") / "photos", 11
    )  # 27 to train on: the last batch has three


def config_for(photos, out, workers=0, **trainer):
    return ClassificationConfig(
        data=str(photos),
        model="test_resnet",
        epochs=3,
        batch_size=8,
        workers=workers,
        out=str(out),
        optimizer=OPTIMIZER,
        loss=LOSS,
        trainer=TrainerConfig(**trainer),
    )


def train(config, resume=None):
    start_training(config, lambda line: None, resume=resume)


def assert_equal(run, other):
    """Best weights, last weights, average, moments of the optimizer and metrics are equal."""
    weights, checkpoint, rows = read_results(run)
    weights2, checkpoint2, rows2 = read_results(other)
    assert rows
    assert rows == rows2
    states = [(weights, weights2)]
    states += [(checkpoint[key], checkpoint2[key]) for key in ("model", "average")]
    for state, state2 in states:
        assert state
        assert state.keys() == state2.keys()
        assert all(torch.equal(value, state2[name]) for name, value in state.items())
    moments = checkpoint["optimizer"]["state"]
    moments2 = checkpoint2["optimizer"]["state"]
    assert moments
    assert all(
        torch.equal(moments[key]["exp_avg_sq"], moments2[key]["exp_avg_sq"]) for key in moments
    )


def is_training():
    """Return whether the loop waits for SIGTERM; trial steps come before."""
    handler = signal.getsignal(signal.SIGTERM)
    return isinstance(getattr(handler, "__self__", None), StopRequest)


def stop_by_sigterm(config, step, when, resume=None):
    """Train until SIGTERM comes in the call number `when` of a step of the classifier."""
    original = getattr(Classifier, step)
    before = signal.getsignal(signal.SIGTERM)
    calls = []

    def interrupted(module, *arguments):
        if is_training():
            calls.append(step)
        if len(calls) == when:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(module, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Classifier, step, interrupted)
        with pytest.raises(SigtermInterrupt, match=r"--resume .* resumes it"):
            train(config, resume)
    assert len(calls) >= when  # an accumulation step completes its batch
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    config = config_for(photos, tmp_path_factory.mktemp("runs") / "whole")
    train(config)
    return config


@pytest.mark.parametrize(
    ("step", "when"),
    [
        ("training_step", 1),
        ("training_step", 2),
        ("training_step", 4),
        ("training_step", 7),
        ("eval_step", 2),
    ],
)
def test_sigterm_ends_the_step_and_the_rest_is_the_same(photos, whole, tmp_path, step, when):
    run = tmp_path / "run"
    stop_by_sigterm(replace(whole, out=str(run)), step, when)
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "interrupted"
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    updates = when if step == "training_step" else 8
    assert saved["position"]["updates"] == updates  # no step was lost
    train(read_config(run), resume=run)
    assert_equal(Path(whole.out), run)


@pytest.mark.parametrize("when", [3, 6])
def test_with_workers_and_accumulation(photos, tmp_path, when):
    """Workers fetch ahead, and a checkpoint is written between updates only."""
    first = config_for(photos, tmp_path / "whole", 2, accumulate=2)
    run = tmp_path / "run"
    train(first)
    stop_by_sigterm(replace(first, out=str(run)), "training_step", when)
    train(read_config(run), resume=run)
    assert_equal(tmp_path / "whole", run)


def test_a_checkpoint_truncated_by_a_power_cut_does_no_harm(photos, whole, tmp_path):
    run = tmp_path / "run"
    stop_by_sigterm(replace(whole, out=str(run)), "training_step", 6)
    last = run / "checkpoints" / "last.ckpt"
    temporary = last.with_name(".last.ckpt.abcd1234")  # as an unfinished write leaves it
    temporary.write_bytes(last.read_bytes()[:1000])
    train(read_config(run), resume=run)
    assert_equal(Path(whole.out), run)
    assert not list(run.rglob(".*"))


def test_the_command_says_so_and_exits_with_143(photos, tmp_path, monkeypatch, capsys):
    original = Classifier.training_step

    def step(module, batch, step):
        if is_training():
            os.kill(os.getpid(), signal.SIGTERM)
        return original(module, batch, step)

    monkeypatch.setattr(Classifier, "training_step", step)
    run = tmp_path / "run"
    assert main(["train", "--data", str(photos), "--out", str(run), *WORDS]) == 143
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last == (
        f"spectralvision: stopped by SIGTERM; `spectralvision train --resume {run}` resumes it"
    )


def command(*words):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "spectralvision.cli", "train", *map(str, words)]
    return subprocess.Popen(
        line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


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
    """Return the ids of the processes that a process has started."""
    return [
        int(word)
        for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]


def spawned(process):
    """Return the ids of the ranks of a job, in order, without its resource tracker."""
    lines = {child: Path(f"/proc/{child}/cmdline").read_text() for child in children(process)}
    return sorted(child for child, line in lines.items() if "spawn_main" in line)


@pytest.mark.slow
def test_a_worker_that_dies_ends_it_with_a_sentence(photos, tmp_path):
    run = tmp_path / "run"
    process = command("--data", photos, *WORDS, "--epochs", "500", "--workers", "1", "--out", run)
    underway(process, run)
    time.sleep(1.0)
    for reader in children(process):
        os.kill(reader, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    last = said.strip().splitlines()[-1]
    assert (
        "error: a data-loading worker has died, often because memory ran out: try fewer --workers; "
        in last
    )
    assert last.endswith(f"`spectralvision train --resume {run}` resumes it.")
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
        if (
            kind == signal.SIGTERM
        ):  # a reader may tell, by a traceback, of a process that was killed while it listened
            assert "Traceback" not in said
        hits += 1
    succeed("--resume", run)
    assert_equal(whole, run)


def _written(run):
    path = run / "checkpoints" / "last.ckpt"
    return path.stat().st_mtime_ns if path.exists() else 0
