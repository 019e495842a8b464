"""Images named on the command line, by a pattern, or on standard input."""

import io

import pytest

from spectralvision.data.image_paths import image_paths
from spectralvision.runs import UserError
from tests.helpers.pictures import encoded, image_folder, picture


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
        f"photos/{colour}/1.png" for colour in ("blue", "green", "red")
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


def test_a_missing_file_in_a_list_is_reported_when_it_is_opened(folder):
    images = image_paths(["-"], io.BytesIO(b"photos/red/0.png\nnone.png\n"))
    assert images.image(0).size == (24, 24)
    with pytest.raises(UserError, match=r"none\.png does not exist"):
        images.image(1)


@pytest.mark.parametrize(
    ("words", "stdin", "sentence"),
    [
        (["photos/none.png"], b"", r"photos/none\.png does not exist"),
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
