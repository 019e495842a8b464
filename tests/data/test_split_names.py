"""Split words in the names of shards and of their folders."""

from pathlib import Path

import pytest

from spectralvision.data.open_data import open_data
from spectralvision.data.split_names import find_split_word, group_by_split
from spectralvision.runs import UserError
from tests.helpers.pictures import image_folder, shard


@pytest.mark.parametrize(
    ("name", "word"),
    {
        "train-00000-of-00002": "train",
        "cifar10-train": "train",
        "my_data.test": "test",
        "Training2012": "training",
        "2012val": "val",
        "x_valid_3": "valid",
        "validation": "validation",
        "dev-1": "dev",
        "a testing set": "testing",
        "eval": "eval",
        "été-train": "train",
        "valuables": None,
        "pottery": None,
        "trainer": None,
        "latest": None,
        "trainé": None,
        "trainval": None,
        "device": None,
        "": None,
    }.items(),
)
def test_words_are_set_off_by_anything_but_letters(name, word):
    assert find_split_word(name) == word


def test_a_name_with_two_words_is_rejected():
    with pytest.raises(UserError) as caught:
        find_split_word("train_and_test")
    assert str(caught.value) == (
        "train_and_test names two splits (test, train): keep one of these words."
    )
    assert find_split_word("train-of-train") == "train"


def group(*names):
    files = [Path("root", name) for name in names]
    groups = group_by_split(Path("root"), files)
    return {split: [str(file.relative_to("root")) for file in groups[split]] for split in groups}


def test_the_nearest_name_counts():
    assert group("test/train-1.parquet", "test/a/2.parquet", "dev/x/test/y/3.parquet") == {
        "train": ["test/train-1.parquet"],
        "test": ["test/a/2.parquet", "dev/x/test/y/3.parquet"],
    }
    assert group("default/partial-train/0000.parquet", "default/partial-test/0000.parquet") == {
        "train": ["default/partial-train/0000.parquet"],
        "test": ["default/partial-test/0000.parquet"],
    }
    assert list(group("z-test.parquet", "dev.parquet", "a-train.parquet")) == [
        "train",
        "val",
        "test",
    ]
    assert group("valuables.parquet", "pottery.parquet") == {
        "all": ["valuables.parquet", "pottery.parquet"]
    }


def test_splits_are_never_merged_silently():
    with pytest.raises(UserError) as caught:
        group("my-train.parquet", "extra.parquet")
    assert str(caught.value) == (
        "root/extra.parquet belongs to no split, but others do: put train, val or test into its "
        "name."
    )
    with pytest.raises(UserError) as caught:
        group("train.parquet", "dev.parquet", "validation.parquet")
    assert str(caught.value) == (
        "root has the same split twice (dev, validation): keep one of them."
    )


def test_the_name_of_the_data_set_itself_is_no_split(tmp_path):
    shard(tmp_path / "test-sets" / "x.parquet", [0, 1])
    assert list(open_data(str(tmp_path / "test-sets")).splits) == ["all"]
    file = shard(tmp_path / "val" / "x-train.parquet", [0, 1])
    assert list(open_data(str(file)).splits) == ["train"]


def test_folders_of_images_use_the_same_words(tmp_path):
    image_folder(tmp_path / "Training", 2)
    image_folder(tmp_path / "dev", 1, first=5)
    image_folder(tmp_path / "eval", 1, first=8)
    splits = open_data(str(tmp_path)).splits
    assert {name: len(images) for name, images in splits.items()} == {
        "train": 6,
        "val": 3,
        "test": 3,
    }
    image_folder(tmp_path / "training", 1)
    with pytest.raises(UserError, match=r"has the same split twice \(Training, training\)"):
        open_data(str(tmp_path))


def test_folders_with_split_words_that_have_classes_are_splits(tmp_path):
    """Otherwise `photos-train` and `photos-test` would be two classes, and test images trained on.

    Classes may have such words in their names, as they have no folders.
    """
    image_folder(tmp_path / "photos-train", 2)
    image_folder(tmp_path / "photos-test", 1)
    splits = open_data(str(tmp_path)).splits
    assert {name: len(images) for name, images in splits.items()} == {"train": 6, "test": 3}
    image_folder(tmp_path / "more-train", 1)
    with pytest.raises(UserError, match=r"the same split twice \(more-train, photos-train\)"):
        open_data(str(tmp_path))
    things = image_folder(tmp_path / "things", 2, classes=("red", "blue"))
    (things / "red").rename(things / "test tube")
    (things / "blue").rename(things / "train station")
    data = open_data(str(things))
    assert (data.classes, list(data.splits)) == (("test tube", "train station"), ["all"])


@pytest.mark.parametrize(
    "word", ["trainset", "train_set", "trainData", "train-images", "TRAIN2017"]
)
def test_words_that_are_written_together(word):
    assert find_split_word(word) == "train"


def test_a_class_may_name_two_splits(tmp_path):
    things = image_folder(tmp_path / "things", 2, classes=("red", "blue"))
    (things / "red").rename(things / "test-train")
    assert open_data(str(things)).classes == ("blue", "test-train")
