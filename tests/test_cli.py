"""The command line: in this process where that proves the same, as a process where it does not."""

import contextlib
import csv
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from spectralvision.cli import main
from spectralvision.tasks.loading import label_titles, load_model
from tests.golden import rule
from tests.pictures import image_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "photos"
    image_folder(root / "train", 10)
    image_folder(root / "test", 3, first=50)
    return root


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "photos-run"
    words = ["train", "--data", photos, "--model", "test_resnet", "--epochs", "12", "--out", out, "--workers", "0"]
    assert main([str(word) for word in words]) == 0
    return out


def call(capsys, *words):
    """(exit code, standard output, standard error) of a verb in this process."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refused(capsys, *words):
    """The one sentence that a verb answers with."""
    code, out, err = call(capsys, *words)
    assert (code, out) == (2, "")
    lines = err.strip().splitlines()
    assert lines[-1].startswith("spectralvision: error: ")
    assert "Traceback" not in err
    return lines[-1]


def process(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "spectralvision.cli", *map(str, words)], capture_output=True, text=True, **options
    )


def test_train_prints_one_json_object_and_nothing_else(photos, tmp_path):
    words = ["train", "classification", "--data", photos, "--model", "test_resnet", "--epochs", "1", "--json"]
    done = process(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["run"] == "runs/photos-test_resnet"
    assert (tmp_path / result["run"] / "model.safetensors").exists()
    assert "data   photos: 3 classes; 24 train, 6 val, 9 test images" in done.stderr
    assert "epoch 1/1  train loss" in done.stderr


def test_train_then_evaluate(run, photos, capsys):
    code, out, _ = call(capsys, "evaluate", "--model", run, "--data", photos)
    assert code == 0
    assert "images  9 (photos, test)" in out
    assert "says nothing with 5 classes or fewer" in out
    code, out, err = call(capsys, "evaluate", "--model", run, "--data", photos, "--split", "train", "--json")
    scores = json.loads(out)
    assert (code, scores["images"], scores["top5"]) == (0, 24, None)  # without those held out in training
    assert scores["top1"] > 0.6, err
    val = json.loads(call(capsys, "evaluate", "--model", run, "--data", photos, "--split", "val", "--json")[1])
    assert val["images"] == 6
    assert val["top1"] == pytest.approx(json.loads((run / "run.json").read_text())["results"]["val_top1"])


def test_evaluate_counts_classes_by_name(run, photos, tmp_path, capsys):
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for colour in ("red", "green"):
        (fewer / colour).symlink_to(photos / "test" / colour)
    scores = json.loads(call(capsys, "evaluate", "--model", run, "--data", fewer, "--json")[1])
    answers = json.loads(call(capsys, "predict", fewer, "--model", run, "--json")[1])["predictions"]
    right = [answer["classes"][0]["class"] in answer["image"] for answer in answers]
    assert scores["top1"] == pytest.approx(sum(right) / 6)
    (fewer / "red").rename(fewer / "crimson")
    assert "1 class that" in refused(capsys, "evaluate", "--model", run, "--data", fewer)


def test_predict_files_folders_and_data(run, photos, capsys):
    code, out, _ = call(capsys, "predict", photos / "test" / "red", photos / "test" / "blue" / "50.png", "--model", run)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["image", "prediction", "prob."]
    assert len(lines) == 5
    words = ["predict", "--model", run, "--data", photos, "--num-images", "4", "--top-k", "3"]
    _, out, _ = call(capsys, *words)
    assert out.splitlines()[0].split() == ["image", "label", "prediction", "prob.", "#2", "prob.", "#3", "prob."]
    answers = json.loads(call(capsys, *words, "--json")[1])["predictions"]
    assert len(answers) == 4
    for answer in answers:
        assert answer["image"].startswith(answer["label"])
        assert sum(pair["probability"] for pair in answer["classes"]) == pytest.approx(1, abs=1e-4)
        probabilities = [pair["probability"] for pair in answer["classes"]]
        assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize(
    "verb", ["models", "train", "evaluate", "predict", "convert", "benchmark", "token-labels", "push"]
)
def test_help(verb, capsys):
    code, out, _ = call(capsys, verb, "--help")
    assert code == 0
    assert f"usage: spectralvision {verb}" in out
    assert "--json" in out
    assert "default" in out


def test_help_of_all(capsys):
    code, out, _ = call(capsys, "--help")
    assert code == 0
    assert all(
        verb in out
        for verb in ("models", "train", "evaluate", "predict", "convert", "benchmark", "token-labels", "push")
    )
    assert call(capsys)[0] == 2
    assert call(capsys, "--version")[1].strip()


def test_models(capsys):
    code, out, _ = call(capsys, "models", "affnet_e*", "--json")
    (row,) = json.loads(out)["models"]
    assert code == 0
    assert (row["name"], row["params"], row["input_size"]) == ("affnet_et", 1_436_264, 256)
    assert row["macs"] > 0.35e9
    assert call(capsys, "models", "affnet")[1].splitlines()[0].startswith("model ")
    _, out, _ = call(capsys, "models", "test_resnet*", "--all")
    assert "test_resnet" in out.splitlines()
    assert "did you mean affnet_t" in refused(capsys, "models", "affnet_tt")


def test_sentences_about_words(run, capsys):
    assert "did you mean train?" in refused(capsys, "trian")
    assert "no option --dta: did you mean --data?" in refused(capsys, "train", "--dta", "x")
    assert "train needs --data" in refused(capsys, "train")
    assert "evaluate needs --model and --data" in refused(capsys, "evaluate")
    assert "a.png" in refused(capsys, "predict", "a.png")
    assert "either image files and folders, or --data" in refused(capsys, "predict", "--model", run)
    assert "did you mean classification" in refused(capsys, "train", "classificatoin", "--data", "digits")
    assert "--epochs" in refused(capsys, "train", "--data", "digits", "--epochs", "many")
    assert "('auto', 'cpu'" in refused(capsys, "train", "--data", "digits", "--device", "tpu")
    assert "does not take 'x'" in refused(capsys, "evaluate", "x", "--model", run, "--data", "digits")


def test_sentences_about_things(run, photos, tmp_path, capsys):
    text = tmp_path / "notes.png"
    text.write_text("no image")
    assert "notes.png is not an image" in refused(capsys, "predict", text, "--model", run)
    assert "(nor can the other 1)" in refused(capsys, "predict", text, text, "--model", run)
    assert "nothing.png does not exist" in refused(capsys, "predict", "nothing.png", "--model", run)
    assert "no split 'dev'" in refused(capsys, "evaluate", "--model", run, "--data", photos, "--split", "dev")
    assert "that " in refused(capsys, "evaluate", "--model", run, "--data", "digits")
    assert "did you mean affnet_t" in refused(capsys, "evaluate", "--model", "affnet_tt", "--data", photos)
    assert "does not exist" in refused(capsys, "train", "--data", tmp_path / "none")
    assert "--out" in refused(capsys, "train", "--data", photos, "--model", "test_resnet", "--out", run)
    assert "--top-k 9" in refused(capsys, "predict", text, "--model", run, "--top-k", "9")
    weights = run / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    assert "cannot be used" in refused(capsys, "evaluate", "--model", run, "--data", photos)
    weights.write_bytes(whole)


def test_our_models_say_where_their_weights_are(photos, capsys):
    assert "weights" in refused(capsys, "evaluate", "--model", "affnet_et", "--data", photos)


def test_a_missing_extra_is_named(monkeypatch, photos, run, capsys):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lightning" else find(name))
    for words in (["train"], ["evaluate", "--model", run]):
        assert 'pip install "spectralvision[train]"' in refused(capsys, *words, "--data", photos)
    assert 'pip install "spectralvision[train]"' in refused(capsys, "predict", photos, "--model", run)


def test_the_command_loads_without_the_extra():
    blocked = ["lightning", "torchmetrics", "sklearn", "matplotlib", "rich", "pyarrow", "tensorboard"]
    code = f"""
