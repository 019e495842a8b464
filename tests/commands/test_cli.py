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
from dataclasses import dataclass

import pytest
import timm
import torch

import spectralvision as sv
from spectralvision.cli import main
from spectralvision.engine.model_io import label_titles, load_model
from spectralvision.tasks import registry
from spectralvision.tasks.classification.task import ClassificationTask
from tests.golden import rule
from tests.helpers.pictures import image_folder


@dataclass(frozen=True, kw_only=True)
class ToyOptions(ClassificationTask.evaluate_options):
    """Options of `evaluate` for toys."""

    speed_limit: float = 1.5
    """Speed limit in m/s."""


class ToyTask(ClassificationTask):
    name = "toy"
    evaluate_options = ToyOptions

    def format_result(self, result, options):
        return [("speed", f"limit {options.speed_limit:g} m/s")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "photos"
    image_folder(root / "train", 10)
    image_folder(root / "test", 3, first=50)
    return root


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "photos-run"
    words = [
        "train",
        "--data",
        photos,
        "--model",
        "test_resnet",
        "--epochs",
        "12",
        "--out",
        out,
        "--workers",
        "0",
    ]
    assert main([str(word) for word in words]) == 0
    return out


def call(capsys, *words):
    """(exit code, standard output, standard error) of a verb in this process."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def sentence(capsys, *words):
    """The one sentence that a verb answers bad input with."""
    code, out, err = call(capsys, *words)
    assert (code, out) == (2, "")
    lines = err.strip().splitlines()
    assert lines[-1].startswith("spectralvision: error: ")
    assert "Traceback" not in err
    return lines[-1].removeprefix("spectralvision: error: ")


def process(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "spectralvision.cli", *map(str, words)],
        capture_output=True,
        text=True,
        **options,
    )


def test_train_prints_one_json_object_and_nothing_else(photos, tmp_path):
    words = [
        "train",
        "classification",
        "--data",
        photos,
        "--model",
        "test_resnet",
        "--epochs",
        "1",
        "--json",
    ]
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
    assert "images   9 (photos, test)" in out.splitlines()
    assert out.splitlines()[1] == "top-5    undefined for 5 classes or fewer"
    code, out, err = call(
        capsys, "evaluate", "--model", run, "--data", photos, "--split", "train", "--json"
    )
    scores = json.loads(out)
    assert (code, scores["images"], scores["top5"]) == (
        0,
        24,
        None,
    )  # without those held out in training
    assert scores["top1"] > 0.6, err
    val = json.loads(
        call(capsys, "evaluate", "--model", run, "--data", photos, "--split", "val", "--json")[1]
    )
    assert val["images"] == 6
    assert val["top1"] == pytest.approx(
        json.loads((run / "run.json").read_text())["results"]["val_top1"]
    )


def test_evaluate_counts_classes_by_name(run, photos, tmp_path, capsys):
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for color in ("red", "green"):
        (fewer / color).symlink_to(photos / "test" / color)
    scores = json.loads(call(capsys, "evaluate", "--model", run, "--data", fewer, "--json")[1])
    answers = json.loads(call(capsys, "predict", fewer, "--model", run, "--json")[1])["predictions"]
    right = [answer["classes"][0]["class"] in answer["image"] for answer in answers]
    assert scores["top1"] == pytest.approx(sum(right) / 6)
    (fewer / "red").rename(fewer / "crimson")
    assert "1 class that" in sentence(capsys, "evaluate", "--model", run, "--data", fewer)


def test_predict_files_folders_and_data(run, photos, capsys):
    code, out, _ = call(
        capsys,
        "predict",
        photos / "test" / "red",
        photos / "test" / "blue" / "50.png",
        "--model",
        run,
    )
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["image", "prediction", "prob."]
    assert len(lines) == 5
    words = ["predict", "--model", run, "--data", photos, "--num-images", "4", "--top-k", "3"]
    _, out, _ = call(capsys, *words)
    assert out.splitlines()[0].split() == [
        "image",
        "label",
        "prediction",
        "prob.",
        "#2",
        "prob.",
        "#3",
        "prob.",
    ]
    answers = json.loads(call(capsys, *words, "--json")[1])["predictions"]
    assert len(answers) == 4
    for answer in answers:
        assert answer["image"].startswith(answer["label"])
        assert sum(pair["probability"] for pair in answer["classes"]) == pytest.approx(1, abs=1e-4)
        probabilities = [pair["probability"] for pair in answer["classes"]]
        assert probabilities == sorted(probabilities, reverse=True)


def test_models(capsys):
    code, out, _ = call(capsys, "models", "affnet_e*", "--json")
    (row,) = json.loads(out)["models"]
    assert code == 0
    assert (row["name"], row["params"], row["input_size"]) == ("affnet_et", 1_436_264, 256)
    assert row["macs"] > 0.35e9
    head, *rows = call(capsys, "models", "affnet")[1].splitlines()
    assert head.split() == ["model", "params", "(M)", "GMACs", "input", "reported", "top-1"]
    names = [name for name in sv.list_models() if "affnet" in name]
    assert len(names) >= 3
    assert [row.split()[0] for row in rows] == names
    _, out, _ = call(capsys, "models", "test_resnet*", "--all")
    assert out.splitlines() == timm.list_models("test_resnet*")
    assert sentence(capsys, "models", "affnet_tt") == (
        "no model matches affnet_tt: did you mean affnet_t or affnet_et?"
    )
    assert sentence(capsys, "models", "zz") == "no model matches zz: --all also searches timm's."


WORDS = {
    "trian": "trian is not a verb: did you mean train?",
    "zz": "zz is not a verb: the verbs are models, train, evaluate, predict, convert, export, "
    "benchmark, analyze, compare, demo, token-labels, push.",
    "train --dta x": "train has no option --dta: did you mean --data?",
    "train": "train needs --data: see `spectralvision train --help`.",
    "train --json": "train needs --data: see `spectralvision train --help`.",
    "train classificatoin --data digits": "classificatoin is not a recipe: did you mean "
    "classification?",
    "train --data digits --epochs many": "--epochs many should be a whole number or auto.",
    "train --data digits --epochs 2.5": "--epochs 2.5 should be a whole number or auto.",
    "train --data digits --device tpu": "--device tpu should be auto, cpu, cuda or mps.",
    "train --data digits svt-imagenet": "train does not take 'svt-imagenet': see "
    "`spectralvision train --help`.",
    "train --resume run --epochs 3 --lr 1": "train --resume uses the settings of the run: remove "
    "--epochs and --lr.",
    "train --resume": "--resume needs a value: see `spectralvision train --help`.",
    "evaluate": "evaluate needs --model and --data: see `spectralvision evaluate --help`.",
    "evaluate x --model run --data digits": "evaluate does not take 'x': see "
    "`spectralvision evaluate --help`.",
    "evaluate --model run other --data digits --devices 2": "--devices works with one model at a "
    "time: give --model one name.",
    "evaluate --model run --data digits --top-k 2": "evaluate has no option --top-k: see "
    "`spectralvision evaluate --help`.",
    "predict": "predict takes either image files and folders, or --data.",
    "predict x.png --num-images 3": "--num-images is for --data, not for image files.",
    "predict x.png --image-column img": "--image-column is for --data, not for image files.",
    "predict a.png --data digits": "predict takes either image files and folders, or --data.",
    "predict a.png": "a.png does not exist.",
    "predict a.png --csv --json": "predict prints either --csv or --json.",
    "predict a.png --csv --out a.csv": "--csv cannot be combined with --out: give --out a file "
    "that ends in .csv.",
    "predict a.png --shard 1/2": "--shard needs --out: the processes write that file together.",
    "predict a.png --out a.csv --shard 3/2": "--shard 3/2 should be K/N, such as 2/8: the second "
    "of eight shards.",
    "convert --model affnet_et": "convert needs FILE: see `spectralvision convert --help`.",
    "convert x.pt": "convert needs --model: see `spectralvision convert --help`.",
    "push run": "push needs TARGET: see `spectralvision push --help`.",
    "benchmark": "benchmark needs MODEL: see `spectralvision benchmark --help`.",
    "benchmark affnet_et --train --form fused": "--train works with --form eager and compiled: "
    "fused models are for inference.",
    "token-labels --data digits": "token-labels needs --teacher and --out: see "
    "`spectralvision token-labels --help`.",
}


@pytest.mark.parametrize("words", WORDS)
def test_words_that_do_not_form_a_command(words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert sentence(capsys, *words.split()) == WORDS[words]
    assert not list(tmp_path.iterdir())


def test_things_that_do_not_fit(run, photos, tmp_path, capsys):
    text = tmp_path / "notes.png"
    text.write_text("no image")
    predict = ("predict", "--model", run)
    unreadable = f"{text} cannot be read as an image (no image format)"
    assert sentence(capsys, *predict, text) == f"{unreadable}."
    assert sentence(capsys, *predict, text, text).startswith(f"{unreadable} (and ")
    assert sentence(capsys, *predict, tmp_path / "none.png") == (
        f"{tmp_path / 'none.png'} does not exist."
    )
    assert sentence(capsys, *predict, text, "--top-k", "9").startswith("--top-k 9 should ")
    evaluate = ("evaluate", "--data", photos, "--model")
    assert sentence(capsys, *evaluate, run, "--split", "dev") == (
        "photos has no split 'dev': it has train, val, test."
    )
    assert sentence(capsys, "evaluate", "--model", run, "--data", "digits") == (
        f"digits has 10 classes that {run} does not know (0, 1, 2, 3, 4 and 5 more): it knows "
        "blue, green, red."
    )
    assert "affnet_tt is neither a run folder nor the name of a model: did you mean affnet_t" in (
        sentence(capsys, *evaluate, "affnet_tt")
    )
    none = tmp_path / "none"
    assert sentence(capsys, "train", "--data", none).startswith(f"{none} does not exist: --data ")
    taken = ("train", "--data", photos, "--model", "test_resnet", "--out", run)
    assert sentence(capsys, *taken) == (
        f"{run} exists and is not an empty folder: name another with --out."
    )
    assert sentence(capsys, "train", "--resume", none).startswith(f"{none} is not a run folder: ")


def test_damaged_weights_are_named(run, photos, capsys):
    weights = run / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:1000])
    try:
        answer = sentence(capsys, "evaluate", "--model", run, "--data", photos)
    finally:
        weights.write_bytes(content)
    assert answer.startswith(f"the weights in {run} cannot be used")


def test_options_of_the_task_follow_the_model(run, photos, capsys, monkeypatch, tmp_path):
    """A model's run.json names its task, whose options are then taken, and no others."""
    monkeypatch.setitem(registry.TASKS, "toy", ToyTask)
    toy = tmp_path / "toy"
    shutil.copytree(run, toy)
    record = json.loads((toy / "run.json").read_text())
    (toy / "run.json").write_text(json.dumps(record | {"task": "toy"}))
    evaluate = ("evaluate", "--data", photos, "--model")
    code, out, _ = call(capsys, *evaluate, toy, "--speed-limit", "2.5")
    assert (code, out.splitlines()[0]) == (0, "speed    limit 2.5 m/s")
    assert sentence(capsys, *evaluate, run, "--speed-limit", "2.5").startswith(
        "evaluate has no option --speed-limit: "
    )
    assert sentence(capsys, *evaluate, toy, "--speed-limit", "x") == (
        "--speed-limit x should be a number."
    )


def test_our_models_say_where_their_weights_are(photos, capsys):
    answer = sentence(capsys, "evaluate", "--model", "affnet_et", "--data", photos)
    assert answer.startswith("no ImageNet weights of affnet_et come with spectralvision")
    assert "docs/guides/released-weights.md" in answer


def test_a_missing_extra_is_named(monkeypatch, photos, run, capsys):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "lightning" else find(name)
    )
    for words in (["train"], ["evaluate", "--model", run]):
        assert 'pip install ".[train]"' in sentence(capsys, *words, "--data", photos)
    assert 'pip install ".[train]"' in sentence(capsys, "predict", photos, "--model", run)


