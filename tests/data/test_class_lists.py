"""Lists of the classes of masks: every form, and what is rejected."""

import json
import re

import pytest

from spectralvision.data.class_lists import find_class_list, infer_classes, read_class_list
from spectralvision.data.masks import IGNORED
from spectralvision.runs import UserError


def read(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_class_list(path)


@pytest.mark.parametrize(
    ("content", "names", "values"),
    [
        (["sky", "road"], ("sky", "road"), {0: 0, 1: 1}),
        ({"names": ["sky", "road", "void"], "num_classes": 2, "ignore_index": 2},
         ("sky", "road"), {0: 0, 1: 1, 2: IGNORED}),
        ({"names": ["sky", "road"], "ignore_index": 9}, ("sky", "road"), {0: 0, 1: 1, 9: IGNORED}),
        ({"names": ["a", "b", "c"], "ignore_index": 1}, ("a", "c"), {0: 0, 1: IGNORED, 2: 1}),
        ({"0": "sky", "7": "road"}, ("sky", "road"), {0: 0, 7: 1}),
        ({"1": "sky", "2": "road"}, ("sky", "road"), {1: 0, 2: 1, 0: IGNORED}),
        ({"sky": 3, "road": 0}, ("sky", "road"), {3: 0, 0: 1}),
        ({"names": {"0": "sky", "1": "road"}}, ("sky", "road"), {0: 0, 1: 1}),
        ({"names": {"0": "bg", "1": "sky"}, "ignore_index": 0}, ("sky",), {0: IGNORED, 1: 0}),
        ({"names": ["bg", "sky"], "ignore_index": "0"}, ("sky",), {0: IGNORED, 1: 0}),
        ({"names": {"5": "sky", "7": "road"}, "num_classes": 1}, ("sky",), {5: 0, 7: IGNORED}),
        ({"names": ["sky", "road"], "ignore_index": -100}, ("sky", "road"), {0: 0, 1: 1}),
        ({"names": ["sky", "road"], "ignore_index": None}, ("sky", "road"), {0: 0, 1: 1}),
        (["sky", "Unlabeled", "road"], ("sky", "road"), {0: 0, 1: IGNORED, 2: 1}),
        ([{"name": "sky", "id": 4}, {"name": "road", "id": 2}], ("sky", "road"), {4: 0, 2: 1}),
    ],
)  # fmt: skip
def test_json(tmp_path, content, names, values):
    classes = read(tmp_path, "classes.json", content)
    assert classes.names == names
    assert classes.values.classes == values
    assert classes.values.colors == {}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.json", {"sky": [128, 128, 128], "void": [0, 0, 0], "road": [255, 0, 7]}),
        ("class_dict.csv", "name,r,g,b\nsky,128,128,128\nVoid, 0, 0, 0\nroad,255,0,7\n"),
        ("label_colors.txt", "128 128 128\tsky\n0 0 0 void\n\n255 0 7  road\n"),
        ("classes.json", [{"name": "sky", "color": [128, 128, 128]},
                          {"name": "ignore", "rgb": [0, 0, 0]},
                          {"name": "road", "color": [255, 0, 7]}]),
    ],
)  # fmt: skip
def test_colors(tmp_path, name, content):
    classes = read(tmp_path, name, content)
    assert classes.names == ("sky", "road")
    expected = {(128, 128, 128): 0, (0, 0, 0): IGNORED, (255, 0, 7): 1}
    assert classes.values.colors == expected


def test_colors_beside_names(tmp_path):
    content = {"names": ["sky", "road"], "colors": [[1, 2, 3], [4, 5, 6]], "ignore_index": 1}
    classes = read(tmp_path, "classes.json", content)
    assert classes.names == ("sky",)
    assert classes.values.classes == {0: 0, 1: IGNORED}
    assert classes.values.colors == {(1, 2, 3): 0, (4, 5, 6): IGNORED}


@pytest.mark.parametrize(
    ("name", "content", "names", "values", "colors"),
    [
        ("labels.txt", "__ignore__\n_background_\ncat\n",
         ("_background_", "cat"), {0: 0, 1: 1}, {}),
        ("class_names.txt", "_background_\ncat\n", ("_background_", "cat"), {0: 0, 1: 1}, {}),
        ("_classes.csv", "Pixel Value, Class\n0, background\n2, car\n",
         ("background", "car"), {0: 0, 2: 1}, {}),
        ("id2label.json", {"0": "wall", "3": "floor"}, ("wall", "floor"), {0: 0, 3: 1}, {}),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,0::\n",
         ("background", "road"), {}, {(0, 0, 0): 0, (128, 64, 0): 1}),
    ],
)  # fmt: skip
def test_lists_of_labeling_tools(tmp_path, name, content, names, values, colors):
    classes = read(tmp_path, name, content)
    assert find_class_list([tmp_path / "none", tmp_path]) == tmp_path / name
    assert classes.names == names
    assert classes.values.classes == values
    assert classes.values.colors == colors


