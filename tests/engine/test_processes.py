"""Two processes train what one does, evaluate each image once, and end clearly when one is lost."""

import csv
import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from spectralvision.cli import main
from spectralvision.engine.processes import launch
from spectralvision.runs import UserError
from tests.engine.test_stopping import command, spawned, succeed, underway
from tests.helpers.pictures import image_folder

COMMON = [
    "--model", "test_vit", "--epochs", "2", "--batch-size", "8", "--opt", "sgd", "--lr", "0.05",
    "--device", "cpu",
    "--workers", "0", "--min-scale", "0.9", "--input-size", "64",
]  # fmt: skip
MIXED = ["--mixup", "0.5", "--ema", "0.5"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Uneven classes, so that the loss has weights; 7 images to validate on, 29 to train on."""
    root = tmp_path_factory.mktemp("data") / "photos"
    image_folder(root, 25, classes=("blue",))
    image_folder(root, 6, classes=("green",))
    return image_folder(root, 5, classes=("red",))


@pytest.fixture(scope="module")
def alone(photos, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "alone"
    assert main(["train", "--data", str(photos), *COMMON, *MIXED, "--out", str(run)]) == 0
    return run


def rows_of(run):
    return list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))


def test_accumulation_gives_the_same_result(photos, alone, tmp_path):
    run = tmp_path / "run"
    words = ["--data", str(photos), *COMMON, *MIXED, "--accumulate", "2", "--out", str(run)]
    assert main(["train", *words]) == 0
    assert_same(alone, run)


def test_two_processes_give_the_same_result(photos, alone, tmp_path):
    run = tmp_path / "run"
    said = succeed("--data", photos, *COMMON, *MIXED, "--devices", "2", "--out", run)
    assert_same(alone, run)
    assert said.count("data   photos") == 1
    assert "2 processes" in said
    assert (run / "report.html").exists()


def assert_same(alone, run):
    """Weights and metrics are equal but for the order of sums; images count once."""
    first, second = load_file(alone / "model.safetensors"), load_file(run / "model.safetensors")
    assert max((first[name] - second[name]).abs().max() for name in first) < 1e-5
    for one, two in zip(rows_of(alone), rows_of(run), strict=True):
        for name in ("train_top1", "train_loss", "val_top1", "val_loss", "lr", "step"):
            assert float(one[name]) == pytest.approx(float(two[name]), rel=1e-4), name
    assert all(round(7 * float(row["val_top1"]), 4).is_integer() for row in rows_of(run))


def test_two_processes_evaluate_each_image_once(photos, alone):
    words = [
        "--model",
        str(alone),
        "--data",
        str(photos),
        "--batch-size",
        "3",
        "--device",
        "cpu",
        "--workers",
        "0",
    ]
    line = [sys.executable, "-m", "spectralvision.cli", "evaluate", *words, "--per-class", "--json"]
    first, second = (
        json.loads(
            subprocess.run([*line, "--devices", devices], check=True, capture_output=True).stdout
        )
        for devices in ("1", "2")
    )
    assert first["images"] == second["images"] == 7
    assert first["per_class"] == second["per_class"]
    for name in ("top1", "loss", "calibration_error"):
        assert first[name] == pytest.approx(second[name], rel=1e-4)


@pytest.mark.slow
def test_sigterm_to_one_stops_both_and_they_resume(photos, alone, tmp_path):
    rank = 1
    run = tmp_path / "run"
    process = command(
        "--data",
        photos,
        *COMMON,
        *MIXED,
        "--checkpoint-minutes",
        "0",
        "--devices",
        "2",
        "--out",
        run,
    )
    underway(process, run)
    os.kill(spawned(process)[rank], signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert "stopped by SIGTERM; " in said.strip().splitlines()[-1]
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    succeed("--resume", run)
    assert_same(alone, run)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_lost_process_ends_the_others_with_a_sentence(photos, tmp_path, rank):
    run = tmp_path / "run"
    process = command("--data", photos, *COMMON, "--devices", "2", "--epochs", "500", "--out", run)
    underway(process, run)
    os.kill(spawned(process)[rank], signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    last = said.strip().splitlines()[-1]
    assert last.startswith("spectralvision: error: another process of this training has ended; ")
    assert last.endswith(f"`spectralvision train --resume {run}` resumes it.")
    assert "Traceback" not in said
    torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.slow
def test_under_torchrun(photos, alone, tmp_path):
    """It says how many there are, and starts them all at once."""
    run = tmp_path / "run"
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    words = [
        "-m",
        "spectralvision.cli",
        "train",
        "--data",
        photos,
        *COMMON,
        *MIXED,
        "--out",
        run,
        "--json",
    ]
    done = subprocess.run([*line, *map(str, words)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == str(run)
    assert_same(alone, run)


def large_result(size):
    return ["x"] * size


def failing(kind):
    if os.environ["RANK"] == "1":
        raise {"user": UserError("the value 3 is wrong."), "other": KeyError("bug")}[kind]
    return 1


@pytest.mark.slow
def test_results_and_errors_of_processes_reach_the_caller():
    """A result that is larger than a pipe, an error for the user, and one of ours."""
    assert launch(large_result, 1 << 18, devices=2) == ["x"] * (1 << 18)
    with pytest.raises(UserError, match=r"the value 3 is wrong\."):
        launch(failing, "user", devices=2)
    with pytest.raises(UserError, match=r"process 1 of 2 was lost; the others were stopped\."):
        launch(failing, "other", devices=2)
