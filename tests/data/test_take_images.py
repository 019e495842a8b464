"""Some of the training images, of each class in proportion."""

from collections import Counter

import pytest

from spectralvision.cli import main
from spectralvision.data.images import Stream
from spectralvision.data.open_data import open_data
from spectralvision.data.splits import Data, take_images
from spectralvision.runs import UserError, read_json
from spectralvision.tasks.classification.module import Classifier
from tests.helpers.pictures import image_folder
from tests.helpers.training import interrupted_at, read_results


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    image_folder(root / "train", 20)
    image_folder(root / "test", 4, first=50)
    return root


def names(data, split="train"):
    images = data.split(split)
    return [images.name(row) for row in range(len(images))]


def test_each_class_in_proportion(photos):
    data = open_data(str(photos))
    few = take_images(data, 15, seed=0)
    assert Counter(few.split("train").labels.tolist()) == {0: 5, 1: 5, 2: 5}
    assert set(names(few)) < set(names(data))
    assert few.split("test") is data.split("test")
    assert few.facts["num_images"] == 15
    assert names(take_images(data, 15, seed=0)) == names(few)
    assert names(take_images(data, 15, seed=1)) != names(few)


def test_all_or_at_least_one_of_a_class(photos):
    data = open_data(str(photos))
    assert take_images(data, None, seed=0) is data
    assert take_images(data, 60, seed=0) is data
    assert Counter(take_images(data, 2, seed=0).split("train").labels.tolist()) == {
        0: 1,
        1: 1,
        2: 1,
    }


def test_a_folder_without_splits(tmp_path):
    data = open_data(str(image_folder(tmp_path / "loose", 10)))
    assert len(take_images(data, 6, seed=0).split("all")) == 6


def test_streams_are_rejected():
    stream = Stream.__new__(Stream)
    data = Data("stream", ("a", "b"), {"train": stream})
    with pytest.raises(UserError, match="--num-images needs images by index, but stream is"):
        take_images(data, 5, seed=0)


def test_an_interrupted_run_is_resumed_with_the_same_images(photos, tmp_path, capsys):
    run = tmp_path / "run"
    words = ["train", "--data", str(photos), "--model", "test_resnet", "--epochs", "2",
             "--num-images", "12", "--batch-size", "4", "--workers", "0"]  # fmt: skip
    with interrupted_at(Classifier, 3):
        assert main([*words, "--out", str(run)]) == 130
    assert main(["train", "--resume", str(run)]) == 0
    assert read_json(run / "run.json")["data"]["images"] == {"train": 9, "val": 3, "test": 12}
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    assert read_results(run)[2] == read_results(tmp_path / "whole")[2]
