"""Names of pictures: distinct, short, and inside their folder."""

from pathlib import Path

import pytest
from PIL import Image

from spectralvision.data.images import FileImages
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
    folder = PictureFolder(str(tmp_path / "new" / "drawn"), ".jpg")
    picture = Image.new("RGB", (8, 6), "red")
    folder.save(picture, images("x/a.png", "y/a.png"), 1)
    (written,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written == tmp_path / "new" / "drawn" / "y" / "a.jpg"
    with Image.open(written) as image:
        assert (image.size, image.format) == ((8, 6), "JPEG")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match="is a file, but pictures need a folder"):
        PictureFolder(str(tmp_path / "a"))
    inside = PictureFolder(str(tmp_path / "b"))
    (tmp_path / "b").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        inside.save(Image.new("L", (2, 2)), images("a.png"), 0)
