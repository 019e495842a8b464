"""The images of shards, and the files that their rows may name."""

import os

import numpy as np
import pyarrow as pa
import pytest

from spectralvision.data.open_data import open_data
from spectralvision.data.splits import split_train_val
from spectralvision.data.validate_images import validate_images
from spectralvision.runs import UserError
from tests.helpers.pictures import color_of, encoded, picture, table_file

PNG = encoded(picture("red", 0))
PATH = pa.struct([("path", pa.string())])
PATH_WITHOUT_BYTES = pa.struct([("bytes", pa.null()), ("path", pa.string())])
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def rows(folder, *values, kind=STRUCT):
    labels = [index % 2 for index in range(len(values))]
    table_file(folder / "x.parquet", image=pa.array(values, kind), label=labels)
    return open_data(str(folder)).split("all")


@pytest.fixture
def folder(tmp_path):
    """Return a folder with an image, beside one that is outside of it."""
    folder = tmp_path / "set"
    (folder / "more").mkdir(parents=True)
    picture("green", 0).save(folder / "more" / "0.png")
    picture("red", 0).save(tmp_path / "secret.png")
    return folder


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.struct([("bytes", pa.binary())])]
)
def test_contents_of_files(tmp_path, kind):
    value = {"bytes": PNG} if pa.types.is_struct(kind) else PNG
    images = rows(tmp_path, value, value, kind=kind)
    assert color_of(images.image(1)) == "red"
    assert images.encoded(1) == PNG
    assert images.name(1) == "x.parquet#1"


@pytest.mark.parametrize("kind", [STRUCT, pa.string(), PATH, PATH_WITHOUT_BYTES])
def test_rows_that_name_a_file_below_the_folder(folder, kind):
    value = "more/0.png" if kind == pa.string() else {"path": "more/0.png"}
    images = rows(folder, value, value, kind=kind)
    assert color_of(images.image(0)) == "green"
    assert images.encoded(0) == (folder / "more" / "0.png").read_bytes()


def test_contents_come_before_the_path(folder):
    images = rows(
        folder, {"bytes": PNG, "path": "/etc/passwd"}, {"bytes": b"", "path": "more/0.png"}
    )
    assert color_of(images.image(0)) == "red"
    with pytest.raises(UserError, match=r"x\.parquet#1 cannot be read as an image"):
        images.image(1)


@pytest.mark.parametrize(
    "path",
    ["{outside}", "../secret.png", "more/../../secret.png", "link.png", "up/secret.png", "a\0b"],
)
def test_files_elsewhere_are_never_opened(folder, path):
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "up").symlink_to(folder.parent)
    path = path.format(outside=folder.parent / "secret.png")
    images = rows(folder, {"path": path}, {"bytes": PNG})
    sentence = f"x.parquet#0 names the file {path}, which is not below the folder of its shard."
    for read in (images.image, images.encoded):
        with pytest.raises(UserError) as caught:
            read(0)
        assert str(caught.value) == sentence.replace("\0", "\\x00")


def test_a_link_within_the_folder_is_followed(folder):
    (folder / "link.png").symlink_to(folder / "more" / "0.png")
    assert color_of(rows(folder, {"path": "link.png"}).image(0)) == "green"


def test_pipes_and_devices_neither_block_nor_fill_memory(folder):
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    names = ["pipe.png", "zero.png", "more", "gone.png"]
    images = rows(folder, *({"path": name} for name in names))
    reasons = [
        f"{folder}/pipe.png cannot be read as an image (not a regular file).",
        "x.parquet#1 names the file zero.png, which is not below the folder of its shard.",
        f"{folder}/more cannot be read as an image (not a regular file).",
        f"{folder}/gone.png does not exist.",
    ]
    for index, reason in enumerate(reasons):
        with pytest.raises(UserError) as caught:
            images.image(index)
        assert str(caught.value) == reason
        with pytest.raises((OSError, UserError)):
            images.encoded(index)


def test_training_leaves_such_rows_out(folder):
    good = [{"bytes": encoded(picture("blue", number))} for number in range(8)]
    rows(folder, *good, {"path": "/etc/passwd"}, {"path": "/etc/passwd"})
    data, unreadable, _ = validate_images(split_train_val(open_data(str(folder)), 0.4, 0))
    assert {one.image for one in unreadable} == {"x.parquet#8", "x.parquet#9"}
    assert all("which is not below the folder" in one.reason for one in unreadable)
    assert np.concatenate([split.labels for split in data.splits.values()]).sum() == 4


def test_a_path_that_is_not_text_is_one_bad_image(folder):
    paths = pa.array([b"\xff.png", b"red.png"], pa.binary()).cast(pa.string(), safe=False)
    content = pa.array([None, encoded(picture("red", 0))], pa.binary())
    column = pa.StructArray.from_arrays([content, paths], names=["bytes", "path"])
    table_file(folder / "odd" / "data.parquet", image=column, label=pa.array([0, 1]))
    images = open_data(str(folder / "odd")).split("all")
    with pytest.raises(UserError, match=r"data\.parquet#0 has a path that is not UTF-8"):
        images.image(0)
    assert color_of(images.image(1)) == "red"
