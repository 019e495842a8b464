"""Detection through the command: train, resume, evaluate, predict."""

import csv
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from spectralvision.cli import main
from spectralvision.tasks.detection.module import DetectionModule
from tests.helpers.html_page import Page
from tests.helpers.scenes import coco_folder
from tests.helpers.training import interrupted_at, read_results

COMPUTE = ["--workers", "0", "--device", "cpu"]
WORDS = ["--model", "affnet_et", "--fpn-channels", "64", "--input-size", "64", "--epochs", "2",
         "--batch-size", "4", "--lr", "1e-3", "--threads", "1", *COMPUTE]  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return coco_folder(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture(scope="module")
def run(scenes, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "detection", "--data", str(scenes), "--out", str(run), *WORDS]) == 0
    return run


def call(capsys, *words):
    """Return exit code, standard output and standard error of the command."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


def test_the_run_has_losses_and_metrics(run):
    record = json.loads((run / "run.json").read_text())
    assert (record["task"], record["status"]) == ("detection", "finished")
    config = json.loads((run / "config.json").read_text())
    assert config["label_names"] == ["square", "disc"]
    assert config["categories"] == [3, 7]
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 2
    assert {"train_loss", "train_bbox_regression", "val_map", "val_map_50"} <= rows[0].keys()
    assert (run / "report.html").exists()
    best = max(rows, key=lambda row: float(row["val_map"]))
    weights = load_file(run / "model.safetensors")
    assert float(weights["min_score"]) == pytest.approx(float(best["val_min_score"]))


def test_an_interrupted_run_ends_like_an_uninterrupted_one(run, scenes, tmp_path):
    words = ["train", "detection", "--data", str(scenes), "--out", str(tmp_path / "other"), *WORDS]
    with interrupted_at(DetectionModule, 3):
        assert main([*words, "--checkpoint-minutes", "0"]) == 130
    assert main(["train", "--resume", str(tmp_path / "other")]) == 0
    for first, second in zip(read_results(run), read_results(tmp_path / "other"), strict=True):
        if isinstance(first, list):
            assert first == second
            continue
        first, second = first.get("model", first), second.get("model", second)
        assert len(first) > 100
        assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_evaluate(run, scenes, capsys):
    words = ["evaluate", "--model", run, "--data", scenes, *COMPUTE]
    code, out, _ = call(capsys, *words, "--json", "--per-class", "--max-dets", "7")
    result = json.loads(out)
    assert code == 0
    assert (result["images"], result["max_dets"], result["seen_in_training"]) == (4, 7, "val")
    assert 0 <= result["map"] <= result["map_50"] <= 1
    assert [row["class"] for row in result["per_class"]] == ["square", "disc"]
    assert sum(row["objects"] for row in result["per_class"]) == 9
    assert result["map_large"] is None
    assert 0 < result["min_score"] < 1
    assert result.keys() >= {"recall", "precision"}
    code, out, _ = call(capsys, *words, "--per-class")
    assert out.splitlines()[0].startswith("box AP")
    assert "AP50" in out
    assert "recall" in out
    code, _, err = call(capsys, *words, "--max-dets", "0")
    assert code == 2
    assert "--max-dets 0 should be between 1 and 10000" in err


def test_predict_on_the_data_set(run, scenes, capsys):
    words = ["predict", "--data", scenes, "--model", run, *COMPUTE]
    code, out, _ = call(capsys, *words, "--csv", "--min-score", "1")
    head, *rows = csv.reader(out.splitlines())
    assert code == 0
    assert head == ["image", "label", "objects", "score", "boxes"]
    assert len(rows) == 4
    assert rows[0][1:] == ["3 disc", "none", "", "[]"]
    code, out, _ = call(capsys, *words, "--min-score", "1")
    assert out.splitlines()[0].split() == ["image", "label", "objects", "score"]


def test_predictions_have_the_image_ids_of_the_data_set(run, scenes, tmp_path, capsys):
    words = ["predict", "--data", scenes, "--model", run, "--out", tmp_path / "found.json"]
    assert call(capsys, *words, "--min-score", "0.02", *COMPUTE)[0] == 0
    found = json.loads((tmp_path / "found.json").read_text())
    truth = json.loads((scenes / "annotations" / "instances_val.json").read_text())
    ids = {one["id"]: one["file_name"] for one in truth["images"]}
    assert {one["id"]: one["file_name"].split("/")[-1] for one in found["images"]} == ids
    assert {one["image_id"] for one in found["annotations"]} <= ids.keys()
    assert found["annotations"]


def test_the_report_shows_training_images(run):
    page = Page((run / "report.html").read_text())
    (section,) = (one for one in page.root.all("section") if one.attrs["id"] == "augmented")
    assert len(section.all("figure")) == 4
    assert len(section.all("img")) == 4 * 3


def test_predict_json_and_pictures(run, scenes, tmp_path, capsys):
    low = ["--min-score", "0.02", *COMPUTE]
    pictures = tmp_path / "pictures"
    words = ["predict", scenes / "images", "--model", run, "--pictures", pictures, *low]
    code, out, _ = call(capsys, *words, "--json")
    assert code == 0
    (records,) = [value for value in json.loads(out).values() if isinstance(value, list)
                  and value and "objects" in value[0]]  # fmt: skip
    assert len(records) == 12
    assert all(one["size"] == [48, 64] for one in records)
    written = sorted(pictures.rglob("*.jpg"))
    assert [path.name for path in written] == [f"{number:03d}.jpg" for number in range(12)]
    with Image.open(written[0]) as picture:
        assert picture.size == (480, 360)

    code, _, _ = call(capsys, "predict", scenes / "images", "--model", run, *low,
                      "--out", tmp_path / "found.json")  # fmt: skip
    assert code == 0
    coco = json.loads((tmp_path / "found.json").read_text())
    assert coco["categories"] == [{"id": 3, "name": "square"}, {"id": 7, "name": "disc"}]
    assert [one["id"] for one in coco["images"]] == list(range(1, 13))
    found = sum(len(one["objects"]) for one in records)
    assert len(coco["annotations"]) == found
    assert [one["id"] for one in coco["annotations"]] == list(range(1, found + 1))
    assert {one["category_id"] for one in coco["annotations"]} <= {3, 7}


def test_bad_options_are_rejected(run, scenes, tmp_path, capsys):
    words = ["train", "detection", "--data", scenes, *COMPUTE, "--out", tmp_path / "new"]
    for option, message in (
        (["--min-scale", "2"], "--min-scale 2.0 should not be greater than --max-scale 1.4."),
        (["--fpn-channels", "100"], "--fpn-channels 100 should be a multiple of 32."),
        (["--input-size", "64", "--max-size", "32"], "--max-size 32 should be at least"),
        (["--model", "test_vit"], "test_vit has no feature maps at 1/8 of the image"),
    ):
        code, _, err = call(capsys, *words, *option)
        assert code == 2
        assert message in err
        assert not (tmp_path / "new").exists()
    code, _, err = call(capsys, "predict", scenes / "images", "--model", run, "--min-score", "2")
    assert code == 2
    assert "--min-score 2.0 should be between 0 and 1." in err


def test_a_run_is_a_start_for_another_run(run, scenes, tmp_path):
    words = ["--epochs", "1", *WORDS]
    words[words.index("affnet_et")] = str(run)
    other = tmp_path / "again"
    assert main(["train", "detection", "--data", str(scenes), "--out", str(other), *words]) == 0


def test_average_weights_and_folds(scenes, tmp_path, capsys):
    root = tmp_path / "all"
    (root / "annotations").mkdir(parents=True)
    (root / "images").symlink_to(scenes / "images")
    content = (scenes / "annotations" / "instances_train.json").read_text()
    (root / "annotations" / "instances_train.json").write_text(content)
    words = ["train", "detection", "--data", root, *WORDS, "--epochs", "1", "--ema", "0.9"]
    code, out, err = call(capsys, *words, "--dry-run")
    assert code == 0
    assert "all: 2 classes; 6 train, 2 val images" in err
    assert "nothing was trained or written" in out
    code, out, _ = call(capsys, *words, "--folds", "2", "--out", tmp_path / "folds", "--json")
    result = json.loads(out)
    assert code == 0
    assert [fold["images"] for fold in result["folds"]] == [4, 4]
    assert (tmp_path / "folds" / "fold-2" / "report.html").exists()


def test_push_and_use_the_copy(run, scenes, tmp_path, capsys):
    copy = tmp_path / "copy"
    assert call(capsys, "push", run, copy)[0] == 0
    card = (copy / "README.md").read_text()
    best = json.loads((run / "run.json").read_text())["results"]["val_map"]
    assert "pipeline_tag: object-detection" in card
    assert f"| val | 4 | {best:.2%} |" in card
    assert "Detects 2 classes: square, disc." in card
    words = ["evaluate", "--data", scenes, "--json", *COMPUTE, "--model"]
    first, second = (json.loads(call(capsys, *words, name)[1]) for name in (run, copy))
    assert first["map"] == second["map"]


@pytest.mark.slow
def test_two_processes_count_every_image_once(run, scenes, capsys):
    words = ["evaluate", "--model", run, "--data", scenes, "--split", "train", "--json", *COMPUTE]
    one = json.loads(call(capsys, *words)[1])
    two = json.loads(call(capsys, *words, "--devices", "2", "--batch-size", "2")[1])
    assert two["map"] == pytest.approx(one["map"], abs=1e-6)
    assert two["images"] == one["images"] == 8


@pytest.mark.slow
def test_two_processes_train(scenes, tmp_path, capsys):
    """Metrics are of all images, and the weights are those that were validated."""
    run = tmp_path / "run"
    words = ["train", "detection", "--data", scenes, *WORDS, "--devices", "2", "--out", run]
    assert call(capsys, *words)[0] == 0
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 2
    assert float(rows[1]["train_loss"]) < float(rows[0]["train_loss"])
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    words = ["evaluate", "--model", run, "--data", scenes, "--json", *COMPUTE]
    result = json.loads(call(capsys, *words)[1])
    assert result["images"] == 4
    assert result["map"] == pytest.approx(record["results"]["val_map"], abs=1e-4)
    assert (run / "report.html").exists()


def test_options_of_readers_are_rejected(scenes, capsys):
    words = ["train", "detection", "--data", scenes, *COMPUTE, "--dry-run"]
    for option in ("--data-dir", "--num-classes", "--image-column"):
        code, _, err = call(capsys, *words, option, "2")
        assert code == 2
        assert f"remove {option}" in err or f"{option} is for readers" in err
