"""Runs that end early, or whose last writes fail: one sentence, and resuming finishes them."""

import errno
import json
import os
import re
import shutil
import signal
import tempfile

import pytest

from spectralvision.cli import main
from spectralvision.engine.lock import lock
from spectralvision.runs import UserError
from spectralvision.tasks.classification.module import Classifier
from spectralvision.tasks.training_run import read_config
from tests.engine.test_stopping import is_training
from tests.helpers.pictures import COLOURS, image_folder
from tests.helpers.training import interrupted_at

WORDS = ["--model", "test_resnet", "--epochs", "2", "--batch-size", "8", "--workers", "0"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "photos", 6)  # 14 to train on


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    assert train("--data", photos, *WORDS, "--out", run) == 0
    return run


def train(*words):
    return main(["train", *map(str, words)])


def record_of(run):
    return json.loads((run / "run.json").read_text())


def fail_to_write(patch, name, number, at=1):
    """Fail from the write number `at` of files whose name matches."""
    calls = []

    def failing(make):
        def call(*args, dir, prefix, **options):
            calls.extend([prefix] * bool(re.fullmatch(rf"\.({name})\.", prefix)))
            if len(calls) >= at and calls[-1] == prefix:
                raise OSError(number, os.strerror(number), f"{dir}/{prefix[1:-1]}")
            return make(*args, dir=dir, prefix=prefix, **options)

        return call

    patch.setattr(tempfile, "mkstemp", failing(tempfile.mkstemp))
    patch.setattr(tempfile, "mkdtemp", failing(tempfile.mkdtemp))


WRITES = {
    "first write of run.json": (r"run\.json", 1),
    "last write of run.json": (r"run\.json", 2),
    "first checkpoint": (r"last\.ckpt", 1),
    "last checkpoint": (r"last\.ckpt", 3),
    "metrics": (r"metrics\.csv", 2),
    "weights": ("writing", 1),
    "report": (r"report\.html", 1),
}
ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EROFS: "permission to read or write is missing",
    errno.EMFILE: "too many files are open",
}
CASES = [
    (where, number)
    for turn, where in enumerate(WRITES)
    for number in (list(ERRORS) * 2)[turn % 3 : turn % 3 + 2]
]


