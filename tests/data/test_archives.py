"""Zip and tar archives as data sets: the same images as in a folder, and hostile archives."""

import io
import multiprocessing
import pickle
import random
import struct
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from spectralvision.data import archive_formats, archives
from spectralvision.data.open_data import open_data
from spectralvision.data.splits import fingerprint, split_train_val
from spectralvision.data.validate_images import validate_images
from spectralvision.runs import UserError
from tests.helpers.image_bytes import black_png
from tests.helpers.pack import pack, pack_members
from tests.helpers.pictures import COLOURS, encoded, image_folder, picture

SUFFIXES = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"]
PNG = encoded(picture("red", 0))


@pytest.fixture
def photos(tmp_path):
    return image_folder(tmp_path / "photos", 3)


def pixels(images):
    return [np.asarray(images.image(index)) for index in range(len(images))]


def check_same(archive, folder):
    """Compare what an archive and a folder hold."""
    packed, plain = open_data(str(archive)), open_data(str(folder))
    assert (packed.classes, packed.facts) == (plain.classes, plain.facts)
    assert list(packed.splits) == list(plain.splits)
    for split, images in plain.splits.items():
        assert len(images)
        assert fingerprint(packed.split(split)) == fingerprint(images)
        for one, other in zip(pixels(packed.split(split)), pixels(images), strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("top", ["", "photos/", "./", "./archive/photos/"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_holds_what_the_folder_holds(tmp_path, photos, suffix, top):
    archive = pack(photos, tmp_path / f"photos{suffix}", top)
    check_same(archive, photos)
    assert open_data(str(archive)).name == "photos"


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_splits_other_formats_and_class_names_are_those_of_the_folder(tmp_path, suffix):
    folder = tmp_path / "root"
    image_folder(folder / "train", 3)
    image_folder(folder / "Validation", 2, first=9)
    (folder / "train" / "blue").rename(folder / "train" / "cafe\u0301")
    (folder / "Validation" / "blue").rename(folder / "Validation" / "caf\u00e9")
    for name in ("a.mov", "b.MOV", "deep/c.cr2", "._0.png", "Thumbs.db"):
        (folder / "train" / "red" / name).parent.mkdir(exist_ok=True)
        (folder / "train" / "red" / name).write_bytes(PNG)
    for name in ("__MACOSX/train/red", "@eaDir", ".Trash"):
        (folder / name).mkdir(parents=True)
        (folder / name / "9.png").write_bytes(PNG)
    archive = pack(folder, tmp_path / f"root{suffix}", "top/")
    check_same(archive, folder)
    data = open_data(str(archive))
    assert data.classes == ("caf\u00e9", "green", "red")
    assert data.facts == {"left_out": {".mov": 2, ".cr2": 1}}
    assert {split: len(images) for split, images in data.splits.items()} == {"train": 9, "val": 6}


def test_an_archive_of_one_split_or_class_keeps_its_folder(tmp_path, photos):
    assert list(open_data(str(pack(photos, tmp_path / "a.zip", "train/"))).splits) == ["train"]
    archive = pack(photos / "red", tmp_path / "b.zip", "photos/red/")
    assert open_data(str(archive)).classes == ("red",)


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"0.png": PNG, "1.png": PNG}, "contains 2 images but no class folders: put the images"),
        ({"a.mov": PNG}, r"contains no images \(1 \.mov: extract the frames"),
        ({}, "contains no images: put the images of each class"),
        ({"red/0.png": PNG, "blue/notes.txt": b""}, r"a\.zip/blue contains no images: add some"),
        ({"train/a/0.png": PNG, "val/b/0.png": PNG}, "has the class 'b' in val, but not in train"),
        ({"train/a/0.png": PNG, "more/b/0.png": PNG}, r"other folders beside its splits \(more\)"),
        ({"/red/0.png": PNG}, r"has the absolute path /red/0\.png"),
        ({"C:/red/0.png": PNG}, r"has the absolute path C:/red/0\.png"),
        ({"red/../../0.png": PNG}, r"has a path with \.\. \(red/\.\./\.\./0\.png\)"),
    ],
)
def test_layouts_and_names_that_are_rejected(tmp_path, members, sentence):
    for suffix in (".zip", ".tar"):
        archive = pack_members(tmp_path / f"a{suffix}", members)
        with pytest.raises(UserError, match=sentence.replace(r"\.zip", rf"\{suffix}")):
            open_data(str(archive))


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "a link"),
        ({"type": tarfile.LNKTYPE, "linkname": "b/0.png"}, "a link"),
        ({"type": tarfile.FIFOTYPE}, "a device or pipe"),
        ({"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}, "a device or pipe"),
    ],
)
def test_links_and_devices_in_tar_are_rejected(tmp_path, attributes, kind):
    archive = pack_members(tmp_path / "a.tar", {"red/0.png": b""}, **attributes)
    with pytest.raises(UserError, match=rf"a\.tar has {kind} \(red/0\.png\): pack regular files"):
        open_data(str(archive))


