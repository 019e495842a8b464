"""Archives through the command: train, resume, evaluate, report, predict."""

import json
import shutil

import pytest

from spectralvision.cli import main
from spectralvision.tasks.classification.module import Classifier
from tests.helpers.pack import pack
from tests.helpers.pictures import COLOURS, image_folder
from tests.helpers.training import interrupted_at, read_results

WORDS = ["--model", "test_resnet", "--epochs", "2", "--batch-size", "8"]


def call(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of images, the same in archives, and a run that was trained on the folder."""
    root = tmp_path_factory.mktemp("archives")
    folder = image_folder(root / "photos", 10)
    (folder / "red" / "film.mov").write_bytes(b"a film")
    for suffix in (".zip", ".tar", ".tar.gz"):
        pack(folder, root / f"photos{suffix}", "photos/")
    assert call("train", "--data", folder, *WORDS, "--workers", 0, "--out", root / "run") == 0
    return root


@pytest.mark.parametrize(("suffix", "workers"), [(".zip", 2), (".tar", 0), (".tar.gz", 2)])
def test_training_on_an_archive_equals_training_on_the_folder(
    root, tmp_path, capsys, suffix, workers
):
    run, archive = tmp_path / "run", root / f"photos{suffix}"
    words = ["train", "--data", archive, *WORDS, "--workers", workers, "--out", run]
    with interrupted_at(Classifier, 4):
        assert call(*words) == 130
    assert call("train", "--resume", run) == 0
    assert "1 .mov: extract the frames" in capsys.readouterr().err
    assert (run / "report.html").exists()
    weights, _, rows = read_results(run)
    right_weights, _, right_rows = read_results(root / "run")
    assert rows == right_rows
    assert all(weights[name].equal(right_weights[name]) for name in right_weights)
    assert len(weights) == len(right_weights) > 10


def test_evaluate_repeats_the_split_of_the_run_on_either(root, capsys):
    results = []
    for name in ("photos", "photos.zip", "photos.tar", "photos.tar.gz"):
        words = ["--model", root / "run", "--data", root / name, "--split", "val", "--json"]
        assert call("evaluate", *words) == 0
        results.append(json.loads(capsys.readouterr().out))
        assert results[-1]["seen_in_training"] == "val"
    same = ("top1", "images", "images_id", "data")
    assert len({tuple(map(one.get, same)) for one in results}) == 1
    assert results[0]["images"] == 6


def test_a_resumed_run_needs_the_same_archive(root, tmp_path, capsys):
    archive, run = tmp_path / "a.zip", tmp_path / "run"
    shutil.copy(root / "photos.zip", archive)
    with interrupted_at(Classifier, 4):
        words = ["--data", archive, *WORDS, "--workers", 0, "--out", run]
        assert call("train", *words) == 130
    pack(image_folder(tmp_path / "others", 11), archive)
    assert call("train", "--resume", run) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "other images" in err.splitlines()[-1]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_predict_gives_each_member_a_row(root, tmp_path, capsys, suffix):
    archive = root / f"photos{suffix}"
    words = ["predict", archive, "--model", root / "run", "--workers", 2, "--batch-size", 8]
    assert call(*words, "--json") == 1  # for the film
    rows = json.loads(capsys.readouterr().out)["predictions"]
    right = [f"{archive}/photos/{color}/{n}.png" for color in COLOURS for n in range(10)]
    assert sorted(row["image"] for row in rows) == sorted(right)
    assert call("predict", root / "photos", *words[2:], "--json") == 1
    of_folder = json.loads(capsys.readouterr().out)["predictions"]
    of_folder = {row["image"].removeprefix(f"{root}/"): row["classes"] for row in of_folder}
    assert {row["image"].removeprefix(f"{archive}/"): row["classes"] for row in rows} == of_folder
    assert call(*words, "--out", tmp_path / "a.csv") == 1
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 31


def test_bad_archives_are_one_sentence(root, tmp_path, capsys):
    for name in ("broken.zip", "broken.tar", "broken.tgz"):
        (tmp_path / name).write_bytes(b"nothing" * 100)
        assert call("train", "--data", tmp_path / name, "--dry-run") == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert f"{name} cannot be read as an archive (" in err
