"""Shards are found once, and read in bounded memory; folders that `save_to_disk` writes."""

import os
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spectralvision.data import shard_files
from spectralvision.data.open_data import open_data
from spectralvision.data.shard_files import find_shards
from spectralvision.runs import UserError, write_json
from tests.helpers.pictures import class_label, color_of, encoded, picture, shard

NAMES = ["blue", "green", "red"]


def found(folder):
    return [str(path.relative_to(folder)) for path in find_shards(folder)]


def test_folders_of_systems_and_links_to_parents(tmp_path):
    shard(tmp_path / "data" / "train" / "0.parquet", [0, 1])
    for name in (".cache", "@eaDir", "data/__MACOSX", "data/.ipynb_checkpoints"):
        shard(tmp_path / name / "0.parquet", [0])
    shard(tmp_path / "data" / "._1.parquet", [0])
    (tmp_path / "data" / "again").symlink_to(tmp_path)
    (tmp_path / "a").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "train" / "copy.parquet").symlink_to(
        tmp_path / "data" / "train" / "0.parquet"
    )
    os.mkfifo(tmp_path / "data" / "pipe.parquet")
    (tmp_path / "data" / "folder.parquet").mkdir()
    assert found(tmp_path) == ["data/train/0.parquet"]
    assert len(open_data(str(tmp_path)).split("train")) == 2


def test_links_to_shards_elsewhere_are_read(tmp_path):
    """Hugging Face's cache has links from names to contents."""
    for split in ("train", "test"):
        target = shard(tmp_path / "blobs" / f"{split}.parquet", [0, 1]).rename(tmp_path / split)
        (tmp_path / "set" / "data").mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / "data" / f"{split}-0.parquet").symlink_to(target)
    assert found(tmp_path / "set") == ["data/test-0.parquet", "data/train-0.parquet"]
    assert list(open_data(str(tmp_path / "set")).splits) == ["train", "test"]


# Memory


def too_large(file, limit="1.0 MiB"):
    with pytest.raises(UserError) as caught:
        open_data(str(file))
    assert str(caught.value) == (
        f"{file} takes more than {limit} of memory, but its file has "
        f"{shard_files.format_bytes(file.stat().st_size)}: store its images in a compressed format."
    )


@pytest.fixture
def small_bound(monkeypatch):
    monkeypatch.setattr(shard_files, "MIN_BOUND", 2**20)


def test_a_file_that_states_too_much_is_not_read(tmp_path, monkeypatch):
    table = pa.table({"image": [bytes(5_000_000)] * 100, "label": [0] * 100})
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd", use_dictionary=False)
    assert (tmp_path / "x.parquet").stat().st_size < 100_000
    read = []

    def iter_batches(self, rows, columns, original=pq.ParquetFile.iter_batches):
        read.append(columns)
        return original(self, rows, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    too_large(tmp_path / "x.parquet", "256.0 MiB")
    assert read == [["label"]]


def test_a_value_that_is_stored_once_for_many_rows(tmp_path, small_bound):
    table = pa.table({"image": [os.urandom(1000)] * 10**4, "label": [0] * 10**4})
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd")
    group = pq.read_metadata(tmp_path / "x.parquet").row_group(0)
    assert group.column(0).total_uncompressed_size < 10**4  # the file states little
    too_large(tmp_path / "x.parquet")


def test_labels_are_bounded_too(tmp_path, small_bound):
    rows = 200_000
    table = pa.table({"image": pa.nulls(rows, pa.binary()), "label": [7] * rows})
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd")
    assert (tmp_path / "x.parquet").stat().st_size < 10_000
    too_large(tmp_path / "x.parquet")


def test_large_shards_of_images_are_read(tmp_path, small_bound):
    rng = np.random.default_rng(0)
    table = pa.table({"image": [rng.bytes(30_000) for _ in range(100)], "label": [0, 1] * 50})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=33)
    images = open_data(str(tmp_path / "x.parquet")).split("all")
    contents = [images.encoded(index) for index in range(100)]
    assert contents == table["image"].to_pylist()


# save_to_disk


