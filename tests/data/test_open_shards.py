"""Data sets in shards: splits, classes, images without labels, and what is rejected."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pytest

from spectralvision.data.open_data import open_data
from spectralvision.data.splits import Data, split_train_val
from spectralvision.runs import UserError
from spectralvision.tasks.classification.data import describe_left_out_data
from tests.helpers.pictures import class_label, color_of, shard, table_file

NAMES = ["blue", "green", "red"]


@pytest.mark.parametrize("struct", [False, True])
@pytest.mark.parametrize("form", ["class_names", "huggingface", "numbers"])
def test_parquet_shards(tmp_path, form, struct):
    names = ["blue", "green", "red"]
    metadata = {
        "class_names": {b"class_names": json.dumps(names).encode()},
        "huggingface": {
            b"huggingface": json.dumps({"info": {"features": {"label": {"names": names}}}}).encode()
        },
        "numbers": {},
    }[form]
    shard(tmp_path / "train-00000-of-00002.parquet", [0, 1, 2, 0], metadata, struct)
    shard(tmp_path / "train-00001-of-00002.parquet", [2, 2, 1], metadata, struct)
    shard(tmp_path / "validation-00000-of-00001.parquet", [1], metadata, struct)
    data = open_data(str(tmp_path))
    assert data.classes == (tuple(names) if form != "numbers" else ("0", "1", "2"))
    assert {name: len(images) for name, images in data.splits.items()} == {"train": 7, "val": 1}
    train = data.splits["train"]
    assert train.labels.tolist() == [0, 1, 2, 0, 2, 2, 1]
    assert [color_of(train.image(i)) for i in range(7)] == [names[k] for k in train.labels]
    assert train.name(5) == "train-00001-of-00002.parquet#1"
    copy = pickle.loads(pickle.dumps(train))  # as a spawned worker gets it
    assert np.array_equal(np.asarray(copy.image(6)), np.asarray(train.image(6)))


def test_one_shard_or_folders_of_shards(tmp_path):
    shard(tmp_path / "data" / "train" / "0000.parquet", [0, 1])
    shard(tmp_path / "data" / "test" / "0000.parquet", [1])
    assert list(open_data(str(tmp_path)).splits) == ["train", "test"]
    assert list(open_data(str(shard(tmp_path / "other" / "pictures.parquet", [0, 1]))).splits) == [
        "all"
    ]


def test_files_that_are_rejected(tmp_path):
    bad = tmp_path / "a" / "bad.parquet"
    bad.parent.mkdir()
    bad.write_bytes(b"PAR1 nothing")
    with pytest.raises(UserError, match=r"bad\.parquet cannot be read as a parquet file"):
        open_data(str(bad.parent))
    bad.unlink()
    bad.symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match=r"bad\.parquet cannot be read as a parquet file"):
        open_data(str(bad.parent))
    shard(tmp_path / "b" / "x.parquet", [0, 2], {b"class_names": b'["blue", "green"]'})
    with pytest.raises(UserError, match="has the label 2, outside of its 2 classes"):
        open_data(str(tmp_path / "b"))
    table_file(tmp_path / "c" / "train.parquet", image=pa.array([], pa.binary()), label=[])
    with pytest.raises(UserError, match=r"^c has no image in its train shards: add some"):
        open_data(str(tmp_path / "c"))


def test_shards_of_one_name_in_several_folders(tmp_path):
    for folder in ("a", "b"):
        shard(tmp_path / folder / "0.parquet", [0, 1])
    images = open_data(str(tmp_path)).split("all")
    names = [images.name(index) for index in range(4)]
    assert names == ["a/0.parquet#0", "a/0.parquet#1", "b/0.parquet#0", "b/0.parquet#1"]


def open_with_test(folder, test, columns=("image", "label")) -> Data:
    """Open a set of 6 and 3 images whose test split has the labels `test`."""
    metadata = class_label("label", NAMES)
    for split, labels in (("train", [0, 1, 2] * 2), ("validation", [2, 1, 0])):
        table_file(folder / f"{split}-0.parquet", metadata, image=..., label=labels)
    table_file(folder / "test-0.parquet", metadata, image=..., **{columns[1]: test})
    return open_data(str(folder))


@pytest.mark.parametrize(
    ("labels", "column"),
    [
        (pa.array([-1] * 4), "label"),
        (pa.array([None] * 4, pa.int64()), "label"),
        (pa.nulls(4), "label"),
        (pa.array([-1, None, -1, None], pa.int8()), "label"),
        (pa.array([float("nan"), None, -1.0, -1.0]), "label"),
        (pa.array([None] * 4, pa.string()).dictionary_encode(), "label"),
        (pa.array([7] * 4), "id"),
    ],
)
def test_a_split_without_labels_is_left_out(tmp_path, labels, column):
    data = open_with_test(tmp_path / "in1k", labels, ("image", column))
    assert data.classes == tuple(NAMES)
    assert {name: len(images) for name, images in data.splits.items()} == {"train": 6, "val": 3}
    assert data.split("val").labels.tolist() == [2, 1, 0]
    assert data.held_out() == "val"
    assert data.facts["unlabeled"] == {"test": 4}
    assert describe_left_out_data(data)[0] == "skip   4 images of test, which has no labels"
    with pytest.raises(UserError) as caught:
        data.split("test")
    assert str(caught.value) == "in1k has no labels in its split 'test': use train, val."


def test_a_split_with_some_labels_is_rejected(tmp_path):
    for number, labels in enumerate(([-1, 0, None, 2], [-1, 0, -1, 2])):
        with pytest.raises(UserError) as caught:
            open_with_test(tmp_path / str(number), labels)
        assert str(caught.value) == (
            f"{number} has 2 of 4 images without a label in test (null, NaN or -1): label them, or "
            "remove these rows."
        )


def test_labels_are_required_to_train(tmp_path):
    table_file(tmp_path / "x" / "train.parquet", image=..., label=[-1, -1])
    table_file(tmp_path / "x" / "test.parquet", image=..., label=[0, 1])
    with pytest.raises(UserError) as caught:
        open_data(str(tmp_path / "x"))
    assert str(caught.value) == (
        "x has no labels in train (all are null, NaN or -1): add them, or name their column with "
        "--label-column."
    )
    for name, split in (("test", "test"), ("pictures", "all")):
        file = table_file(tmp_path / name / f"{name}.parquet", image=..., label=[None, None])
        with pytest.raises(UserError, match=f"^{name} has no labels in {split}"):
            open_data(str(file))


def test_class_names_without_metadata_leave_out_missing_labels(tmp_path):
    table_file(tmp_path / "train.parquet", image=..., label=["b", "a"])
    table_file(tmp_path / "test.parquet", image=..., label=pa.array([None], pa.string()))
    data = open_data(str(tmp_path))
    assert data.classes == ("a", "b")
    assert data.split("train").labels.tolist() == [1, 0]


def test_a_validation_split_without_labels_is_replaced(tmp_path):
    shard(tmp_path / "train.parquet", [0, 1] * 5)
    shard(tmp_path / "validation.parquet", [-1] * 4)
    data = open_data(str(tmp_path))
    with pytest.raises(UserError, match="no labels in its split 'val'"):
        data.split("val")
    divided = split_train_val(data, 0.2, seed=0)
    assert (len(divided.split("train")), len(divided.split("val"))) == (8, 2)
