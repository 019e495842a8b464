"""A CSV file of files and labels through the command: train, resume, evaluate, report."""

import json

from spectralvision.cli import main
from spectralvision.tasks.classification.module import Classifier
from tests.helpers.pictures import COLOURS, picture
from tests.helpers.training import interrupted_at

WORDS = ["--model", "test_resnet", "--epochs", "2", "--batch-size", "8", "--workers", "0"]


def call(*words):
    return main([str(word) for word in words])


def label_file(folder, count=10):
    """Write loose images and their labels into a folder; one file is missing."""
    folder.mkdir()
    lines = ["file;label", "gone.png;red"]
    for color in COLOURS:
        for number in range(count):
            picture(color, number).save(folder / f"{color}{number}.png")
            lines.append(f"{color}{number}.png;{color}")
    (folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    return folder / "labels.csv"


def test_a_run_on_a_csv_file(tmp_path, capsys):
    path, run = label_file(tmp_path / "photos"), tmp_path / "run"
    with interrupted_at(Classifier, 4):
        assert call("train", "--data", path, *WORDS, "--out", run) == 130
    assert "gone.png (No such file or directory)" in capsys.readouterr().err
    assert call("train", "--resume", run) == 0
    assert (run / "report.html").exists()
    assert json.loads((run / "run.json").read_text())["data"]["classes"] == list(COLOURS)
    capsys.readouterr()
    for spec in (path, path.parent):
        words = ["--model", run, "--data", spec, "--split", "val", "--json"]
        assert call("evaluate", *words) == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["images"], result["seen_in_training"]) == (6, "val")


def test_several_labels_are_one_sentence(tmp_path, capsys):
    path = label_file(tmp_path / "photos")
    path.write_text("file,label\nred0.png,a|b\n")
    assert call("train", "--data", path, *WORDS, "--out", tmp_path / "run") == 2
    assert capsys.readouterr().err == (
        f"spectralvision: error: {path} has several labels for red0.png (a|b): multi-label data "
        "is not supported; keep one label for each file.\n"
    )
    assert not (tmp_path / "run").exists()