def test_the_command_loads_without_the_extra():
    blocked = ["lightning", "torchmetrics", "sklearn", "matplotlib", "pyarrow", "tensorboard"]
    code = f"""
import sys
for name in {blocked}: sys.modules[name] = None
from spectralvision.cli import main
import spectralvision.data.open_data
import spectralvision.engine.model_io
import spectralvision.tasks.classification.config
sys.exit(main(["train", "--data", "digits"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "spectralvision: error: this needs" in done.stderr


def test_ctrl_c_is_clean(photos, tmp_path):
    words = [
        "train",
        "--data",
        photos,
        "--model",
        "test_resnet",
        "--epochs",
        "500",
        "--out",
        tmp_path / "run",
    ]
    command = [sys.executable, "-m", "spectralvision.cli", *map(str, words), "--workers", "0"]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    weights = tmp_path / "run" / "model.safetensors"
    deadline = time.monotonic() + 300
    while not weights.exists() and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert weights.exists(), "no epoch was completed in time"
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
        [sys.executable, "-m", "spectralvision.cli", "models", "affnet_et"],
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    assert (job.returncode, job.stderr) == (141, b"")


def test_predict_answers_what_it_can_read(run, photos, tmp_path, capsys):
    (tmp_path / "notes.png").write_text("no image")
    words = [
        "predict",
        photos / "test" / "red",
        tmp_path / "notes.png",
        f"{photos}/test/bl*/*.png",
        "--model",
        run,
    ]
    code, out, err = call(capsys, *words, "--flip")
    assert (code, len(out.splitlines())) == (1, 7)
    lines = err.splitlines()
    assert lines[-2:] == [
        "1 of 7 could not be read:",
        f"  {tmp_path}/notes.png cannot be read as an image (no image format).",
    ]
    assert lines[-3].startswith("6 images, ")
    code, out, _ = call(capsys, *words, "--csv", "--top-k", "2")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, len(rows)) == (1, 6)
    assert list(rows[0]) == ["image", "prediction", "probability", "prediction_2", "probability_2"]
    code, out, _ = call(capsys, *words, "--json")
    result = json.loads(out)
    assert (code, [one["image"] for one in result["unreadable"]]) == (
        1,
        [str(tmp_path / "notes.png")],
    )
    answers = [answer["classes"][0] for answer in result["predictions"]]
    assert [row["prediction"] for row in rows] == [answer["class"] for answer in answers]
    assert [float(row["probability"]) for row in rows] == [
        answer["probability"] for answer in answers
    ]
    assert "either --csv or --json" in sentence(capsys, *words, "--csv", "--json")


def test_predict_reads_standard_input(run, photos, capsys):
    image = photos / "test" / "red" / "50.png"
    words = [
        sys.executable,
        "-m",
        "spectralvision.cli",
        "predict",
        "-",
        "--csv",
        "--model",
        str(run),
    ]
    given = subprocess.run(words, input=image.read_bytes(), capture_output=True)
    assert (given.returncode, given.stderr) == (0, b"")  # no bar without a terminal
    by_name = call(capsys, "predict", image, "--csv", "--model", run)[1]
    assert given.stdout.decode() == by_name.replace(str(image), "-")


def test_predict_shows_its_progress_on_a_terminal(run, photos):
    controller, terminal = pty.openpty()
    words = [
        sys.executable,
        "-m",
        "spectralvision.cli",
        "predict",
        f"{photos}/train",
        "--model",
        str(run),
    ]
    job = subprocess.Popen(
        [*words, "--batch-size", "4", "--workers", "0"], stdout=subprocess.PIPE, stderr=terminal
    )
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
    record["data"]["val_split"]["seed"] = 7  # holds out other images
    (other / "run.json").write_text(json.dumps(record))
    assert "different images" in call(capsys, *words, "--split", "val")[2]
    assert "did you mean" in sentence(capsys, *words, "affnet_tt")


def test_convert_then_predict(photos, tmp_path, capsys):
    torch.save({"state_dict": rule.state(rule.load("affnet_et_256")[1])}, tmp_path / "released.pt")
    words = [
        "convert",
        tmp_path / "released.pt",
        "--model",
        "affnet_et",
        "--out",
        tmp_path / "converted",
    ]
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert f"predict PHOTO.jpg --model {tmp_path / 'converted'}" in out
    assert "73.0 % top-1 (not measured here)" in out
    assert "not an empty folder" in sentence(capsys, *words)
    image = photos / "test" / "red" / "50.png"
    answers = json.loads(
        call(capsys, "predict", image, "--model", tmp_path / "converted", "--json")[1]
    )["predictions"]
    assert answers[0]["classes"][0]["class"] in label_titles(
        load_model(str(tmp_path / "converted"))
    )
    assert "does not know (blue" in sentence(
        capsys, "evaluate", "--model", tmp_path / "converted", "--data", photos
    )
