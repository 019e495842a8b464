"""Which columns of shards are read, and the class names that they store."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spectralvision.data.open_data import open_data
from spectralvision.data.shard_columns import Columns
from spectralvision.runs import UserError
from tests.helpers.pictures import class_label, image_folder, table_file


def columns_of(folder, columns=None, metadata=None, **table):
    table_file(folder / "x.parquet", metadata, **table)
    return open_data(str(folder), columns=columns).facts["columns"]


@pytest.mark.parametrize(
    ("table", "image", "label"),
    [
        ({"img": ..., "fine_label": [0, 1]}, "img", "fine_label"),
        ({"picture": ..., "species": ["cat", "dog"]}, "picture", "species"),
        ({"image": ..., "thumbnail": ..., "label": [0, 1], "id": [5, 6]}, "image", "label"),
        ({"photo": ..., "size": [1.5, 2.5], "kind": [True, False]}, "photo", "kind"),
        ({"photo": ..., "__index_level_0__": [0, 1], "class": [0, 1]}, "photo", "class"),
    ],
)
def test_columns_are_found_by_name_or_type(tmp_path, table, image, label):
    assert columns_of(tmp_path, **table) == {"image": image, "label": label}


def test_the_only_class_label_is_found_among_numbers(tmp_path):
    found = columns_of(
        tmp_path, metadata=class_label("kind", ["a", "b"]), photo=..., id=[8, 9], kind=[0, 1]
    )
    assert found == {"image": "photo", "label": "kind"}


def test_given_columns_and_those_of_a_run(tmp_path):
    table = {"image": ..., "other": ..., "label": [0, 1], "fine": [1, 0], "coarse": [0, 0]}
    run = {"image": "other", "label": "fine"}
    assert columns_of(tmp_path, Columns("other", "coarse", run), **table) == {
        "image": "other",
        "label": "coarse",
    }
    assert columns_of(tmp_path, Columns(run=run), **table) == run
    data = open_data(str(tmp_path), columns=Columns(run=run))
    assert data.split("all").labels.tolist() == [1, 0]
    gone = {"image": "gone", "label": "gone"}
    assert columns_of(tmp_path, Columns(run=gone), **table) == {"image": "image", "label": "label"}


@pytest.mark.parametrize(
    ("table", "columns", "sentence"),
    [
        (
            {"image": ..., "fine": [0, 1], "coarse": [0, 0]},
            None,
            "has no column 'label', and several that fit (fine, coarse): name one of its columns "
            "(image, fine, coarse) with --label-column.",
        ),
        (
            {"a": ..., "b": ..., "label": [0, 1]},
            None,
            "has no column 'image', and several that fit (a, b): name one of its columns (a, b, "
            "label) with --image-column.",
        ),
        (
            {"file": ["a.jpg", "b.jpg"], "label": [0, 1]},
            None,
            "has no column 'image': name one of its columns (file, label) with --image-column.",
        ),
        (
            {"image": ..., "label": [0, 1]},
            Columns(label="fine"),
            "has no column 'fine' for --label-column: its columns are image, label.",
        ),
    ],
)
def test_columns_that_cannot_be_found(tmp_path, table, columns, sentence):
    with pytest.raises(UserError) as caught:
        columns_of(tmp_path, columns, **table)
    assert str(caught.value) == f"{tmp_path}/x.parquet {sentence}"


@pytest.mark.parametrize(
    ("images", "kind"),
    [
        (pa.array([[0, 255], [9, 9]]), "list<element: int64>"),
        (pa.nulls(2), "null"),
        (pa.array([{"a": b""}] * 2), "struct<a: binary>"),
        (pa.array([{"bytes": "/etc/passwd"}] * 2), "struct<bytes: string>"),
        (pa.array([{"bytes": b"", "path": 0}] * 2), "struct<bytes: binary, path: int64>"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_column_that_holds_no_images(tmp_path, images, kind):
    with pytest.raises(UserError) as caught:
        columns_of(tmp_path, image=images, label=[0, 1])
    assert str(caught.value) == (
        f"the column 'image' of {tmp_path}/x.parquet has the type {kind}, not the content of image "
        "files: name another with --image-column."
    )


def test_a_column_that_occurs_twice(tmp_path):
    images, labels = pa.array([b"1", b"2"]), pa.array([0, 1])
    for names in (["image", "image", "label"], ["label", "image", "label"]):
        columns = [images if name == "image" else labels for name in names]
        pq.write_table(pa.Table.from_arrays(columns, names=names), tmp_path / "x.parquet")
        with pytest.raises(UserError) as caught:
            open_data(str(tmp_path))
        twice = names[0]
        assert str(caught.value) == (
            f"{tmp_path}/x.parquet has the column {twice!r} twice: rename one of them."
        )


def test_columns_are_for_shards_only(tmp_path):
    folder = image_folder(tmp_path / "photos", 1)
    for spec in (str(folder), "digits", "torch/cifar10"):
        with pytest.raises(UserError) as caught:
            open_data(spec, columns=Columns(label="fine"))
        assert str(caught.value) == f"{spec} has no parquet shards: remove --label-column."


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["cat", "dog", "cat"], "has the class name 'cat' twice: rename one of them."),
        (
            ["caf\u00e9", "cafe\u0301"],
            "has the class name 'caf\u00e9' twice: rename one of them.",
        ),
        ("cat", "has class names that cannot be read (a list is expected, not str)."),
        ({"0": "cat"}, "has class names that cannot be read (a list is expected, not dict)."),
    ],
)
def test_class_names_that_are_rejected(tmp_path, names, sentence):
    own = {b"class_names": json.dumps(names).encode()}
    for metadata in (own, class_label("label", names)):
        with pytest.raises(UserError) as caught:
            columns_of(tmp_path, metadata=metadata, image=..., label=[0, 1])
        assert str(caught.value) == f"{tmp_path}/x.parquet {sentence}"


def test_metadata_that_is_not_json(tmp_path):
    for metadata in ({b"class_names": b"["}, {b"huggingface": b"[1]"}, {b"huggingface": b"{"}):
        with pytest.raises(UserError, match=r"x\.parquet has class names that cannot be read"):
            columns_of(tmp_path, metadata=metadata, image=..., label=[0, 1])


def test_shards_that_store_different_class_names(tmp_path):
    for split, names in (("train", ["cat", "dog"]), ("test", ["dog", "cat"])):
        metadata = class_label("label", names)
        table_file(tmp_path / f"{split}.parquet", metadata, image=..., label=[0, 1])
    with pytest.raises(UserError) as caught:
        open_data(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}/train.parquet and {tmp_path}/test.parquet store different class names: open "
        "them one by one."
    )


def test_columns_whose_names_have_dots(tmp_path):
    images = pa.array([b"1", b"2"])
    table = {"my.other": pa.array([b"8", b"9"]), "my": images, "label": [0, 1]}
    assert columns_of(tmp_path, Columns("my"), **table) == {"image": "my", "label": "label"}
    images_read = open_data(str(tmp_path), columns=Columns("my")).split("all")
    assert [images_read.encoded(index) for index in range(2)] == [b"1", b"2"]
    assert columns_of(tmp_path, **{"my.image": images, "my.label": [0, 1]}) == {
        "image": "my.image",
        "label": "my.label",
    }