@pytest.mark.parametrize(("where", "number"), CASES)
def test_a_write_that_fails_is_one_sentence(where, number, photos, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    name, at = WRITES[where]
    with monkeypatch.context() as patch:
        fail_to_write(patch, name, number, at)
        assert train("--data", photos, *WORDS, "--out", run) == 2
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert out == ""
    assert "Traceback" not in err
    assert re.match(rf"spectralvision: error: {ERRORS[number]} \(.*\).*; .*\.$", last), last
    assert last.count("--resume") <= 1
    assert not list(tmp_path.rglob(".*"))

    # Without the cause the run can be completed
    has_checkpoint = (run / "checkpoints" / "last.ckpt").exists()
    assert has_checkpoint == (where not in ("first write of run.json", "first checkpoint"))
    assert has_checkpoint == (f"`spectralvision train --resume {run}`" in last)
    if has_checkpoint:
        assert train("--resume", run) == 0
    else:
        assert where == "first checkpoint" or not list(run.iterdir())
        words = ["--data", photos, *WORDS, "--out", tmp_path / "new"]
        assert train(*words) == 0
        run = tmp_path / "new"
    assert record_of(run)["status"] == "finished"
    assert (run / "report.html").exists()


def test_a_run_whose_folder_is_deleted_ends_with_a_sentence(photos, tmp_path, monkeypatch, capsys):
    run, original = tmp_path / "run", Classifier.training_step

    def step(module, batch, step):
        if step.update == 3:
            shutil.rmtree(run, ignore_errors=True)
        return original(module, batch, step)

    monkeypatch.setattr(Classifier, "training_step", step)
    assert train("--data", photos, *WORDS, "--out", run) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "a file or folder was moved or deleted" in err
    assert err.endswith(f"{run} does not exist any more.\n")
    assert not run.exists()


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_a_run_killed_after_its_last_checkpoint_is_finished(status, finished, tmp_path, capsys):
    """Before it is recorded as finished; a temporary file of the kill is removed."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    record = record_of(run)
    results = record.pop("results")
    (run / "run.json").write_text(json.dumps(record | {"status": status}))
    (run / "report.html").unlink()
    (run / ".report.html.a1b2c3d4").write_text("half")
    assert train("--resume", run) == 0
    capsys.readouterr()
    clock = {"seconds": 0, "data_wait": 0, "run": ""}
    assert record_of(run)["status"] == "finished"
    assert record_of(run)["results"] | clock == results | clock
    assert (run / "report.html").exists()
    assert not list(run.rglob(".*"))


def test_a_finished_run_without_its_report_gets_it(finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for name in ("report.html", "classes.csv", "confusions.csv"):
        (run / name).unlink()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    assert train("--resume", run, "--json") == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(run / "report.html")
    assert "<html" in (run / "report.html").read_text()
    assert len((run / "classes.csv").read_text().splitlines()) == 1 + len(COLOURS)
    assert before
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert train("--resume", run) == 2
    assert "is finished" in capsys.readouterr().err


def test_a_stopped_run_gets_its_report(photos, tmp_path, capsys):
    run = tmp_path / "run"
    with interrupted_at(Classifier, 3):
        assert train("--data", photos, *WORDS, "--out", run) == 130
    stopped = "Training was stopped before its last epoch."
    assert stopped in (run / "report.html").read_text()
    assert capsys.readouterr().err.endswith(f"`spectralvision train --resume {run}` resumes it\n")
    assert train("--resume", run) == 0
    assert stopped not in (run / "report.html").read_text()


def test_a_run_stopped_before_its_first_epoch_has_nothing_to_report(photos, tmp_path):
    run = tmp_path / "run"
    with interrupted_at(Classifier, 1):
        assert train("--data", photos, *WORDS, "--out", run) == 130
    assert not (run / "report.html").exists()


def test_sigterm_before_training_writes_nothing(photos, tmp_path, monkeypatch, capsys):
    original = Classifier.training_step

    def step(module, batch, step):
        assert not is_training()
        os.kill(os.getpid(), signal.SIGTERM)
        return original(module, batch, step)

    monkeypatch.setattr(Classifier, "training_step", step)
    assert train("--data", photos, *WORDS, "--out", tmp_path / "run") == 143
    assert capsys.readouterr().err.endswith("spectralvision: stopped by SIGTERM\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["run", "folds", "folds/fold-1"])
def test_a_second_process_is_rejected(name, photos, tmp_path, capsys):
    folds = [] if name == "run" else ["--folds", "2"]
    out = tmp_path / name.split("/")[0]
    with interrupted_at(Classifier, 1):
        assert train("--data", photos, *WORDS, *folds, "--out", out) == 130
    capsys.readouterr()
    before = {path: path.read_bytes() for path in out.rglob("*/*.ckpt")}
    with lock(tmp_path / name, "the run"):
        assert train("--resume", out) == 2
    assert f"another process is writing {tmp_path / name}: wait" in capsys.readouterr().err
    assert before
    assert before == {path: path.read_bytes() for path in out.rglob("*/*.ckpt")}
    assert train("--resume", out) == 0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("epochs",), "many"),
        (("epochs",), 2.5),
        (("epochs",), True),
        (("epochs",), 0),
        (("model",), 3),
        (("device",), "tpu"),
        (("optimizer", "lr"), "fast"),
        (("optimizer",), {"unknown": 1}),
        (("optimizer",), None),
    ],
)
def test_settings_of_another_type_or_range_are_rejected(finished, tmp_path, path, value):
    record = record_of(finished)
    *groups, name = path
    target = record["config"]
    for group in groups:
        target = target[group]
    target[name] = value
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError) as error:
        read_config(tmp_path)
    assert name in str(error.value) or "settings of this version" in str(error.value)
    assert "\n" not in str(error.value)
