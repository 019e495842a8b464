"""Images that a CSV file lists with their labels."""

import codecs
import os

import numpy as np
import pytest

from spectralvision.data import label_files
from spectralvision.data.open_data import open_data
from spectralvision.data.splits import split_train_val
from spectralvision.data.validate_images import validate_images
from spectralvision.runs import UserError
from tests.helpers.pictures import COLOURS, picture

ROWS = [(f"{color}{number}.png", color) for number in range(4) for color in COLOURS]


@pytest.fixture
def folder(tmp_path):
    """A folder with twelve loose images."""
    (tmp_path / "photos").mkdir()
    for number, (file, color) in enumerate(ROWS):
        picture(color, number).save(tmp_path / "photos" / file)
    return tmp_path / "photos"


def write(folder, rows=ROWS, head="file,label", name="labels.csv", separator=","):
    lines = [head, *(separator.join(row) for row in rows)]
    (folder / name).write_bytes(os.fsencode("\n".join(lines)) + b"\n")
    return folder / name


def colors(images, classes):
    """(file, class) of each image, after comparing its pixels with its class."""
    listed = []
    for index, label in enumerate(images.labels):
        mean = np.asarray(images.image(index)).reshape(-1, 3).mean(0)
        assert ("red", "green", "blue")[int(mean.argmax())] == classes[label]
        listed.append((images.name(index), classes[label]))
    return listed


def test_a_csv_file_and_a_folder_with_one_are_the_same_data(folder):
    path = write(folder)
    for spec, name in ((path, "labels"), (folder, "photos")):
        data = open_data(str(spec))
        assert (data.name, data.classes, list(data.splits)) == (name, tuple(COLOURS), ["all"])
        assert sorted(colors(data.split("all"), data.classes)) == sorted(ROWS)


@pytest.mark.parametrize(
    ("head", "order"),
    [
        ("filename,class", "FL"), ("image,target", "FL"), ("path,label", "FL"), ("id,label", "FL"),
        ("File, LABEL ", "FL"), ("label,file", "LF"), ('"file","label"', "FL"),
        ("id,file,label", "7FL"), ("file,class,label", "F7L"), ("width,file,label,age", "7FL7"),
    ],
)  # fmt: skip
def test_names_of_columns(folder, head, order):
    rows = [tuple({"F": file, "L": label}.get(one, one) for one in order) for file, label in ROWS]
    data = open_data(str(write(folder, rows, head)))
    assert sorted(colors(data.split("all"), data.classes)) == sorted(ROWS)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_quotes_and_line_ends(folder, separator):
    os.rename(folder / "red0.png", folder / "a,b;c\t'd\".png")
    quoted = [('"a,b;c\t\'d"".png"', "red"), *(row for row in ROWS if row[0] != "red0.png")]
    path = write(folder, quoted, separator.join(("file", "label")), separator=separator)
    content = path.read_bytes()
    for text in (content, content.replace(b"\n", b"\r\n"), content + b"\n\n", content[:-1]):
        path.write_bytes(codecs.BOM_UTF8 + text)
        data = open_data(str(path))
        listed = colors(data.split("all"), data.classes)
        assert len(listed) == 12
        assert ("a,b;c\t'd\".png", "red") in listed


