"""Validation of images before training: what is excluded, what is reported, and progress."""

import numpy as np
import pytest

from spectralvision.data.images import ArrayImages
from spectralvision.data.open_data import open_data
from spectralvision.data.splits import Data
from spectralvision.data.thresholds import CLASS_IMBALANCE_RATIO, is_imbalanced
from spectralvision.data.validate_images import validate_images
from spectralvision.runs import UserError
from tests.helpers.pictures import image_folder


@pytest.fixture
def folder(tmp_path):
    image_folder(tmp_path / "data" / "train", 4)
    image_folder(tmp_path / "data" / "val", 2, first=10)
    return tmp_path / "data"


def test_good_images_are_kept(folder):
    data = open_data(str(folder))
    checked, unreadable, duplicates = validate_images(data)
    assert (unreadable, duplicates) == ([], [])
    assert checked.splits == data.splits


def test_unreadable_images_are_excluded_and_duplicates_reported(folder):
    content = (folder / "train" / "red" / "0.png").read_bytes()
    (folder / "train" / "red" / "1.png").write_bytes(content[: len(content) // 2])
    (folder / "train" / "blue" / "2.png").write_bytes(b"")
    (folder / "val" / "green" / "10.png").write_bytes(b"text")
    (folder / "val" / "green" / "copy.png").write_bytes(content)
    data, unreadable, duplicates = validate_images(open_data(str(folder)))
    found = [(one.split, one.image) for one in unreadable]
    expected = [("train", "blue/2.png"), ("train", "red/1.png"), ("val", "green/10.png")]
    assert found == expected
    assert [one.reason for one in unreadable][::2] == ["an empty file", "no image format"]
    assert [(one.splits, one.images) for one in duplicates] == [
        (("train", "val"), ("red/0.png", "green/copy.png"))
    ]
    assert {name: len(images) for name, images in data.splits.items()} == {"train": 10, "val": 6}
    names = {images.name(i) for images in data.splits.values() for i in range(len(images))}
    assert not names & {"blue/2.png", "red/1.png", "green/10.png"}


def test_test_is_compared_with_train_and_val_but_not_decoded(folder):
    image_folder(folder / "test", 2, first=20)
    for split, name in (("train", "red/0.png"), ("val", "blue/11.png")):
        content = (folder / split / name).read_bytes()
        (folder / "test" / "red" / f"{split}.png").write_bytes(content)
    (folder / "test" / "green" / "20.png").write_bytes(b"text")
    data, unreadable, duplicates = validate_images(open_data(str(folder)))
    assert unreadable == []
    assert len(data.splits["test"]) == 8
    assert [(one.splits, one.images) for one in duplicates] == [
        (("train", "test"), ("red/0.png", "red/train.png")),
        (("val", "test"), ("blue/11.png", "red/val.png")),
    ]


def test_a_split_or_class_without_readable_images_is_an_error(folder):
    for path in (folder / "train" / "red").iterdir():
        path.write_bytes(b"")
    sentence = r"no readable training image of the class 'red' \(red/0\.png: an empty file\)"
    with pytest.raises(UserError, match=sentence):
        validate_images(open_data(str(folder)))


def test_progress_wraps_the_images_of_each_split(folder):
    calls = []

    def track(iterable, title, total):
        seen = []
        calls.append((title, total, seen))
        for item in iterable:
            seen.append(item)
            yield item

    validate_images(open_data(str(folder)), track)
    assert [(title, total) for title, total, _ in calls] == [
        ("Reading train images", 12),
        ("Reading val images", 6),
    ]
    assert [seen for *_, seen in calls] == [list(range(12)), list(range(6))]


def test_images_in_memory_are_kept():
    images = ArrayImages(np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1], "zeros")
    data = Data("zeros", ("a", "b"), {"train": images, "val": images})
    checked, unreadable, duplicates = validate_images(data)
    assert checked.splits == data.splits
    assert (unreadable, duplicates) == ([], [])


def test_imbalance_starts_at_its_ratio():
    assert is_imbalanced([CLASS_IMBALANCE_RATIO * 3, 3])
    assert not is_imbalanced([CLASS_IMBALANCE_RATIO * 3 - 1, 3])
    assert is_imbalanced(np.array([4, 0]))
    assert not is_imbalanced([])
