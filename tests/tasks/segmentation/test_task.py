"""Segmentation through the command: train, resume, evaluate, predict, push."""

import csv
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from spectralvision.cli import main
from spectralvision.tasks.segmentation.config import SegmentationConfig
from spectralvision.tasks.segmentation.module import SegmentationModule
from tests.helpers.html_page import Page
from tests.helpers.scenes import class_map, mask_folder, scene
from tests.helpers.training import interrupted_at, read_results

WORDS = [
    "--model", "affnet_et", "--input-size", "48", "--batch-size", "4", "--lr", "2e-3",
    "--workers", "0", "--device", "cpu",
]  # fmt: skip
COMPUTE = ["--workers", "0", "--device", "cpu"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return mask_folder(tmp_path_factory.mktemp("data") / "scenes", 10, 4)


@pytest.fixture(scope="module")
def run(scenes, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    words = ["train", "segmentation", "--data", scenes, "--out", run, "--epochs", "3", *WORDS]
    assert main([str(word) for word in words]) == 0
    return run


def call(capsys, *words):
    """Return exit code, standard output and standard error of the command."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


def read(path):
    with Image.open(path) as image:
        return image.copy()


def test_the_run_folder(run):
    record = json.loads((run / "run.json").read_text())
    assert (record["task"], record["recipe"], record["status"]) == ("segmentation",) * 2 + (
        "finished",
    )
    assert record["data"]["classes"] == ["background", "square", "disc"]
    assert sum(record["data"]["train_pixels"]) == 10 * 48 * 64
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    best = max(float(row["val_miou"]) for row in rows)
    assert record["results"]["val_miou"] == pytest.approx(best)
    assert {"train_loss", "val_loss", "val_pixel_accuracy", "val_mean_accuracy"} <= set(rows[0])


def test_evaluate_gives_the_metrics_of_the_run(run, scenes, capsys):
    words = ["evaluate", "--model", run, "--data", scenes, "--split", "val", *COMPUTE]
    code, out, _ = call(capsys, *words, "--json", "--per-class")
    result = json.loads(out)
    best = json.loads((run / "run.json").read_text())["results"]["val_miou"]
    assert code == 0
    assert result["miou"] == pytest.approx(best, abs=1e-6)
    assert result["images"] == 4
    assert result["seen_in_training"] == "val"
    counts = sum(np.bincount(class_map(number).ravel(), minlength=3) for number in range(10, 14))
    assert [row["pixels"] for row in result["per_class"]] == counts.tolist()
    known = [row["iou"] for row in result["per_class"] if row["iou"] is not None]
    assert np.mean(known) == pytest.approx(result["miou"])
    code, out, _ = call(capsys, *words, "--per-class", "--flip", "--scales", "1", "0.75")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][0] == "mIoU"
    assert ["class", "pixels", "IoU", "accuracy"] in lines


def test_the_order_of_classes_of_other_data_does_not_matter(run, scenes, tmp_path, capsys):
    """The same scenes with other numbers for the classes."""
    other = mask_folder(tmp_path / "other", 10, 4)
    (other / "classes.json").write_text(json.dumps({"disc": 0, "background": 5, "square": 9}))
    for mask in other.glob("*/masks/*.png"):
        Image.fromarray(np.array([5, 9, 0], np.uint8)[np.asarray(read(mask))]).save(mask)
    results = []
    for data in (scenes, other):
        words = ["evaluate", "--model", run, "--data", data, "--split", "val", "--json"]
        results.append(json.loads(call(capsys, *words, *COMPUTE)[1]))
    assert results[0]["miou"] == results[1]["miou"]
    (other / "classes.json").write_text(json.dumps({"disc": 0, "background": 5, "star": 9}))
    code, _, err = call(capsys, "evaluate", "--model", run, "--data", other, *COMPUTE)
    assert code == 2
    assert "does not know (star)" in err


def test_predict(run, scenes, tmp_path, capsys):
    """Images of other sizes; the masks say what the table and the file say."""
    folder = tmp_path / "photos"
    (folder / "a").mkdir(parents=True)
    sizes = {"a/1.png": (48, 64), "a/2.png": (61, 53), "3.png": (120, 37)}
    for number, (name, size) in enumerate(sizes.items()):
        scene(number, (48, 64))[0].resize(size[::-1]).save(folder / name)
    (folder / "broken.png").write_bytes(b"text")
    words = ["predict", folder, "--model", run, *COMPUTE]
    out_file = tmp_path / "out.json"
    drawn = ["--masks", tmp_path / "masks", "--pictures", tmp_path / "pictures"]
    code, _, err = call(capsys, *words, "--out", out_file, *drawn)
    assert code == 1
    assert "1 of 4 could not be read" in err
    records = {record["image"]: record for record in json.loads(out_file.read_text())}
    assert len(records) == 3
    for name, size in sizes.items():
        file = name.split("/")[-1]
        mask = read(tmp_path / "masks" / file)
        assert mask.mode == "P"
        classes = np.asarray(mask)
        assert classes.shape == size
        record = records[str(folder / name)]
        assert (record["height"], record["width"]) == size
        fractions = {one["class"]: one["fraction"] for one in record["classes"]}
        assert fractions["background"] == pytest.approx((classes == 0).mean(), abs=1e-6)
        assert sum(fractions.values()) == pytest.approx(1)
        picture = tmp_path / "pictures" / file.replace(".png", ".jpg")
        width, height = read(picture).size
        assert width == round(480 * size[1] / max(size))
        assert height >= round(480 * size[0] / max(size))  # a legend may be below
    assert [path.name for path in tmp_path.glob("masks/.*")] == [".predictions"]

    code, out, _ = call(capsys, *words, "--csv", "--batch-size", "1")
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["image"] for row in rows] == list(records)
    assert rows[0]["classes"].startswith("background ")
    code, _, err = call(capsys, *words, "--top-k", "2")
    assert code == 2
    assert "--top-k" in err


def test_predict_on_the_data_set_shows_the_annotation(run, scenes, capsys):
    words = ["predict", "--data", scenes, "--split", "val", "--model", run, *COMPUTE]
    rows = list(csv.DictReader(call(capsys, *words, "--csv")[1].splitlines()))
    assert list(rows[0]) == ["image", "label", "classes", "pixels"]
    for row, mask in zip(rows, sorted((scenes / "val" / "masks").iterdir()), strict=True):
        background = (np.asarray(read(mask)) == 0).mean()
        assert row["label"].startswith(f"background {background:.1%}, ")


def test_predicted_masks_are_masks_for_training(run, scenes, tmp_path, capsys):
    """Their names and values are those of the images and classes."""
    root = tmp_path / "labelled"
    (root / "images").mkdir(parents=True)
    for number in range(4):
        scene(number)[0].save(root / "images" / f"{number}.jpg")
    words = ["predict", root / "images", "--model", run, "--masks", root / "masks", *COMPUTE]
    assert call(capsys, *words)[0] == 0
    (root / "classes.json").write_text(json.dumps(["background", "square", "disc"]))
    code, out, _ = call(capsys, "evaluate", "--model", run, "--data", root, "--json", *COMPUTE)
    assert code == 0
    assert json.loads(out)["miou"] == 1.0


def test_the_report(run):
    page = Page((run / "report.html").read_text())
    headings = [one.text for one in page.root.all("h2")]
    expected = ["Predictions", "Metrics per class", "Worst images", "Confused pixels"]
    assert [name for name in headings if name in expected] == expected
    assert "Training images after augmentation" in headings
    assert page.root.one("h1").text == "scenes · affnet_et + deeplabv3"


def test_an_interrupted_run_resumes_bit_for_bit(scenes, tmp_path, capsys):
    words = ["train", "segmentation", "--data", scenes, "--epochs", "2", "--ema", "0.9", *WORDS]
    assert call(capsys, *words, "--out", tmp_path / "whole")[0] == 0
    broken = ["--checkpoint-minutes", "0", "--out", tmp_path / "broken"]
    with interrupted_at(SegmentationModule, 4):
        assert call(capsys, *words, *broken)[0] == 130
    assert call(capsys, "train", "--resume", tmp_path / "broken")[0] == 0
    first, second = read_results(tmp_path / "whole"), read_results(tmp_path / "broken")
    assert first[2] == second[2]
    assert len(first[2]) == 2
    assert all(torch.equal(value, second[0][name]) for name, value in first[0].items())
    assert first[1]["average"].keys() == second[1]["average"].keys()
    for name, value in first[1]["average"].items():
        assert torch.equal(value, second[1]["average"][name]), name


def test_dry_run_and_folds(scenes, tmp_path, capsys):
    root = tmp_path / "all"
    root.mkdir()
    for kind in ("images", "masks"):
        (root / kind).symlink_to(scenes / "train" / kind)
    (root / "classes.json").write_text((scenes / "classes.json").read_text())
    words = ["train", "segmentation", "--data", root, "--epochs", "1", *WORDS]
    code, out, err = call(capsys, *words, "--dry-run")
    assert code == 0
    assert "all: 3 classes; 8 train, 2 val images" in err
    assert "nothing was trained or written" in out
    code, out, _ = call(capsys, *words, "--folds", "2", "--out", tmp_path / "folds", "--json")
    result = json.loads(out)
    assert code == 0
    assert [fold["images"] for fold in result["folds"]] == [5, 5]
    mean = np.mean([fold["val_miou"] for fold in result["folds"]])
    assert result["val_miou"] == pytest.approx(mean)


def test_push_and_use_the_copy(run, scenes, tmp_path, capsys):
    copy = tmp_path / "copy"
    assert call(capsys, "push", run, copy)[0] == 0
    card = (copy / "README.md").read_text()
    best = json.loads((run / "run.json").read_text())["results"]["val_miou"]
    assert "pipeline_tag: image-segmentation" in card
    assert f"| val | 4 | {best:.2%} |" in card
    assert "`affnet_et` with deeplabv3" in card
    assert "Segments 3 classes: background, square, disc." in card
    words = ["evaluate", "--data", scenes, "--split", "val", "--json", *COMPUTE, "--model"]
    first, second = (json.loads(call(capsys, *words, name)[1]) for name in (run, copy))
    assert first["miou"] == second["miou"]


def test_a_classifier_is_no_segmentation_run(run, scenes, tmp_path, capsys):
    code, _, err = call(capsys, "evaluate", "--model", "affnet_et.cifar10", run, "--data", scenes)
    assert code == 2
    assert "evaluate models of one task at a time" in err
    code, _, err = call(capsys, "train", "--data", "digits", "--model", run, *WORDS[2:])
    assert code == 2
    assert "is for segmentation" in err


def test_an_unfinished_run_and_one_whose_data_is_gone(scenes, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    record = {"task": "segmentation", "status": "running", "recipe": "segmentation"}
    config = asdict(SegmentationConfig(data=str(tmp_path / "gone")))
    (run / "run.json").write_text(json.dumps(record | {"config": config}))
    for words in (["evaluate", "--data", scenes], ["predict", "--data", scenes]):
        code, _, err = call(capsys, *words, "--model", run)
        assert code == 2
        assert "has no finished epoch yet: `spectralvision train --resume" in err
    code, _, err = call(capsys, "train", "--resume", run)
    assert code == 2
    assert f"the data of {run}, {tmp_path / 'gone'}, does not exist: put it back." in err


@pytest.mark.slow
def test_two_processes_count_every_pixel_once(run, scenes, capsys):
    words = ["evaluate", "--model", run, "--data", scenes, "--split", "train", "--json", *COMPUTE,
             "--per-class"]  # fmt: skip
    one = json.loads(call(capsys, *words)[1])
    two = json.loads(call(capsys, *words, "--devices", "2", "--batch-size", "2")[1])
    assert two["miou"] == pytest.approx(one["miou"], abs=1e-6)
    assert two["images"] == one["images"] == 10
    assert two["per_class"] == one["per_class"]


@pytest.mark.slow
def test_two_processes_train(scenes, tmp_path, capsys):
    """Metrics are of all images, and the weights are those that were validated."""
    run = tmp_path / "run"
    words = ["train", "segmentation", "--data", scenes, *WORDS, "--epochs", "2", "--devices", "2"]
    assert call(capsys, *words, "--out", run)[0] == 0
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 2
    assert float(rows[1]["train_loss"]) < float(rows[0]["train_loss"])
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    words = ["evaluate", "--model", run, "--data", scenes, "--split", "val", "--json", *COMPUTE]
    result = json.loads(call(capsys, *words)[1])
    assert result["images"] == 4
    assert result["miou"] == pytest.approx(record["results"]["val_miou"], abs=1e-4)
    assert (run / "report.html").exists()


def test_ignored_pixels_do_not_count(run, scenes, tmp_path, capsys):
    other = mask_folder(tmp_path / "other", 2, 2)
    for mask in other.glob("val/masks/*.png"):
        classes = np.array(read(mask))
        classes[:, :32] = 255
        Image.fromarray(classes).save(mask)
    words = ["evaluate", "--model", run, "--data", other, "--split", "val", "--json"]
    result = json.loads(call(capsys, *words, "--per-class", *COMPUTE)[1])
    assert sum(row["pixels"] for row in result["per_class"]) == 2 * 48 * 32