def test_splits(folder):
    rows = [(*row, ("train", "Validation", "test", "TRAIN")[i // 3]) for i, row in enumerate(ROWS)]
    data = open_data(str(write(folder, rows, "file,label,split")))
    assert {name: len(images) for name, images in data.splits.items()} == {
        "train": 6,
        "val": 3,
        "test": 3,
    }
    for i, split in ((0, "train"), (1, "val"), (2, "test")):
        listed = colors(data.split(split), data.classes)
        assert set(listed) >= set(ROWS[3 * i : 3 * i + 3])


def test_names_without_suffix_in_folders_and_in_windows_form(folder):
    (folder / "more").mkdir()
    for number, (file, _) in enumerate(ROWS):
        if number < 8:
            os.rename(folder / file, folder / "more" / file)
    rows = [(f"more\\{file}" if number < 4 else f"./more/{file}", label)
            for number, (file, label) in enumerate(ROWS[:8])]  # fmt: skip
    rows += [(file.removesuffix(".png"), label) for file, label in ROWS[8:]]
    data = open_data(str(write(folder, rows, "id,label")))
    right = [(f"more/{file}", label) for file, label in ROWS[:8]] + ROWS[8:]
    assert sorted(colors(data.split("all"), data.classes)) == sorted(right)


def test_classes_in_either_form_of_unicode_are_one(folder):
    rows = [
        (file, {"red": "caf\u00e9", "blue": "cafe\u0301"}.get(label, label)) for file, label in ROWS
    ]
    data = open_data(str(write(folder, rows)))
    assert data.classes == ("caf\u00e9", "green")
    assert np.bincount(data.split("all").labels).tolist() == [8, 4]


def test_names_that_are_not_utf8(folder):
    os.rename(folder / "red0.png", os.fsencode(folder) + b"/caf\xe9.png")
    rows = [("caf\udce9.png", "red"), *(row for row in ROWS if row[0] != "red0.png")]
    data = open_data(str(write(folder, rows)))
    assert ("caf\udce9.png", "red") in colors(data.split("all"), data.classes)


def test_a_row_that_is_there_twice_counts_once(folder):
    data = open_data(str(write(folder, [*ROWS, ROWS[0], (f"./{ROWS[1][0]}", ROWS[1][1])])))
    assert len(data.split("all")) == 12


def test_missing_files_are_reported_like_unreadable_ones(folder):
    path = write(folder, [*ROWS, ("gone.png", "red"), ("http://127.0.0.1/a.png", "red")])
    data = split_train_val(open_data(str(path)), 0.3, 0)
    _, unreadable, _ = validate_images(data)
    assert {(one.image, one.reason) for one in unreadable} == {
        ("gone.png", "No such file or directory"),
        ("http:/127.0.0.1/a.png", "No such file or directory"),
    }


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("red0.png,", r"has no label for red0\.png in line 14: add it"),
        ("red0.png,blue", r"several labels for red0\.png \(red, blue\): multi-label data is not"),
        ("x.png,a|b", r"several labels for x\.png \(a\|b\): multi-label data is not supported"),
        ("x.png,\"['a', 'b']\"", r"labels for x\.png \(\['a', 'b'\]\): multi-label data is not"),
        ('"x.png,a', r"cannot be read as a CSV file \(unexpected end of data\)"),
        ("x.png,a,b", "has 3 columns in line 14, but 2 in the first: quote names that contain"),
        ("/etc/x.png,a", r"has '/etc/x\.png' as a file in line 14: write a path below its folder"),
        ("a/../../x.png,a", r"has 'a/\.\./\.\./x\.png' as a file in line 14: write a path"),
        ("..\\x.png,a", r"has '\.\./x\.png' as a file in line 14: write a path"),
        ("C:\\x.png,a", r"has 'C:/x\.png' as a file in line 14: write a path"),
        (",a", "has '' as a file in line 14: write a path below its folder"),
        ("x,\0", "is no text in UTF-8: save it as CSV"),
    ],
)
def test_rows_that_are_rejected(folder, line, sentence):
    path = write(folder, [*ROWS, (line,)])
    with pytest.raises(UserError, match=sentence):
        open_data(str(path))


@pytest.mark.parametrize(
    ("head", "row", "sentence"),
    [
        (
            "file,label,split",
            ("red0.png", "red", "dev?"),
            r"has the split 'dev\?' in line 2: use",
        ),
        ("file,label,split", ("red0.png", "red", ""), "has the split '' in line 2: use"),
        (
            "image,id,label",
            ("red0.png", "1", "red"),
            r"several columns of files \(image, id\)",
        ),
        ("id,class,target", ("red0.png", "1", "red"), r"columns of labels \(class, target\): keep"),
        ("file,cat,dog,owl", ("red0.png", "1", "0", "1"), r"for each class \(file, cat, dog, owl "),
        (
            "file,label",
            ("gone.png", "a"),
            r"no file that .*labels\.csv lists exists, such as",
        ),
    ],
)
def test_lists_that_are_rejected(folder, head, row, sentence):
    for spec in (write(folder, [row], head), folder):
        with pytest.raises(UserError, match=sentence):
            open_data(str(spec))


def test_a_file_in_two_splits_is_rejected(folder):
    rows = [("red0.png", "red", "train"), ("red0.png", "red", "test")]
    with pytest.raises(UserError, match=r"has red0\.png in train and in test: keep one of them"):
        open_data(str(write(folder, rows, "file,label,split")))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"file,label\n"])
def test_a_list_without_rows_is_rejected(folder, content):
    (folder / "labels.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"labels\.csv lists no images: its first line should be"):
        open_data(str(folder / "labels.csv"))


def test_utf16_is_rejected(folder):
    path = write(folder)
    path.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(UserError, match=r"labels\.csv is no text in UTF-8: save it as CSV"):
        open_data(str(path))


def test_which_csv_file_of_a_folder_is_taken(folder):
    write(folder, name="other.csv", head="a,b")
    write(folder)
    write(folder, name=".hidden.csv")
    assert len(open_data(str(folder)).split("all")) == 12
    write(folder, name="labels2.csv")
    with pytest.raises(UserError, match=r"several lists of labels \(labels\.csv, labels2\.csv\)"):
        open_data(str(folder))
    for name in ("blue", "red"):  # class folders take precedence
        (folder / name).mkdir()
        picture(name, 0).save(folder / name / "0.png")
    assert open_data(str(folder)).classes == ("blue", "red")


def test_a_file_that_is_not_regular_is_rejected(folder):
    (folder / "labels.csv").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"labels\.csv cannot be read \(not a regular file\)"):
        open_data(str(folder))


def test_a_class_in_parentheses_is_one_label(folder):
    rows = [(file, "(other)" if label == "red" else label) for file, label in ROWS]
    assert "(other)" in open_data(str(write(folder, rows))).classes


def test_the_number_of_rows_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(label_files, "MAX_ROWS", 3)
    with pytest.raises(UserError, match="lists more than 3 images: divide it"):
        open_data(str(write(folder)))
