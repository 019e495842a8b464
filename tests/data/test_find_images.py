"""Image files of folders: each once, whatever links and other programs have left there."""

import os
import socket

import pytest

from spectralvision.data.find_images import find_images, is_ignored, scan_folder
from spectralvision.data.open_data import open_data
from spectralvision.data.splits import split_train_val
from spectralvision.runs import UserError
from tests.helpers.pictures import COLOURS, encoded, image_folder, picture

COUNT = 3 * len(COLOURS)


@pytest.fixture
def photos(tmp_path):
    return image_folder(tmp_path / "photos", 3)


def counts(folder):
    """(images of the data set, images that predict finds)."""
    return len(open_data(str(folder)).split("all")), len(find_images(folder))


@pytest.mark.parametrize(
    "folder",
    [
        ".ipynb_checkpoints", ".thumbnails", ".Trash-1000", "@eaDir", "__MACOSX", "#recycle",
        "$RECYCLE.BIN", "System Volume Information", "lost+found", ".@__thumb", "@__thumb",
        "__pycache__",
    ],
)  # fmt: skip
def test_folders_of_other_programs_hold_no_images(photos, folder):
    for parent in (photos / "red", photos):
        (parent / folder / "deep").mkdir(parents=True)
        picture("red", 9).save(parent / folder / "9.png")
        picture("red", 9).save(parent / folder / "deep" / "9.png")
    data = open_data(str(photos))
    assert (data.classes, counts(photos)) == (tuple(COLOURS), (COUNT, COUNT))


def test_training_runs_among_the_classes_are_no_classes(photos):
    """`train --data .` in the folder of the images writes its runs there."""
    for run in ("runs/photos-affnet_et", "experiment"):
        (photos / run / "checkpoints").mkdir(parents=True)
        (photos / run / "run.json").write_text("{}")
    assert open_data(str(photos)).classes == tuple(COLOURS)
    picture("red", 9).save(photos / "runs" / "9.png")
    (photos / "runs" / "photos-affnet_et" / "run.json").unlink()
    (photos / "red" / "run.json").write_text("{}")
    assert open_data(str(photos)).classes == (*COLOURS, "runs")  # people who run


def test_hidden_files_and_others_than_images_are_left_out(photos):
    for name in ("._0.png", ".0.png", "Thumbs.db", "desktop.ini", "0.png~", "0.png.part", "0"):
        (photos / "red" / name).write_bytes(encoded(picture("red", 0)))
    assert counts(photos) == (COUNT, COUNT)


@pytest.mark.parametrize("name", ["recycled", "tmp", "@home", "$5", "#1", "_private", "cache"])
def test_other_names_are_classes(photos, name):
    assert not is_ignored(name)
    (photos / "red").rename(photos / name)
    assert counts(photos) == (COUNT, COUNT)
    assert name in open_data(str(photos)).classes


@pytest.mark.parametrize("where", ["red/loop", "loop", "red/deep/loop"])
@pytest.mark.parametrize("target", [".", "..", "red", "/"])
def test_links_to_folders_above_are_not_followed(photos, where, target):
    (photos / where).parent.mkdir(exist_ok=True)
    if target == "red" and where == "loop":
        return  # a class of its own: see the next test
    (photos / where).symlink_to(photos / target)
    assert counts(photos) == (COUNT, COUNT)
    data = split_train_val(open_data(str(photos)), 0.34, 0)
    assert [len(data.split(split)) for split in ("train", "val")] == [6, 3]


def test_links_to_another_class_do_not_mix_the_classes(photos):
    (photos / "red" / "more").symlink_to(photos / "blue")
    (photos / "red" / "one.png").symlink_to(photos / "red" / "0.png")
    assert counts(photos) == (COUNT, COUNT)
    assert len(find_images(photos / "red")) == 6  # red and the blue ones that it links to


