"""Formats by suffix: what is read where the libraries allow it, and what is said about the rest."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, features

from spectralvision.data import image_formats
from spectralvision.data.image_files import open_image
from spectralvision.data.image_formats import (
    PILLOW_FEATURES,
    SUFFIXES,
    describe_left_out,
    readable_formats,
    readable_suffixes,
    unreadable_suffixes,
)
from spectralvision.data.open_data import open_data
from spectralvision.runs import UserError
from spectralvision.tasks.classification.data import describe_left_out_data
from tests.helpers.pictures import image_folder, picture


@pytest.fixture
def fresh():
    """Forget what this installation reads, before and after."""
    cached = (readable_formats, readable_suffixes, unreadable_suffixes)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.mark.parametrize("name", sorted(set(SUFFIXES) - {"HEIF"}))
def test_what_pillow_writes_is_read(name, tmp_path):
    if name not in readable_formats():
        pytest.skip(f"this Pillow has no {name}")
    for suffix in SUFFIXES[name]:
        path = tmp_path / f"a{suffix.upper()}"
        picture("red", 0, side=32).save(path, name)
        pixels = np.asarray(open_image(path)).reshape(-1, 3).mean(0)
        assert pixels == pytest.approx([210, 30, 30], abs=8), suffix


def test_no_suffix_is_both_readable_and_not():
    assert not readable_suffixes() & unreadable_suffixes().keys()
    known = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    assert known <= readable_suffixes() | unreadable_suffixes().keys()


@pytest.mark.parametrize("name", sorted(PILLOW_FEATURES))
def test_a_pillow_without_a_library_leaves_its_format_out(name, fresh, monkeypatch):
    supported = [one for one in features.get_supported() if one != PILLOW_FEATURES[name]]
    monkeypatch.setattr(features, "get_supported", lambda: supported)
    assert name not in readable_formats()
    suffix = SUFFIXES[name][0]
    assert suffix not in readable_suffixes()
    assert describe_left_out({suffix: 3}) == (
        f"3 {suffix}: `pip install --upgrade pillow` reads them"
    )


def test_heic_is_read_where_pillow_heif_is_installed(fresh, monkeypatch):
    registered = []
    package = SimpleNamespace(register_heif_opener=lambda **options: registered.append(options))
    monkeypatch.setitem(sys.modules, "pillow_heif", package)
    monkeypatch.setattr(image_formats, "find_spec", lambda name: name == "pillow_heif")
    assert "HEIF" in readable_formats()
    assert ".heic" in readable_suffixes()
    assert registered == [{"thumbnails": False}]  # which a draft would return for the image


def test_other_formats_beside_images_are_counted_with_the_cure(tmp_path, fresh, monkeypatch):
    monkeypatch.setattr(image_formats, "find_spec", lambda name: None)
    folder = image_folder(tmp_path / "photos", 3)
    for number in range(20):
        (folder / "blue" / f"IMG_{number}.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    for name in ("a.MOV", "b.mov", "c.dng", "d.tga"):
        (folder / "red" / name).touch()
    data = open_data(str(folder))
    assert data.facts["left_out"] == {".heic": 20, ".mov": 2, ".dng": 1, ".tga": 1}
    data.splits["val"] = data.splits["train"] = data.splits["all"]
    assert describe_left_out_data(data)[0] == (
        'skip   formats that are not read: 20 .heic: run `pip install ".[heic]"` in '
        "your clone of spectralvision to read them; 2 .mov: extract the frames of videos as JPEG; "
        "1 .dng: develop raw photographs to JPEG; 1 .tga: convert them to PNG"
    )


def test_a_class_of_other_formats_only_is_rejected_with_the_cure(tmp_path, fresh, monkeypatch):
    monkeypatch.setattr(image_formats, "find_spec", lambda name: None)
    folder = image_folder(tmp_path / "photos", 1)
    (folder / "red" / "0.png").rename(folder / "red" / "0.heic")
    with pytest.raises(UserError, match=r"red contains no images \(1 \.heic: run `pip install"):
        open_data(str(folder))
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "0.cr2").touch()
    with pytest.raises(UserError, match=r"no parquet shards \(1 \.cr2: develop raw"):
        open_data(str(tmp_path / "loose"))


def test_real_heic(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    file = io.BytesIO()
    Image.new("RGB", (64, 32), (200, 30, 30)).save(file, "HEIF")
    assert open_image(file.getvalue()).size == (64, 32)


@pytest.mark.parametrize(
    ("name", "head", "reason"),
    [
        ("a.HEIC", b"\0\0\0\x18ftypheic", r"\.heic: run `pip install"),
        ("a.jpg", b"\0\0\0\x18ftypheix", r"content of a \.heic file: run `pip install"),
        ("a.jpg", b"\0\0\0\x20ftypisom", r"content of a \.mp4 file: extract the frames of videos"),
        ("a.psd", b"8BPS", r"\.psd: export drawings"),
        ("a.jpg", b"text", "no image format"),
        ("a.heic", b"", "an empty file"),
    ],
)
def test_the_error_of_a_file_names_what_helps(name, head, reason, tmp_path, fresh, monkeypatch):
    monkeypatch.setattr(image_formats, "find_spec", lambda name: None)
    (tmp_path / name).write_bytes(head)
    with pytest.raises(UserError, match=rf"cannot be read as an image \({reason}"):
        open_image(tmp_path / name)
