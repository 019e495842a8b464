"""Images named on a command line, by a pattern, or through standard input."""

import io

import pytest

from spectralvision.data.named import named_images
from spectralvision.runs import UserError
from tests.pictures import encoded, image_folder, picture


@pytest.fixture
def folder(tmp_path, monkeypatch):
    image_folder(tmp_path / "photos", 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(words, stdin=b""):
    images = named_images(words, io.BytesIO(stdin))
    return [images.name(index) for index in range(len(images))]


def test_files_folders_and_patterns_in_the_order_given(folder):
    assert names(["photos/red/1.png", "photos/blue"]) == ["photos/red/1.png", "photos/blue/0.png", "photos/blue/1.png"]
    assert names(["photos/*/1.png"]) == [f"photos/{colour}/1.png" for colour in ("blue", "green", "red")]
    assert names(["photos/r*"]) == ["photos/red/0.png", "photos/red/1.png"]
    assert len(names(["**/*.png"])) == 6
    (folder / "a[1].png").write_bytes(encoded(picture("red", 0)))
    assert names(["a[1].png"]) == ["a[1].png"]  # a file of that name comes before the pattern


def test_standard_input_holds_paths(folder):
    assert names(["-"], b"photos/red/0.png\n\nphotos/blue\n") == [
        "photos/red/0.png",
        "photos/blue/0.png",
        "photos/blue/1.png",
    ]
    assert names(["photos/red/1.png", "-"], b"photos/red/0.png") == ["photos/red/1.png", "photos/red/0.png"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "PPM"])
def test_standard_input_holds_an_image(folder, kind):
    content = encoded(picture("red", 3), kind)
    images = named_images(["-"], io.BytesIO(content))
    assert (len(images), images.name(0), images.image(0).size) == (1, "-", (24, 24))
    with pytest.raises(UserError, match="no other images"):
        named_images(["photos", "-"], io.BytesIO(content))


def test_a_listed_file_that_has_gone_is_told_when_it_is_opened(folder):
    images = named_images(["-"], io.BytesIO(b"photos/red/0.png\nnone.png\n"))
    assert images.image(0).size == (24, 24)
    with pytest.raises(UserError, match=r"none\.png does not exist"):
        images.image(1)


@pytest.mark.parametrize(
    ("words", "stdin", "sentence"),
    [
        (["photos/none.png"], b"", r"photos/none\.png does not exist"),
        (["photos/*.webp"], b"", r"nothing fits the pattern photos/\*\.webp"),
        (["empty"], b"", "empty holds no image"),
        (["-"], b" \n", "standard input is empty"),
        (["-"], b"\x00\x01\x02", "neither an image"),
    ],
)
def test_what_is_not_there(folder, words, stdin, sentence):
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match=sentence):
        names(words, stdin)