@pytest.mark.parametrize(("mode", "kind"), [(0o120777, "a link"), (0o010600, "a device or pipe")])
def test_links_and_devices_in_zip_are_rejected(tmp_path, mode, kind):
    archive = pack_members(
        tmp_path / "a.zip", {"red/0.png": b"/etc/passwd"}, create_system=3, external_attr=mode << 16
    )
    with pytest.raises(UserError, match=rf"a\.zip has {kind} \(red/0\.png\): pack regular files"):
        open_data(str(archive))


def test_encrypted_zip_is_rejected(tmp_path, photos):
    archive = pack(photos, tmp_path / "a.zip")
    content = archive.read_bytes()
    start = content.index(b"PK\1\2")  # zipfile does not write them: set the flag by hand
    archive.write_bytes(content[: start + 8] + b"\1" + content[start + 9 :])
    with pytest.raises(UserError, match=r"a\.zip is encrypted: pack it again without a password"):
        open_data(str(archive))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_in_zip_is_rejected(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as packed:
        packed.writestr("red/0.png", PNG)
    with pytest.raises(
        UserError, match=rf"red/0\.png in zip's compression method {method}, but only deflate"
    ):
        open_data(str(tmp_path / "a.zip"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_broken_archives_are_one_sentence(tmp_path, photos, suffix):
    archive = pack(photos, tmp_path / f"a{suffix}")
    content = archive.read_bytes()
    for broken in (b"", b"nothing", content[: len(content) // 2], content[1000:]):
        archive.write_bytes(broken)
        with pytest.raises(UserError, match=rf"a\{suffix} cannot be read as an archive \("):
            open_data(str(archive))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_flipped_bytes_are_an_error_or_another_image_and_no_crash(tmp_path, suffix):
    archive = pack(image_folder(tmp_path / "small", 1), tmp_path / f"a{suffix}")
    content = archive.read_bytes()
    random_numbers = random.Random(0)
    rejected = 0
    for _ in range(150):
        flipped = bytearray(content)
        for _ in range(random_numbers.choice([1, 8])):
            flipped[random_numbers.randrange(len(content))] = random_numbers.randrange(256)
        archive.write_bytes(flipped)
        try:
            pixels(open_data(str(archive)).split("all"))
        except UserError:  # and nothing else
            rejected += 1
    assert rejected > 10


def test_a_tar_does_not_end_silently_where_a_header_is_damaged_or_missing(tmp_path):
    archive = pack_members(tmp_path / "a.tar", {"red/0.png": PNG, "b/0.png": PNG})
    content = archive.read_bytes()
    start = content.index(b"b/0.png")
    sentence = (
        rf"a\.tar cannot be read as an archive \(neither a member nor the end at byte {start}\)"
    )
    for broken in (content[:start] + b"X" + content[start + 1 :], content[:start]):
        archive.write_bytes(broken)
        with pytest.raises(UserError, match=sentence):
            open_data(str(archive))


def test_a_damaged_member_of_a_zip_is_one_bad_image(tmp_path, photos):
    archive = pack(photos, tmp_path / "a.zip")
    with zipfile.ZipFile(archive) as packed:
        start = packed.getinfo("green/1.png").header_offset + 200
    content = archive.read_bytes()
    archive.write_bytes(content[:start] + bytes(8) + content[start + 8 :])
    data = split_train_val(open_data(str(archive)), 0.34, 0)
    _, unreadable, _ = validate_images(data)
    assert [one.image for one in unreadable] == ["green/1.png"]
    images = open_data(str(archive)).split("all")
    with pytest.raises(UserError, match=r"a\.zip/green/1\.png cannot be read as an image \("):
        images.image(4)
    assert images.image(5).size == (24, 24)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_an_archive_that_changes_is_an_error(tmp_path, photos, suffix):
    archive = pack(photos, tmp_path / f"a{suffix}")
    images = open_data(str(archive)).split("all")
    pack(photos, archive, "longer/")
    with pytest.raises(UserError, match=r"cannot be read as an image \(a.* has changed since it"):
        images.image(0)
    archive.unlink()
    with pytest.raises(UserError, match=r"cannot be read as an image \(No such file"):
        images.image(0)


def test_the_number_of_members_is_bounded(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 9)
    for suffix in (".zip", ".tar"):
        archive = pack(photos, tmp_path / f"a{suffix}")
        assert len(open_data(str(archive)).split("all")) == 9
        monkeypatch.setattr(archives, "MAX_MEMBERS", 8)
        with pytest.raises(UserError, match=r"has more than 8 members: unpack it"):
            open_data(str(archive))
        monkeypatch.setattr(archives, "MAX_MEMBERS", 9)


def test_zip_bombs_are_rejected(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("red/0.bmp", bytes(2**25))
    with pytest.raises(UserError, match=r"a\.zip unpacks to 32\.0 MiB, more than 200 times its"):
        open_data(str(tmp_path / "a.zip"))
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as packed:  # in an archive that is large enough
        packed.writestr("red/1.png", random.Random(0).randbytes(2**18))
    images = open_data(str(tmp_path / "a.zip")).split("all")
    with pytest.raises(UserError, match=r"0\.bmp cannot .* \(compressed more than 200 times\)"):
        images.image(0)


def test_a_member_that_unpacks_to_more_than_it_says_is_damaged(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("red/0.png", bytes(2**22))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, 100)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"0\.png cannot .* \(damaged in the archive\)"):
        open_data(str(tmp_path / "a.zip")).split("all").image(0)


def test_members_are_as_large_as_files_may_be(tmp_path, photos, monkeypatch):
    monkeypatch.setattr("spectralvision.data.image_files.MAX_DECODED_BYTES", 1000)
    for suffix in (".zip", ".tar"):
        images = open_data(str(pack(photos, tmp_path / f"a{suffix}"))).split("all")
        with pytest.raises(UserError, match=r"0\.png cannot be read as an image \(a file of"):
            images.image(0)


@pytest.mark.parametrize("suffix", SUFFIXES[2:])
def test_compressed_tars_are_unpacked_within_a_bound(tmp_path, photos, monkeypatch, suffix):
    archive = pack(photos, tmp_path / f"a{suffix}")
    monkeypatch.setattr(archive_formats, "MAX_UNPACKED_BYTES", 4096)
    with pytest.raises(
        UserError,
        match=rf"a\{suffix} unpacks to more than 4\.0 KiB, which is too much .* pack it as \.zip",
    ):
        open_data(str(archive))


def test_sparse_members_are_rejected(tmp_path):
    header = tarfile.TarInfo("red/0.png")
    header.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**40)}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as packed:
        packed.addfile(header, io.BytesIO())
    with pytest.raises(UserError, match=r"has a sparse file \(red/0\.png\)"):
        open_data(str(tmp_path / "a.tar"))


def test_a_bomb_of_pixels_is_one_bad_image(tmp_path):
    archive = pack_members(tmp_path / "a.zip", {"red/0.png": black_png(30000, 30000, 1, 0)})
    with pytest.raises(UserError, match=r"a\.zip/red/0\.png cannot be read as an image \(more th"):
        open_data(str(archive)).split("all").image(0)


def test_names_of_windows_and_other_encodings(tmp_path):
    members = {"p\\red\\0.png": PNG, "p\\b\\1.png": PNG}
    archive = pack_members(tmp_path / "a.zip", members, create_system=0)
    assert open_data(str(archive)).classes == ("b", "red")
    pack_members(tmp_path / "a.tar", {"bl\udcfc/caf\udce9.png": PNG, "red/0.png": PNG})
    data = open_data(str(tmp_path / "a.tar"))
    assert data.classes == ("bl\udcfc", "red")
    assert data.split("all").image(0).size == (24, 24)


def test_of_two_members_with_one_name_the_last_counts(tmp_path):
    archive = pack_members(tmp_path / "a.tar", {"red/0.png": PNG, "b/0.png": PNG})
    newer = encoded(picture("red", 0, side=30))
    with tarfile.open(archive, "a") as packed:
        header = tarfile.TarInfo("./red/0.png")
        header.size = len(newer)
        packed.addfile(header, io.BytesIO(newer))
    images = open_data(str(archive)).split("all")
    assert [images.image(index).size for index in range(2)] == [(24, 24), (30, 30)]


def read_all(images, queue):
    queue.put([images.image(index).tobytes() for index in range(len(images))])


@pytest.mark.parametrize(
    ("suffix", "method"), [(".zip", "fork"), (".tar", "fork"), (".tgz", "fork"), (".zip", "spawn")]
)
def test_processes_and_threads_read_independently(tmp_path, suffix, method):
    folder = image_folder(tmp_path / "photos", 6)
    images = open_data(str(pack(folder, tmp_path / f"a{suffix}"))).split("all")
    right = [image.tobytes() for image in pixels(images)]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    workers = [context.Process(target=read_all, args=(images, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    with ThreadPoolExecutor(4) as pool:
        order = list(range(len(images))) * 4
        read = pool.map(lambda index: images.image(index).tobytes(), order)
        assert list(read) == right * 4
    assert [queue.get(timeout=60) for _ in workers] == [right, right]
    for worker in workers:
        worker.join()


def test_the_content_of_a_compressed_tar_is_not_pickled(tmp_path, photos):
    images = open_data(str(pack(photos, tmp_path / "a.tgz"))).split("all")
    assert len(pickle.dumps(images)) < 4000
    copy = pickle.loads(pickle.dumps(images))  # as a spawned worker gets it
    assert len(copy) == 3 * len(COLOURS)
    assert np.array_equal(pixels(copy), pixels(images))


def test_a_top_folder_that_names_a_split_is_the_split(tmp_path, photos):
    archive = pack(photos, tmp_path / "photos.zip", top="flowers-train/")
    assert list(open_data(str(archive)).splits) == ["train"]