def test_a_link_that_passes_through_another_folder_ends(photos, tmp_path):
    pool = image_folder(tmp_path / "pool", 1, first=7, classes=("red",))
    (pool / "back").symlink_to(photos)
    (photos / "red" / "pool").symlink_to(pool)
    (photos / "red" / "again").symlink_to(pool / "red")
    assert counts(photos) == (COUNT + 1, COUNT + 1)


def test_links_that_people_make_are_followed(tmp_path):
    pool = image_folder(tmp_path / "pool", 3)
    linked = tmp_path / "linked"
    (linked / "blue").mkdir(parents=True)
    for file in (pool / "blue").iterdir():
        (linked / "blue" / f"a-{file.name}").symlink_to(file)
    (linked / "red").symlink_to(pool / "red")
    (linked / "green").mkdir()
    (linked / "green" / "part").symlink_to(pool / "green")
    assert counts(linked) == (COUNT, COUNT)
    (tmp_path / "root").symlink_to(linked)
    assert counts(tmp_path / "root") == (COUNT, COUNT)
    data = open_data(str(tmp_path / "root"))
    assert {data.split("all").image(index).size for index in range(COUNT)} == {(24, 24)}


def test_links_whose_target_is_gone_are_reported_when_opened(photos):
    (photos / "red" / "gone.png").symlink_to(photos / "nowhere.png")
    (photos / "red" / "self.png").symlink_to(photos / "red" / "self.png")
    images = open_data(str(photos)).split("all")
    names = [images.name(index) for index in range(len(images))]
    assert len(names) == COUNT + 2
    with pytest.raises(UserError, match=r"gone\.png does not exist"):
        images.image(names.index("red/gone.png"))
    with pytest.raises(UserError, match=r"self\.png cannot be read as an image \(Too many levels"):
        images.image(names.index("red/self.png"))


def test_pipes_devices_and_sockets_are_no_images(photos, monkeypatch):
    os.mkfifo(photos / "red" / "pipe.png")
    (photos / "red" / "device.png").symlink_to("/dev/zero")
    (photos / "red" / "folder.png").mkdir()
    monkeypatch.chdir(photos / "red")  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket.png")
    assert counts(photos) == (COUNT, COUNT)


def test_the_order_is_by_folder_and_links_keep_their_names(tmp_path):
    for name in ("b/0.png", "a-b/0.png", "a/1.png", "a/0.PNG", "c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "b" / "0.png")
    (tmp_path / "a" / "other.png").symlink_to("/etc/hostname")
    found = scan_folder(tmp_path).images
    assert found == ["a/0.PNG", "a/1.png", "a/other.png", "a-b/0.png", "b/0.png", "c.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_an_error(photos):
    (photos / "red").chmod(0)
    with pytest.raises(UserError, match=r"red cannot be read \(Permission denied\)"):
        find_images(photos)
    (photos / "red").chmod(0o700)


def test_other_formats_are_counted_by_suffix(photos):
    for name in ("a.HEIC", "b.heic", "c.mov", "d.CR2", "e.txt", "deep/f.svg"):
        (photos / "red" / name).parent.mkdir(exist_ok=True)
        (photos / "red" / name).touch()
    found = scan_folder(photos / "red")
    assert found.left_out.keys() >= {".mov", ".cr2", ".svg"}
    assert (found.left_out[".mov"], found.left_out[".svg"], found.left_out[".txt"]) == (1, 1, 0)


def test_many_classes_are_found_in_linear_time(tmp_path, monkeypatch):
    """The folders of the others are resolved once, not once for each class."""
    calls: list[object] = []
    realpath = os.path.realpath
    monkeypatch.setattr(
        os.path, "realpath", lambda path, **kw: calls.append(path) or realpath(path, **kw)
    )
    counts = []
    for classes in (20, 40):
        root = tmp_path / str(classes)
        for number in range(classes):
            image_folder(root / f"{number:02}", 1, classes=("red",))
        calls.clear()
        assert len(open_data(str(root)).classes) == classes
        counts.append(len(calls))
    assert 0 < counts[0] < counts[1] < 2.1 * counts[0]
