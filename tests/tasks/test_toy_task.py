"""A task that the package does not know goes through all verbs once it is registered."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from spectralvision.cli import main
from spectralvision.commands.describe_options import describe_tasks
from spectralvision.runs import UserError
from spectralvision.tasks import registry
from tests.helpers.html_page import Page
from tests.helpers.pictures import image_folder
from tests.helpers.toy_task import MeanColorTask

ROOT = Path(__file__).parents[2]
WORDS = ["--epochs", "3", "--batch-size", "8", "--lr", "1e-2", "--workers", "0", "--device", "cpu"]
COMPUTE = ["--workers", "0", "--device", "cpu"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "photos", 11)


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Register the task for this file only."""
    registry.register_task(MeanColorTask.name, MeanColorTask)
    yield
    del registry.TASKS[MeanColorTask.name]


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "toy"
    assert main(["train", "mean-color", "--data", str(photos), "--out", str(run), *WORDS]) == 0
    return run


def call(capsys, *words):
    """Return exit code, standard output and standard error of the command."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


def test_the_run_names_its_task(run):
    record = json.loads((run / "run.json").read_text())
    assert (record["task"], record["recipe"], record["status"]) == (
        "mean-color",
        "mean-color",
        "finished",
    )
    assert "spectralvision" not in json.dumps({**record, "versions": None})  # no module to import
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 3
    errors = [float(row["val_error"]) for row in rows]
    assert record["results"]["val_error"] == pytest.approx(min(errors))
    assert record["results"]["best_epoch"] == 1 + errors.index(min(errors))


def test_the_report_has_the_sections_of_the_task(run):
    page = Page((run / "report.html").read_text())
    headings = [one.text for one in page.root.all("h2")]
    assert "Colors" in headings
    assert page.root.one("h1").text == "Mean color"


def test_evaluate(run, photos, capsys):
    words = ["evaluate", "--model", run, "--data", photos, "--split", "val", *COMPUTE]
    code, out, _ = call(capsys, *words, "--json")
    result = json.loads(out)
    assert code == 0
    assert result["images"] == 6
    assert result["seen_in_training"] == "val"
    best = json.loads((run / "run.json").read_text())["results"]["val_error"]
    assert result["error"] == pytest.approx(best, rel=1e-4)
    assert call(capsys, *words)[1].splitlines()[0].split() == ["error", f"{best:.4g}"]


def test_predict_to_a_table_and_to_a_file(run, photos, tmp_path, capsys):
    words = ["predict", photos, "--model", run, *COMPUTE]
    code, out, _ = call(capsys, *words, "--csv", "--percent")
    head, *rows = csv.reader(out.splitlines())
    assert code == 0
    assert head == ["image", "score_red", "score_green", "score_blue"]
    assert len(rows) == 33
    assert call(capsys, *words, "--out", tmp_path / "colors.parquet")[0] == 0
    table = pq.read_table(tmp_path / "colors.parquet").to_pylist()
    for row, line in zip(table, rows, strict=True):
        assert row["image"] == line[0]
        assert 100 * row["score_red"] == pytest.approx(float(line[1]), abs=1e-3)
    code, _, err = call(capsys, *words, "--top-k", "2")
    assert code == 2
    assert "--top-k" in err


def test_predict_on_a_data_set_without_labels_as_text(run, photos, tmp_path, capsys):
    """The annotations of this task do not fit into a cell."""
    words = ["predict", "--data", photos, "--model", run, *COMPUTE]
    code, out, _ = call(capsys, *words, "--num-images", "2")
    head, *rows = [line.split() for line in out.splitlines()]
    assert code == 0
    assert head == ["image", "label", "score_red", "score_green", "score_blue"]
    assert [len(row) for row in rows] == [4, 4]
    assert all(abs(float(cell)) < 100 for row in rows for cell in row[1:])
    assert call(capsys, *words, "--out", tmp_path / "colors.parquet")[0] == 0
    table = pq.read_table(tmp_path / "colors.parquet")
    assert table["label"].null_count == table.num_rows > 0


def test_push_rejects_it(run, tmp_path, capsys):
    code, _, err = call(capsys, "push", run, tmp_path / "pushed")
    assert code == 2
    assert "is for the task mean-color, which has no card." in err
    assert not (tmp_path / "pushed").exists()


def test_stored_help_has_the_options_of_the_task():
    stored = describe_tasks()["train"]["mean-color"]
    names = {row[0] for row in stored["rows"]}
    assert stored["like"] == ""
    assert {"brightness", "epochs", "lr"} <= names
    assert not names & {"label_maps", "mixup", "teacher"}


def test_help_has_the_options_of_the_task(capsys):
    code, out, _ = call(capsys, "train", "mean-color", "--help")
    assert code == 0
    assert "--brightness" in out
    assert "--label-maps" not in out


def test_recipes_and_runs_of_unknown_tasks_are_rejected(run, tmp_path, capsys):
    code, _, err = call(capsys, "train", "mean-colour", "--data", "digits")
    assert code == 2
    assert "mean-colour is not a recipe: did you mean mean-color?" in err
    other = tmp_path / "other"
    other.mkdir()
    (other / "run.json").write_text(json.dumps({"task": "os:system"}))
    with pytest.raises(UserError, match="os:system is not a task"):
        registry.task_of(str(other))
    with pytest.raises(ValueError, match="registered already"):
        registry.register_task("classification", MeanColorTask)


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_weights(run, photos, tmp_path):
    """In processes of their own, which register the task themselves."""
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "tests.helpers.toy_task", "train"]
    words = ["mean-color", "--data", photos, "--out", killed, *WORDS, "--checkpoint-minutes", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, *map(str, words)], env=environment, cwd=ROOT)
    checkpoint = killed / "checkpoints" / "last.ckpt"
    while not checkpoint.exists() or _updates(checkpoint) < 4:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert json.loads((killed / "run.json").read_text())["status"] == "running"
    done = subprocess.run(
        [*command, "--resume", str(killed)], env=environment, cwd=ROOT, check=True,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "epoch 3/3" in done.stderr
    first, second = load_file(run / "model.safetensors"), load_file(killed / "model.safetensors")
    assert first
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def _updates(checkpoint):
    return torch.load(checkpoint, weights_only=True)["position"]["updates"]