import sys
for name in {blocked}: sys.modules[name] = None
from spectralvision.cli import main
import spectralvision.data.opening, spectralvision.recipes.classification, spectralvision.tasks.loading
sys.exit(main(["train", "--data", "digits"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "spectralvision: error: this needs" in done.stderr


def test_ctrl_c_is_clean(photos, tmp_path):
    words = ["train", "--data", photos, "--model", "test_resnet", "--epochs", "500", "--out", tmp_path / "run"]
    command = [sys.executable, "-m", "spectralvision.cli", *map(str, words), "--workers", "0"]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while not (tmp_path / "run" / "model.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    job.send_signal(signal.SIGINT)
    out, err = job.communicate(timeout=60)
    assert job.returncode == 130, err
    assert out == ""
    assert "interrupted; the best weights so far are in" in err
    assert "Traceback" not in err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    assert not [name for name in os.listdir(tmp_path / "run") if name.startswith(".")]


def test_a_reader_that_goes_away(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    job = subprocess.run(
        [sys.executable, "-m", "spectralvision.cli", "models", "affnet_et"], stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert b"Traceback" not in job.stderr
    assert b"Exception ignored" not in job.stderr


def test_predict_answers_what_it_can_read(run, photos, tmp_path, capsys):
    (tmp_path / "notes.png").write_text("no image")
    words = ["predict", photos / "test" / "red", tmp_path / "notes.png", f"{photos}/test/bl*/*.png", "--model", run]
    code, out, err = call(capsys, *words, "--flip")
    assert (code, len(out.splitlines())) == (1, 7)
    said = err.splitlines()
    assert said[-2:] == [
        "1 of 7 could not be read:",
        f"  {tmp_path}/notes.png is not an image that can be read (no image format).",
    ]
    assert said[-3].startswith("6 images, ")
    code, out, _ = call(capsys, *words, "--csv", "--top-k", "2")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, len(rows)) == (1, 6)
    assert list(rows[0]) == ["image", "prediction", "probability", "prediction_2", "probability_2"]
    code, out, _ = call(capsys, *words, "--json")
    result = json.loads(out)
    assert (code, [one["image"] for one in result["unreadable"]]) == (1, [str(tmp_path / "notes.png")])
    answers = [answer["classes"][0] for answer in result["predictions"]]
    assert [row["prediction"] for row in rows] == [answer["class"] for answer in answers]
    assert [float(row["probability"]) for row in rows] == [answer["probability"] for answer in answers]
    assert "either --csv or --json" in refused(capsys, *words, "--csv", "--json")


def test_predict_reads_standard_input(run, photos, capsys):
    image = photos / "test" / "red" / "50.png"
    words = [sys.executable, "-m", "spectralvision.cli", "predict", "-", "--csv", "--model", str(run)]
    given = subprocess.run(words, input=image.read_bytes(), capture_output=True)
    assert (given.returncode, given.stderr) == (0, b"")  # no bar without a terminal
    by_name = call(capsys, "predict", image, "--csv", "--model", run)[1]
    assert given.stdout.decode() == by_name.replace(str(image), "-")


def test_predict_shows_its_progress_on_a_terminal(run, photos):
    controller, terminal = pty.openpty()
    words = [sys.executable, "-m", "spectralvision.cli", "predict", f"{photos}/train", "--model", str(run)]
    job = subprocess.Popen([*words, "--batch-size", "4", "--workers", "0"], stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    seen = b""
    with contextlib.suppress(OSError):  # the terminal closes with the process
        while piece := os.read(controller, 10_000):
            seen += piece
    out, _ = job.communicate(timeout=60)
    os.close(controller)
    assert len(out.splitlines()) == 31
    assert b"\x1b" not in out
    assert b"/30" in seen
    assert b"images/s" in seen
    assert b"30 images, " in seen


def test_evaluate_sets_models_side_by_side(run, photos, tmp_path, capsys):
    result = json.loads(call(capsys, "evaluate", "--model", run, "--data", photos, "--json")[1])
    low, high = result["top1_interval"]
    assert 0 <= low < result["top1"] <= high <= 1
    assert 0 <= result["calibration_error"] <= 1
    other = tmp_path / "other"
    shutil.copytree(run, other)
    words = ["evaluate", "--data", photos, "--per-class", "--model", run, other]
    code, out, err = call(capsys, *words)
    assert code == 0
    assert "different images" not in err
    head, first, second, _, *classes = out.splitlines()
    assert head.split()[:2] == ["model", "top-1"]
    assert (first.split()[0], second.split()[0]) == (str(run), str(other))
    assert first.split()[1] == f"{result['top1']:.2%}"
    assert [line.split()[0] for line in classes] == ["class", "blue", "green", "red"]
    both = json.loads(call(capsys, *words, "--json")[1])["evaluations"]
    assert [one["model"] for one in both] == [str(run), str(other)]
    assert both[0]["per_class"] == both[1]["per_class"]
    record = json.loads((other / "run.json").read_text())
    record["data"]["val_carved"]["seed"] = 7  # holds out other images
    (other / "run.json").write_text(json.dumps(record))
    assert "different images" in call(capsys, *words, "--split", "val")[2]
    assert "did you mean" in refused(capsys, *words, "affnet_tt")


def test_convert_then_predict(photos, tmp_path, capsys):
    torch.save({"state_dict": rule.state(rule.load("affnet_et_256")[1])}, tmp_path / "released.pt")
    words = ["convert", tmp_path / "released.pt", "--model", "affnet_et", "--out", tmp_path / "converted"]
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert f"predict PHOTO.jpg --model {tmp_path / 'converted'}" in out
    assert "73.0 % top-1 (not measured here)" in out
    assert "not an empty folder" in refused(capsys, *words)
    image = photos / "test" / "red" / "50.png"
    answers = json.loads(call(capsys, "predict", image, "--model", tmp_path / "converted", "--json")[1])["predictions"]
    assert answers[0]["classes"][0]["class"] in label_titles(load_model(str(tmp_path / "converted")))
    assert "does not know (blue" in refused(capsys, "evaluate", "--model", tmp_path / "converted", "--data", photos)
    assert "convert needs a file" in refused(capsys, "convert", "--model", "affnet_et")