def saved(folder, labels, options=None, name="data-00000-of-00001.arrow"):
    """Write what `Dataset.save_to_disk` writes."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [
        {"bytes": encoded(picture(NAMES[label], number)), "path": None}
        for number, label in enumerate(labels)
    ]
    table = pa.table({"image": pa.array(images, kind), "label": labels})
    table = table.replace_schema_metadata(class_label("label", NAMES))
    with pa.ipc.new_stream(folder / name, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=2)
    write_json(folder / "dataset_info.json", {"features": {}})
    write_json(folder / "state.json", {"_data_files": [{"filename": name}], "_split": None})
    return folder


def test_a_saved_data_set(tmp_path):
    saved(tmp_path / "mine", [2, 0, 1, 2, 0])
    (tmp_path / "mine" / "cache-0123.arrow").write_bytes(b"of Dataset.map")
    data = open_data(str(tmp_path / "mine"))
    assert data.classes == tuple(NAMES)
    assert {name: len(images) for name, images in data.splits.items()} == {"all": 5}
    images = data.split("all")
    assert images.labels.tolist() == [2, 0, 1, 2, 0]
    assert [color_of(images.image(i)) for i in range(5)] == ["red", "blue", "green", "red", "blue"]
    copy = pickle.loads(pickle.dumps(images))
    assert copy.encoded(4) == images.encoded(4)


def test_a_saved_dictionary_of_data_sets(tmp_path):
    for split, labels in (("train", [0, 1, 2]), ("validation", [1]), ("test", [-1, -1])):
        saved(tmp_path / split, labels)
    write_json(tmp_path / "dataset_dict.json", {"splits": ["train", "validation", "test"]})
    data = open_data(str(tmp_path))
    assert {name: len(images) for name, images in data.splits.items()} == {"train": 3, "val": 1}
    assert data.facts["unlabeled"] == {"test": 2}


def test_images_of_saved_data_sets_stay_on_disk(tmp_path):
    folder = saved(tmp_path / "mine", [0, 1] * 50)
    before = pa.total_allocated_bytes()
    images = open_data(str(folder)).split("all")
    assert pa.total_allocated_bytes() - before < 10_000
    assert sum(len(images.encoded(index)) for index in range(100)) > 100_000


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"_data_files": []},
        {"_data_files": [{"filename": "../x.arrow"}]},
        {"_data_files": [{"filename": "/etc/passwd"}]},
        {"_data_files": [{"filename": 3}]},
        {
            "_data_files": [{"filename": "x.arrow"}],
            "_indices_data_files": [{"filename": "i.arrow"}],
        },
    ],
)
def test_a_state_that_lists_no_files_of_the_folder(tmp_path, state):
    write_json(saved(tmp_path / "mine", [0, 1], name="x.arrow") / "state.json", state)
    with pytest.raises(UserError) as caught:
        open_data(str(tmp_path / "mine"))
    assert str(caught.value) == (
        f"{tmp_path}/mine/state.json lists no arrow files: save the data set again."
    )


def test_saved_files_that_cannot_be_read(tmp_path, small_bound):
    folder = saved(tmp_path / "mine", [0, 1], name="x.arrow")
    file = folder / "x.arrow"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"x\.arrow cannot be read as an arrow file"):
        open_data(str(folder))
    file.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"x\.arrow cannot be read as an arrow file"):
        open_data(str(folder))
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(UserError) as caught:
        open_data(str(folder))
    assert str(caught.value) == f"{file} is missing or no regular file: save the data set again."


def write_images(file, images, **options):
    table = pa.table({"image": images, "label": pa.array([0] * len(images))})
    options = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_stream(file, table.schema, options=options) as writer:
        writer.write_table(table)


def test_offsets_that_point_outside_of_a_saved_file(tmp_path):
    folder = saved(tmp_path / "mine", [0, 1], name="x.arrow")
    offsets = pa.array([0, 10**6, 4], pa.int32()).buffers()[1]
    values = pa.py_buffer(b"1234")
    write_images(folder / "x.arrow", pa.Array.from_buffers(pa.binary(), 2, [None, offsets, values]))
    with pytest.raises(UserError, match=r"x\.arrow cannot be read as an arrow file"):
        open_data(str(folder))


def test_a_saved_file_that_decompresses_to_too_much(tmp_path, small_bound):
    folder = saved(tmp_path / "mine", [0, 1], name="x.arrow")
    write_images(folder / "x.arrow", pa.array([bytes(10**6)] * 4), compression="zstd")
    with pytest.raises(UserError, match=r"x\.arrow takes more than 1\.0 MiB of memory"):
        open_data(str(folder))


def test_two_links_to_one_shard_elsewhere_count_once(tmp_path):
    shard(tmp_path / "store" / "a.parquet", [0, 1, 0, 1])
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("one.parquet", "two.parquet"):
        (folder / name).symlink_to(tmp_path / "store" / "a.parquet")
    assert len(open_data(str(folder)).split("all")) == 4
