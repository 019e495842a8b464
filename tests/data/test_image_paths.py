"""Images named on the command line, by a pattern, or on standard input."""

import io
import os

import pytest

from spectralvision.data.image_paths import image_paths
from spectralvision.runs import UserError
from tests.helpers.pack import pack, pack_members
from tests.helpers.pictures import COLOURS, encoded, image_folder, picture


@pytest.fixture
def folder(tmp_path, monkeypatch):
    image_folder(tmp_path / "photos", 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(words, stdin=b""):
    images = image_paths(words, io.BytesIO(stdin))
    return [images.name(index) for index in range(len(images))]


def test_files_folders_and_patterns_in_the_order_given(folder):
    assert names(["photos/red/1.png", "photos/blue"]) == [
        "photos/red/1.png",
        "photos/blue/0.png",
        "photos/blue/1.png",
    ]
    assert names(["photos/*/1.png"]) == [
        f"photos/{color}/1.png" for color in ("blue", "green", "red")
    ]
    assert names(["photos/r*"]) == ["photos/red/0.png", "photos/red/1.png"]
    assert len(names(["**/*.png"])) == 6
    (folder / "a[1].png").write_bytes(encoded(picture("red", 0)))
    assert names(["a[1].png"]) == ["a[1].png"]  # an existing file takes precedence over a pattern


def test_standard_input_lists_paths(folder):
    assert names(["-"], b"photos/red/0.png\n\nphotos/blue\n") == [
        "photos/red/0.png",
        "photos/blue/0.png",
        "photos/blue/1.png",
    ]
    assert names(["photos/red/1.png", "-"], b"photos/red/0.png") == [
        "photos/red/1.png",
        "photos/red/0.png",
    ]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "PPM"])
def test_standard_input_is_an_image(folder, kind):
    content = encoded(picture("red", 3), kind)
    images = image_paths(["-"], io.BytesIO(content))
    assert (len(images), images.name(0), images.image(0).size) == (1, "-", (24, 24))
    with pytest.raises(UserError, match="no other images"):
        image_paths(["photos", "-"], io.BytesIO(content))


@pytest.mark.parametrize("words", [["-"], ["photos/red/0.png", "none.png"]])
@pytest.mark.parametrize("name", ["none.png", "~no-such-user/none.png"])
def test_a_missing_file_is_reported_when_it_is_opened(folder, words, name):
    words = [word.replace("none.png", name) for word in words]
    images = image_paths(words, io.BytesIO(f"photos/red/0.png\n{name}\n".encode()))
    assert images.image(0).size == (24, 24)
    with pytest.raises(UserError, match=rf"{name} does not exist"):
        images.image(1)


def test_a_name_that_is_too_long_is_reported_when_it_is_opened(folder):
    images = image_paths(["a" * 300 + ".png", "b/" * 3000 + "c.png"])
    for index in range(2):
        with pytest.raises(UserError, match=r"cannot be read as an image \(File name too long\)"):
            images.image(index)


def test_names_with_any_character_are_kept(folder):
    words = []
    for name in (
        "-x",
        "two\nlines",
        "\u2028",
        "a\rb ",
        "caf\udce9",
        "\U0001f431",
        "=1",
        "\x1b[31m",
    ):
        words.append(f"{name}.png")
        (folder / words[-1]).write_bytes(encoded(picture("red", 0)))
    images = image_paths(words)
    assert [images.name(index) for index in range(len(words))] == words
    assert {images.image(index).size for index in range(len(words))} == {(24, 24)}
    found = image_paths(["."])
    assert set(words) <= {found.name(index) for index in range(len(found))}
    listed = [word for word in words if "\n" not in word]
    assert names(["-"], os.fsencode("\n".join(listed))) == listed
    assert names(["-"], b"photos/red/0.png\r\nphotos/red/1.png\r\n") == [
        "photos/red/0.png",
        "photos/red/1.png",
    ]


def test_what_a_folder_has_beside_images_is_counted(folder):
    (folder / "photos" / "red" / "a.mov").touch()
    (folder / "photos" / "b.cr2").touch()
    assert image_paths(["photos", "photos/red"]).left_out == {".mov": 2, ".cr2": 1}
    (folder / "films").mkdir()
    (folder / "films" / "a.mov").touch()
    with pytest.raises(UserError, match=r"films contains no images \(1 \.mov: extract the frames"):
        image_paths(["films"])


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_every_image_of_an_archive(folder, suffix):
    (folder / "photos" / "red" / "a.mov").touch()
    (folder / "photos" / "b.png").write_bytes(encoded(picture("blue", 1)))
    archive = pack(folder / "photos", folder / f"all{suffix}", "./top/")
    words = ["photos/red/0.png", archive.name, "photos/b.png"]
    images = image_paths(words)
    listed = [images.name(index) for index in range(len(images))]
    inside = [f"{color}/{number}.png" for color in COLOURS for number in range(2)]
    inside = [f"all{suffix}/top/{name}" for name in ["b.png", *inside]]
    assert listed == ["photos/red/0.png", *inside, "photos/b.png"]
    assert images.left_out == {".mov": 1}
    assert {images.image(index).size for index in range(9)} == {(24, 24)}
    assert images.image(1).tobytes() == images.image(8).tobytes()
    assert images.encoded(1) == images.encoded(8) == encoded(picture("blue", 1))
    assert names([f"a*{suffix}"]) == inside
    assert names(["-"], f"all{suffix}\nphotos/b.png".encode()) == [*inside, "photos/b.png"]


def test_archives_that_are_rejected(folder):
    pack_members(folder / "a.zip", {"notes.txt": b"", "a.mov": b""})
    with pytest.raises(UserError, match=r"a\.zip contains no images \(1 \.mov: extract the frames"):
        image_paths(["a.zip"])
    (folder / "a.tar").write_bytes(b"nothing" * 100)
    with pytest.raises(UserError, match=r"a\.tar cannot be read as an archive \("):
        image_paths(["photos", "a.tar"])
    images = image_paths(["gone.zip"])  # like any file that does not exist
    with pytest.raises(UserError, match=r"gone\.zip does not exist"):
        images.image(0)


@pytest.mark.parametrize(
    ("words", "stdin", "sentence"),
    [
        (["photos/*.webp"], b"", r"nothing matches the pattern photos/\*\.webp"),
        (["empty"], b"", "empty contains no images"),
        (["-"], b" \n", "standard input is empty"),
        (["-"], b"\x00\x01\x02", "neither a readable image nor a list of paths"),
    ],
)
def test_missing_images_are_rejected(folder, words, stdin, sentence):
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match=sentence):
        names(words, stdin)
