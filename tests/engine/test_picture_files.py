"""Names of pictures: distinct, short, and inside their folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spectralvision.data.images import FileImages
from spectralvision.engine.indexed_images import indexed, palette
from spectralvision.engine.picture_files import PictureFolder, picture_names
from spectralvision.runs import UserError


def images(*names):
    return FileImages(Path(), names, [0] * len(names))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["photos/a.jpg", "photos/b.png"], ["a.png", "b.png"]),
        (["x/a.jpg", "y/a.jpg"], ["x/a.png", "y/a.png"]),
        (["x/a.jpg", "x/a.bmp"], ["x/a.jpg.png", "x/a.bmp.png"]),
        (
            ["x/a.jpg", "x/a.bmp", "y/a.jpg", "y/b.jpg"],
            ["x/a.jpg.png", "x/a.bmp.png", "y/a.png", "b.png"],
        ),
        (["a.jpg", "a.bmp", "a.jpg.tif"], ["0-a.jpg.png", "1-a.bmp.png", "2-a.jpg.tif.png"]),
        (["/home/me/a.jpg", "/home/you/a.jpg"], ["home/me/a.png", "home/you/a.png"]),
        (["../../a.jpg", "a.jpg", "b.jpg"], ["0-a.jpg.png", "1-a.jpg.png", "2-b.jpg.png"]),
        (["https://host/a.png?x=1"], ["a.png"]),
        (["..\\..\\a.jpg"], ["a.png"]),
        ([".."], ["image.png"]),
        (["train.parquet#1", "train.parquet#2"], ["train.parquet#1.png", "train.parquet#2.png"]),
    ],
)
def test_names(names, expected):
    found = picture_names(images(*names), ".png")
    assert found == [Path(name) for name in expected]
    root = Path("drawn").resolve()
    assert all(root in (root / name).resolve().parents for name in found)


def test_pictures_are_written_whole_with_their_folders(tmp_path):
    folder = PictureFolder(str(tmp_path / "new" / "drawn"), "pictures", ".jpg")
    picture = Image.new("RGB", (8, 6), "red")
    folder.save(picture, images("x/a.png", "y/a.png"), 1)
    (written,) = tmp_path.rglob("*.jpg")
    assert written == tmp_path / "new" / "drawn" / "y" / "a.jpg"
    with Image.open(written) as image:
        assert (image.size, image.format) == ((8, 6), "JPEG")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match="is a file, but masks need a folder"):
        PictureFolder(str(tmp_path / "a"), "masks")
    inside = PictureFolder(str(tmp_path / "b"), "masks")
    (tmp_path / "b").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        inside.save(Image.new("L", (2, 2)), images("a.png"), 0)


def test_files_that_are_no_predictions_are_not_overwritten(tmp_path):
    """Such as the images themselves, or annotated masks."""
    picture = Image.new("RGB", (8, 6), "red")
    (tmp_path / "a.jpg").write_bytes(b"a photo")
    folder = PictureFolder(str(tmp_path), "pictures", ".jpg")
    with pytest.raises(UserError, match=r"a\.jpg exists and was not written by predict"):
        folder.save(picture, images("x/b.png", "x/a.png"), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
    assert (tmp_path / "a.jpg").read_bytes() == b"a photo"


def test_earlier_predictions_are_overwritten(tmp_path):
    names = images("x/a.png")
    for color in ("red", "blue"):
        folder = PictureFolder(str(tmp_path / "drawn"), "masks")
        folder.save(Image.new("RGB", (8, 6), color), names, 0)
    with Image.open(tmp_path / "drawn" / "a.png") as written:
        assert written.getpixel((0, 0)) == (0, 0, 255)


def test_predictions_for_other_images_are_not_overwritten(tmp_path):
    """Nor where a line of the marker was cut off; those for the same file are, by any name."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.png").write_bytes(b"")
    drawn, picture = str(tmp_path / "drawn"), Image.new("RGB", (8, 6))
    PictureFolder(drawn, "masks").save(picture, images(str(tmp_path / "x" / "a.png")), 0)
    other = str(tmp_path / "x" / ".." / "x" / "a.png")
    PictureFolder(drawn, "masks").save(picture, images(other), 0)
    with pytest.raises(UserError, match=r"a\.png belongs to another image, .*x/a\.png: name a new"):
        PictureFolder(drawn, "masks").save(picture, images("y/a.png"), 0)
    PictureFolder(drawn, "masks").save(picture, images("y/b.png"), 0)
    marker = tmp_path / "drawn" / ".predictions"
    assert len(marker.read_text().splitlines()) == 3
    marker.write_text(marker.read_text()[:-5])
    with pytest.raises(UserError, match=r"b\.png exists and was not written by predict"):
        PictureFolder(drawn, "masks").save(picture, images("y/b.png"), 0)


def test_masks_and_pictures_have_their_own_folders(tmp_path):
    PictureFolder(str(tmp_path), "pictures").save(Image.new("RGB", (8, 6)), images("a.png"), 0)
    with pytest.raises(UserError, match="has pictures of predict: name another folder"):
        PictureFolder(str(tmp_path), "masks")


def test_numbers_with_colors():
    numbers = np.array([[0, 1], [2, 299]])
    few = indexed(numbers.clip(max=2), palette(3))
    assert few.mode == "P"
    assert np.asarray(few).tolist() == [[0, 1], [2, 2]]
    assert few.convert("RGB").getpixel((0, 0)) == (128, 0, 0)
    many = indexed(numbers, palette(300))
    assert np.asarray(many).tolist() == numbers.tolist()
    assert many.mode == "I;16"
