"""Image files of any format and mode are decoded to upright 8-bit RGB on white."""

import io
import os
import socket
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageOps

from spectralvision.data import image_files
from spectralvision.data.image_files import (
    MAX_DECODED_BYTES,
    is_image,
    open_image,
    problem_of,
    to_rgb,
)
from spectralvision.data.images import FileImages
from spectralvision.runs import UserError
from tests.helpers.image_bytes import (
    ORIENTATION,
    POSTSCRIPT,
    SVG,
    black_png,
    chunk,
    exif_with,
    jpeg,
    oriented,
    red,
)
from tests.helpers.pictures import encoded, picture


def pixel(image):
    return image.getpixel((0, 0))


def test_exif_rotation_is_applied():
    image = Image.new("RGB", (4, 2), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotate by 90 degrees clockwise
    file = encoded(image, "PNG")
    assert open_image(file).size == (4, 2)
    turned = io.BytesIO()
    image.save(turned, "PNG", exif=exif)
    opened = open_image(turned.getvalue())
    assert opened.size == (2, 4)
    assert opened.getpixel((1, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparency_turns_white(mode):
    if mode == "P":
        image = Image.new("P", (2, 2), 0)
        image.info["transparency"] = 0
    elif mode == "RGB":
        image = Image.new("RGB", (2, 2), (9, 9, 9))
        image.info["transparency"] = (9, 9, 9)
    else:
        image = Image.new(mode, (2, 2), (0,) * len(mode))
    assert pixel(to_rgb(image)) == (255, 255, 255)


def test_opaque_pixels_keep_their_color():
    image = Image.new("RGBA", (2, 2), (10, 20, 30, 255))
    assert pixel(to_rgb(image)) == (10, 20, 30)


def test_16_bit_grey_is_scaled_not_clipped():
    grey = Image.fromarray(np.array([[0, 257 * 128], [65535, 257 * 10]], dtype=np.uint16))
    out = np.asarray(open_image(encoded(grey)))
    assert out.shape == (2, 2, 3)
    assert out[..., 0].tolist() == [[0, 128], [255, 10]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([[0.0, 0.5]], [[0, 128]]), ([[0.0, 200.4]], [[0, 200]])],
)
def test_float_images(values, expected):
    image = Image.fromarray(np.array(values, dtype=np.float32))
    assert np.asarray(to_rgb(image))[..., 2].tolist() == expected


def test_small_32_bit_integers_are_8_bit_values():
    image = Image.fromarray(np.array([[7, 255]], dtype=np.int32))
    assert np.asarray(to_rgb(image))[..., 0].tolist() == [[7, 255]]


def test_cmyk_and_animation(tmp_path):
    assert open_image(encoded(Image.new("CMYK", (3, 3)), "JPEG")).mode == "RGB"
    frames = [picture("red", 0), picture("blue", 0)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    red, _, blue = np.asarray(open_image(tmp_path / "a.gif")).reshape(-1, 3).mean(0)
    assert red > 150 > blue  # the first frame


@pytest.mark.parametrize("content", [b"", b"not an image", encoded(picture("red", 1))[:200]])
def test_files_that_are_not_images(tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.png cannot be read as an image \("):
        open_image(path)
    with pytest.raises(UserError, match="does not exist"):
        open_image(tmp_path / "none.png")


ODD_ENTRIES = {
    "nothing odd": [],
    "signed rational -1/0": [(0x11A, 10, 1, struct.pack("<I", 38))],
    "resolution as text": [(0x11A, 2, 4, b"72\0\0")],
    "rational 0/0": [(0x11A, 5, 1, struct.pack("<I", 42))],
    "pointer past the end": [(0x8769, 4, 1, struct.pack("<I", 99999))],
    "pointer to itself": [(0x8769, 4, 1, struct.pack("<I", 8))],
    "unknown type": [(0x10F, 99, 4, b"abcd")],
    "a million values": [(0x10F, 2, 1_000_000, struct.pack("<I", 38))],
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the tags
@pytest.mark.parametrize("what", ODD_ENTRIES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_odd_exif_tags_change_nothing(what, kind):
    entries = sorted([oriented(6), *ODD_ENTRIES[what]])
    exif = exif_with(*entries, tail=struct.pack("<ii", -1, 0) + bytes(8))
    if kind == "TIFF":  # has its tags itself
        content = encoded(red(), kind)
        assert open_image(content).size == (8, 4)
        return
    file = io.BytesIO()
    red().save(file, kind, exif=exif)
    assert open_image(file.getvalue()).size == (4, 8)
    assert problem_of(file.getvalue()) is None


@pytest.mark.parametrize(
    ("entry", "size"),
    [
        ((ORIENTATION, 3, 1, struct.pack("<HH", 0, 0)), (8, 4)),
        ((ORIENTATION, 3, 1, struct.pack("<HH", 9, 0)), (8, 4)),
        ((ORIENTATION, 3, 1, struct.pack("<HH", 8, 0)), (4, 8)),
        ((ORIENTATION, 4, 1, struct.pack("<I", 6)), (4, 8)),
        ((ORIENTATION, 11, 1, struct.pack("<f", 6.0)), (4, 8)),
        ((ORIENTATION, 11, 1, struct.pack("<f", float("nan"))), (8, 4)),
        ((ORIENTATION, 2, 2, b"6\0\0\0"), (8, 4)),
        ((ORIENTATION, 7, 4, b"abcd"), (8, 4)),
        ((ORIENTATION, 3, 2, struct.pack("<HH", 6, 6)), (4, 8)),
        ((ORIENTATION, 3, 0, bytes(4)), (8, 4)),
    ],
)
def test_odd_orientations(entry, size):
    assert open_image(jpeg(red(), exif=exif_with(entry))).size == size


@pytest.mark.parametrize("value", range(1, 9))
def test_each_orientation_is_turned_as_pillow_does(value):
    image = picture("red", 0).crop((0, 0, 24, 16))
    exif = Image.Exif()
    exif[ORIENTATION] = value
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(file))
    assert np.array_equal(open_image(file.getvalue()), expected)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0\0\x08\0\x02garbage", b"Exif\0\0II*\0", b"Exif\0\0", exif_with(oriented(6))[:20]],
)
def test_broken_exif_is_ignored(exif):
    content = jpeg(red(), exif=exif)
    assert open_image(content).size == (8, 4)
    assert problem_of(content) is None


@pytest.mark.parametrize("xmp", [b"<x:xmpmeta", b"\xff\xfe\0", b'<a tiff:Orientation="x"/>'])
def test_broken_xmp_is_ignored(xmp):
    assert open_image(jpeg(red(), xmp=xmp)).size == (8, 4)


@pytest.mark.parametrize("content", [POSTSCRIPT, SVG, b"%PDF-1.4\n", b"#define a_width 8\n"])
def test_formats_with_other_suffixes_are_never_opened(content, tmp_path, monkeypatch):
    def call(*words, **options):
        raise AssertionError("a program is started")

    monkeypatch.setattr(subprocess, "Popen", call)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.jpg cannot be read as an image \(no image format\)"):
        open_image(path)
    assert problem_of(content) == "no image format"
    assert not is_image(content)


def test_every_image_is_opened_with_a_list_of_formats():
    source = Path(image_files.__file__).parents[1]
    calls = [
        line.strip()
        for path in source.rglob("*.py")
        for line in path.read_text().splitlines()
        if "Image.open(" in line
    ]
    assert len(calls) == 6
    assert sum("formats=readable_formats()" in call for call in calls) == 5
    assert sum("formats=FORMATS" in call for call in calls) == 1  # deployed, without the package


@pytest.mark.parametrize("how", ["pipe", "device", "folder", "socket"])
def test_only_regular_files_are_opened(how, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if how == "pipe":
        os.mkfifo("x.png")
    elif how == "device":
        os.symlink("/dev/zero", "x.png")
    elif how == "folder":
        os.mkdir("x.png")
    else:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("x.png")
    with pytest.raises(UserError, match=r"x\.png cannot be read as an image \(not a regular file"):
        open_image("x.png")
    with pytest.raises(OSError, match="not a regular file"):
        FileImages(Path(), ["x.png"], [0]).encoded(0)


def test_files_that_are_too_large_are_not_read(tmp_path):
    with open(tmp_path / "x.png", "wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(UserError, match="a file of 1099512 MB, more than 1611 MB"):
        open_image(tmp_path / "x.png")


def peak_bytes(content, tmp_path):
    """Memory that decoding takes in a process of its own, and what it prints."""
    (tmp_path / "x.png").write_bytes(content)
    code = (
        "import resource, sys\n"
        "from spectralvision.data.image_files import open_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: print(open_image(sys.argv[1]).size)\n"
        "except ValueError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "x.png")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    text, kilobytes = done.stdout.splitlines()
    return int(kilobytes) * 1024, text


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "color"), [(16, 0), (16, 6), (8, 4)])
def test_memory_of_an_image_is_bounded(depth, color, tmp_path):
    transparency = {0: b"\0\0", 2: bytes(6), 3: b"\0"}.get(color)
    extra = chunk(b"tRNS", transparency) if transparency and color != 3 else b""
    content = black_png(16000, 11000, depth, color, extra)
    assert len(content) < 2**21
    peak, text = peak_bytes(content, tmp_path)
    assert text == "(16000, 11000)"
    assert peak < 1.2 * MAX_DECODED_BYTES


def test_the_memory_of_every_mode_is_counted(monkeypatch):
    """The bound is on bytes, not on pixels: a mode of more bytes is rejected at a smaller size."""
    monkeypatch.setattr(image_files, "MAX_DECODED_BYTES", 7 * 100 * 100)
    assert open_image(black_png(100, 100, 16, 0)).size == (100, 100)  # 2 + 4 bytes
    with pytest.raises(UserError, match="decoding takes 0 MB, more than 0 MB"):
        open_image(black_png(100, 100, 8, 2))  # 4 + 4 bytes
    assert "decoding takes" in problem_of(black_png(100, 100, 8, 2))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_further_frames_are_not_decoded(kind, tmp_path, monkeypatch):
    frames = [picture("red", number, side=64) for number in range(40)]
    path = tmp_path / "x"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    seek = Image.Image.seek
    sought = []
    monkeypatch.setattr(
        Image.Image, "seek", lambda self, frame: (sought.append(frame), seek(self, frame))
    )
    assert open_image(path).size == (64, 64)
    assert not any(sought)


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_compressed_metadata_is_bounded(kind):
    bomb = zlib.compress(bytes(200 * 2**20), 9)
    header = b"a\0\1\0\0\0" if kind == b"iTXt" else b"a\0\0"
    content = black_png(8, 8, extra=chunk(kind, header + bomb))
    tracemalloc.start()
    problem = problem_of(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25
    assert problem is None or "too large" in problem.lower()


def test_large_jpegs_are_decoded_at_half_their_size(monkeypatch):
    content = jpeg(Image.new("RGB", (400, 200), (200, 10, 10)))
    monkeypatch.setattr(image_files, "MAX_DECODED_BYTES", 8 * 200 * 100)
    assert open_image(content).size == (200, 100)
    progressive = jpeg(Image.new("RGB", (400, 200)), progressive=True)
    with pytest.raises(UserError, match="decoding takes"):  # all its coefficients are kept
        open_image(progressive)


def test_large_images_are_decoded_one_at_a_time(monkeypatch):
    monkeypatch.setattr(image_files, "LARGE_DECODED_BYTES", 1000)
    convert, running, most = image_files.to_rgb, [], []

    def slow(image):
        running.append(image)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()
        return convert(image)

    monkeypatch.setattr(image_files, "to_rgb", slow)
    content = encoded(picture("red", 0))
    with ThreadPoolExecutor(4) as pool:
        sizes = [image.size for image in pool.map(open_image, [content] * 8)]
    assert (sizes, most) == ([(24, 24)] * 8, [1] * 8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "L", "I", "F", "I;16"])
def test_strips_do_not_change_the_result(mode, monkeypatch):
    if mode in ("I", "F", "I;16"):
        kind = {"I": np.int32, "F": np.float32, "I;16": np.uint16}[mode]
        values = np.random.default_rng(0).integers(0, 60000, (40, 30)).astype(kind)
        image = Image.fromarray(values / 60000 if mode == "F" else values)
        assert image.mode == mode
    else:
        image = picture("red", 0).convert(mode)
        image.info["transparency"] = 3 if mode == "P" else image.info.get("transparency")
        image.info = {key: value for key, value in image.info.items() if value is not None}
    whole = np.asarray(to_rgb(image))
    monkeypatch.setattr(image_files, "STRIP_PIXELS", 100)
    assert np.array_equal(to_rgb(image), whole)
    assert whole.std() > 5