def test_text(tmp_path):
    classes = read(tmp_path, "classes.txt", "sky\n\nroad works\n")
    assert classes.names == ("sky", "road works")
    assert classes.values.classes == {0: 0, 1: 1}


def test_ade20k(tmp_path):
    text = "Idx\tRatio\tName\n1\t0.15\twall\n2\t0.11\tbuilding, edifice\n"
    classes = read(tmp_path, "objectInfo150.txt", text)
    assert classes.names == ("wall", "building")
    assert classes.values.classes == {1: 0, 2: 1, 0: IGNORED}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("classes.json", "{", "not a list of classes (Expecting property name"),
        ("classes.json", "3", "a list or an object is expected"),
        ("classes.json", [], "it names no classes: name 1 to 32767"),
        ("classes.json", ["void"], "it names no classes"),
        ("classes.json", list(map(str, range(40_000))), "it names 40000 classes: name 1 to 32767"),
        ("classes.json", ["sky", "sky"], "the name 'sky' occurs twice"),
        ("classes.json", ["sky", " "], "the name '' is empty"),
        ("classes.json", ["sky", 3], "the name 3 is not text"),
        ("classes.json", {"sky": -1}, "-1 is not a whole number from 0 to 65535"),
        ("classes.json", {"sky": 1.5}, "1.5 is not a whole number"),
        ("classes.json", '{"sky": 1e999}', "Infinity is not a whole number"),
        ("classes.json", {"sky": None}, "null is not a whole number from 0 to 65535"),
        ("classes.json", {"sky": 1, "road": 1}, "the value 1 occurs twice"),
        ("classes.json", {"sky": [0, 0, 256]}, "not a color of three numbers from 0 to 255"),
        ("classes.json", {"sky": [0, 0]}, "[0, 0] is not a color of three numbers"),
        ("classes.json", '{"sky": [Infinity, 0, 0]}', "[Infinity, 0, 0] is not a color"),
        ("classes.json", [{"name": "sky", "color": "123"}], '"123" is not a color'),
        ("classes.json", [{"id": 1}], "the name null is not text"),
        ("classes.json", {"names": ["a", "b"], "colors": [[0, 0, 0]]}, "a list of 2 colors"),
        ("classes.json", {"names": ["a"], "num_classes": "x"}, '"x" is not a whole number'),
        ("class_dict.csv", "name,r,g,b\nsky,1,2\n", "a line has 3 of 4 cells"),
        ("class_dict.csv", "x" * 200_000, "field larger than field limit"),
        ("classes.txt", "", "it names no classes"),
    ],
)
def test_other_content_is_rejected(tmp_path, name, content, reason):
    with pytest.raises(UserError, match=re.escape(reason)) as error:
        read(tmp_path, name, content)
    assert str(error.value).startswith(f"{tmp_path / name} is not a list of classes (")
    assert "\n" not in str(error.value)


def test_a_list_that_is_no_text_is_rejected(tmp_path):
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"is not a list of classes \(it is not UTF-8 text\)\."):
        read_class_list(tmp_path / "classes.txt")


@pytest.mark.parametrize(
    ("values", "names", "classes"),
    [
        ([0, 255], ("background", "foreground"), {0: 0, 255: 1}),
        ([0, 1], ("background", "foreground"), {0: 0, 1: 1}),
        ([0, 65535], ("background", "foreground"), {0: 0, 65535: 1}),
        ([0, 1, 255], ("0", "1"), {0: 0, 1: 1, 255: IGNORED}),
        ([0, 3], ("0", "1", "2", "3"), {0: 0, 1: 1, 2: 2, 3: 3, 255: IGNORED}),
    ],
)
def test_classes_are_numbered_where_none_are_listed(values, names, classes):
    found = infer_classes(values, "data")
    assert found.names == names
    assert found.values.classes == classes


@pytest.mark.parametrize("values", [[0], [255], [7, 255]])
def test_one_value_is_too_few(values):
    with pytest.raises(UserError, match="at least two classes are required"):
        infer_classes(values, "data")


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 3, 128, 254, 255], "4 values up to 254 (0, 3, 128 ...)"),
        ([0, 24000, 24001], "3 values up to 24001 (0, 24000, 24001 ...)"),
        (range(256), "255 values up to 254 (0, 1, 2 ...)"),
        ([0, 255, 65535], "2 values up to 65535 (0, 65535 ...)"),
    ],
)
def test_values_that_are_no_class_numbers_are_rejected(values, shown):
    with pytest.raises(UserError) as error:
        infer_classes(values, "data")
    assert str(error.value) == (
        f"data has masks with {shown}, which do not look like class numbers: list the values of "
        "the classes in classes.json."
    )
