"""`--image-column` and `--label-column` of every verb that takes `--data`."""

import json
import shutil

import pytest

from spectralvision.cli import main
from spectralvision.tasks.classification.module import Classifier
from tests.helpers.pictures import class_label, table_file
from tests.helpers.run_folders import make_run
from tests.helpers.training import interrupted_at

FINE = ["blue", "green", "red"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Return 30 images to train on and 9 to test, with two columns of labels."""
    folder = tmp_path_factory.mktemp("data") / "shards"
    for split, count in (("train", 30), ("test", 9)):
        fine = [row % 3 for row in range(count)]
        coarse = ["cold" if label < 2 else "warm" for label in fine]
        metadata = class_label("fine", FINE)
        table_file(folder / f"my-{split}.parquet", metadata, photo=..., fine=fine, coarse=coarse)
    return folder


def train_words(shards, out):
    words = "--model test_resnet --epochs 3 --batch-size 8 --workers 0 --label-column coarse"
    return ["train", "--data", str(shards), "--out", str(out), *words.split()]


@pytest.fixture(scope="module")
def run(shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main([*train_words(shards, out), "--image-column", "photo"]) == 0
    return out


def call(capsys, *words):
    """Return the JSON that a verb prints."""
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_records_its_columns(run):
    record = json.loads((run / "run.json").read_text())
    assert record["config"]["image_column"] == "photo"
    assert record["config"]["label_column"] == "coarse"
    assert record["data"]["columns"] == {"image": "photo", "label": "coarse"}
    assert record["data"]["classes"] == ["cold", "warm"]


def test_evaluate_and_predict_use_the_columns_of_the_run(run, shards, capsys):
    result = call(capsys, "evaluate", "--model", run, "--data", shards)
    assert (result["split"], result["images"]) == ("test", 9)
    result = call(capsys, "predict", "--model", run, "--data", shards, "--num-images", 9)
    labels = [row["label"] for row in result["predictions"]]
    assert labels == ["cold", "cold", "warm"] * 3


def test_columns_that_are_given_come_first(run, shards, capsys):
    assert main(["evaluate", "--model", str(run), "--data", str(shards), "--label-column", "fine"])
    assert "shards has 3 classes that" in capsys.readouterr().err
    fine = make_run(run.parent / "fine", "test_resnet")
    words = ["--model", fine, "--data", shards, "--label-column", "fine"]
    result = call(capsys, "predict", *words, "--image-column", "photo", "--num-images", 3)
    assert [row["label"] for row in result["predictions"]] == FINE
    assert call(capsys, "evaluate", *words)["images"] == 9


def test_columns_that_are_missing_or_ambiguous(shards, tmp_path, capsys):
    table_file(tmp_path / "x.parquet", photo=..., a=[0, 1], b=[1, 0])
    assert main(["train", "--data", str(tmp_path), "--dry-run"]) == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith(
            f"{tmp_path}/x.parquet has no column 'label', and several that fit (a, b): name one of "
            "its columns (photo, a, b) with --label-column."
        )
    )
    assert main(["train", "--data", str(shards), "--dry-run", "--label-column", "gone"]) == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith(
            f"{shards}/my-train.parquet has no column 'gone' for --label-column: its columns are "
            "photo, fine, coarse."
        )
    )


def test_a_resumed_run_uses_its_columns(shards, run, tmp_path):
    out = tmp_path / "stopped"
    with interrupted_at(Classifier, 7):
        assert main(train_words(shards, out)) == 130
    assert main(["train", "--resume", str(out)]) == 0
    record = json.loads((out / "run.json").read_text())
    assert record["data"] == json.loads((run / "run.json").read_text())["data"]
    assert record["data"]["columns"] == {"image": "photo", "label": "coarse"}


def test_token_labels_read_the_same_columns(shards, run, tmp_path, capsys):
    teacher = tmp_path / "teacher"
    shutil.copytree(run, teacher)
    (teacher / "run.json").unlink()
    maps = ["--split", "test", "--out", tmp_path / "maps", "--workers", 0]
    words = ["token-labels", "--teacher", teacher, "--data", shards, *maps]
    assert main([*map(str, words), "--label-column", "coarse"]) == 0
    printed = capsys.readouterr().out
    assert f"train --data {shards} --label-column coarse --model svt_h_s" in printed
