"""The number of CPU threads: what is idle, what was asked for, and what a run was started with."""

import json
import os
from pathlib import Path

import pytest
import torch

from spectralvision.data import workers
from spectralvision.engine import threads
from spectralvision.engine.threads import choose_threads, measure_idle_cores
from spectralvision.runs import read_json
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.messages import describe_threads
from spectralvision.tasks.training_run import read_config, train


@pytest.fixture
def machine(monkeypatch):
    """Return a function that pretends that so many of 8 cores are idle."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "count_cores", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    return lambda idle: monkeypatch.setattr(threads, "measure_idle_cores", lambda: idle)


@pytest.mark.parametrize(
    ("idle", "chosen"), [(8.0, 8), (7.6, 8), (5.2, 5), (0.9, 1), (0.0, 1), (None, 8)]
)
def test_a_busy_machine_gets_a_thread_for_each_idle_core(idle, chosen, machine):
    machine(idle)
    assert choose_threads("auto") == chosen


def test_other_wishes_come_first(machine, monkeypatch):
    machine(2.0)
    assert choose_threads(5) == 5
    assert choose_threads("auto", processes=2) == 8  # each has its part of the cores already
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert choose_threads("auto") == 8


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="Linux only")
def test_idle_cores_are_measured():
    idle = measure_idle_cores(0.05)
    assert idle is None or 0 <= idle <= len(os.sched_getaffinity(0)) + 1


def test_ticks_of_the_kernel(monkeypatch):
    """One core is idle throughout, the other for a quarter of the time."""
    ticks = iter([{0: (0, 0), 1: (50, 100)}, {0: (40, 40), 1: (60, 140)}])
    monkeypatch.setattr(threads, "_read_ticks", lambda: next(ticks))
    assert measure_idle_cores(0) == 1.25


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_a_container(files, cores, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert workers._read_quota(tmp_path) == cores


def test_a_resumed_run_uses_the_threads_it_was_started_with(tmp_path, monkeypatch):
    config = ClassificationConfig(
        data="synthetic/24", num_classes=3, model="test_resnet", input_size=32, epochs=1,
        out=str(tmp_path / "run"), device="cpu",
    )  # fmt: skip
    monkeypatch.setattr("spectralvision.tasks.prepare_run.choose_threads", lambda *_: 2)
    before, lines = torch.get_num_threads(), []
    train(config, lines.append)
    assert torch.get_num_threads() == before
    record = read_json(tmp_path / "run" / "run.json")
    assert record["config"]["trainer"]["threads"] == 2
    monkeypatch.undo()
    record["status"] = "interrupted"
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    resumed = read_config(tmp_path / "run")
    assert choose_threads(resumed.trainer.threads) == 2


def test_a_run_says_why_it_uses_fewer_threads():
    (line,) = describe_threads(1, 2, None)
    assert line == (
        "note   computing with 1 thread, because other programs are using the machine: --threads 2 "
        "uses all cores, and is slower while they run"
    )
    assert describe_threads(2, 2, None) == []
    assert describe_threads(3, 2, Path("run")) == [
        "note   computing with 3 threads, as when the run was started"
    ]


def test_idle_cores_are_used_inside_a_block(machine, monkeypatch):
    machine(3.0)
    chosen = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    with pytest.raises(KeyError), threads.idle_threads():
        raise KeyError
    assert chosen == [3, 8]
