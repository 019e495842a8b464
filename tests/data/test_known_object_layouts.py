"""Annotations of objects as known tools and data sets lay them out."""

import json
import os

import pytest

from spectralvision.data.annotation_problems import describe_annotation_problems
from spectralvision.data.open_objects import has_objects, open_objects
from spectralvision.runs import UserError
from tests.data.test_open_objects import (
    SORTED,
    assert_has_boxes,
    assert_is_scene,
    assert_is_yolo,
    names_of,
    write_coco,
    yolo_folder,
    yolo_lines,
)
from tests.helpers.scenes import CLASSES, coco_annotations, coco_folder, scene

NAMES = "disc\nsquare\n"


# COCO


def test_coco_of_cvat(tmp_path):
    content = coco_annotations(range(2))
    (tmp_path / "images/default").mkdir(parents=True)
    (tmp_path / "annotations").mkdir()
    for number in range(2):
        scene(number)[0].save(tmp_path / f"images/default/{number:03d}.png")
    (tmp_path / "annotations/instances_default.json").write_text(json.dumps(content))
    data = open_objects(str(tmp_path))
    assert (data.classes, data.facts) == (CLASSES, {})
    assert_is_scene(data.split("all"), 1, 1)


def test_coco_with_absolute_paths_below_the_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    content = coco_annotations(range(2))
    write_coco(tmp_path / "real", content, "result.json")
    for base in (tmp_path / "real", tmp_path / "link"):
        for number, image in enumerate(content["images"]):
            image["file_name"] = str(base / f"{number:03d}.png")
        (tmp_path / "real/result.json").write_text(json.dumps(content))
        data = open_objects(str(tmp_path / "link"))
        assert names_of(data) == {"all": ["000.png", "001.png"]}


def test_coco_in_a_wrapping_folder(tmp_path):
    coco_folder(tmp_path / "unpacked/scenes")
    data = open_objects(str(tmp_path / "unpacked"))
    assert (data.name, list(data.splits)) == ("unpacked", ["train", "val"])


def test_coco_with_a_capital_suffix_and_numbers_as_text(tmp_path):
    content = coco_annotations(range(2))
    now = 1_764_000_000_123_456_789
    for one in content["images"]:
        one["id"] += now
    for one in content["annotations"]:
        one["image_id"] = str(one["image_id"] + now)
    content["annotations"][0] |= {"iscrowd": "1"}
    content["annotations"][1] |= {"iscrowd": True}
    for place, image in enumerate(content["images"]):
        scene(place)[0].save(tmp_path / image["file_name"])
    (tmp_path / "RESULT.JSON").write_text(json.dumps(content))
    data = open_objects(str(tmp_path))
    assert data.facts == {}
    targets = [data.split("all").target(index) for index in range(2)]
    assert [one.image_id for one in targets] == [now + 100, now + 101]
    assert [one.is_crowd.tolist() for one in targets] == [[True], [True, False]]


def test_coco_box_without_area_is_that_of_its_mask(tmp_path):
    content = coco_annotations(range(2))
    for one in content["annotations"]:
        one["bbox"] = [0, 0, 0, 0]
    data = open_objects(write_coco(tmp_path, content))
    assert data.facts == {}
    for index in range(2):
        assert_is_scene(data.split("all"), index, index)


@pytest.mark.parametrize("above", ["none", ["none"]])
def test_coco_of_roboflow_with_a_category_above(tmp_path, above):
    content = coco_annotations(range(2))
    content["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
    for one in content["categories"][1:]:
        one["supercategory"] = "things" if above == "none" else above
    classes = open_objects(write_coco(tmp_path, content)).classes
    assert classes == (CLASSES if above == "none" else ("things", *CLASSES))


def test_labelme_is_not_read(tmp_path):
    for number in range(7):
        scene(number)[0].save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.json").write_text('{"version": "5.5", "shapes": []}')
    with pytest.raises(UserError) as error:
        open_objects(str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path} has a .json per image (0.json), as of labelme: convert them to COCO's format."
    )
    assert not has_objects(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("ab", "several annotation files (a.json, b.json): keep one."),
        ("abcdef", "several annotation files (a.json, b.json, c.json, d.json, e.json ...): keep"),
        (["a_val", "b_val"], "several annotation files of val (a_val.json, b_val.json): keep one."),
    ],
)
def test_several_coco_files(tmp_path, names, message):
    for name in names:
        (tmp_path / f"{name}.json").write_text('{"images": []}')
    with pytest.raises(UserError) as error:
        open_objects(str(tmp_path))
    assert str(error.value).startswith(f"{tmp_path} has {message}")


# YOLO


@pytest.mark.parametrize("layout", ["images/{split}2017", "{split}_set/images", "Images/{split}"])
def test_yolo_with_other_names_of_folders(tmp_path, layout):
    root = yolo_folder(tmp_path, layout)
    if layout.startswith("Images"):
        (root / "labels").mkdir()
        for split, count in (("train", 3), ("val", 2)):
            (root / "labels" / split).mkdir()
            for number in range(count):
                text = root / "Images" / split / f"{number}.txt"
                text.rename(root / "labels" / split / text.name)
        (root / "labels").rename(root / "Labels")
    (root / "classes.txt").write_text(NAMES)
    assert_is_yolo(open_objects(str(root)))


def yolo_beside(root, folders):
    """Write scenes with their labels beside them, two a folder."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for number in range(2):
            scene(number)[0].save(root / folder / f"{number}.png")
            (root / folder / f"{number}.TXT").write_text(yolo_lines(number))
    return root


def test_yolo_of_roboflow_for_darknet(tmp_path):
    root = yolo_beside(tmp_path, ["train", "valid"])
    for split in ("train", "valid"):
        (root / split / "_darknet.labels").write_text(NAMES)
    data = open_objects(str(root))
    assert (data.classes, data.facts) == (SORTED, {})
    assert names_of(data) == {
        "train": ["train/0.png", "train/1.png"],
        "val": ["valid/0.png", "valid/1.png"],
    }
    assert_has_boxes(data.split("val"), 1, 1)
    (root / "valid/_darknet.labels").write_text("square\ndisc")
    with pytest.raises(UserError) as error:
        open_objects(str(root))
    assert str(error.value) == (
        f"{root}/train/_darknet.labels and {root}/valid/_darknet.labels list other classes: keep "
        "one of them."
    )


def test_yolo_without_splits_beside_a_folder_named_after_one(tmp_path):
    root = yolo_folder(tmp_path, "images", counts=(("", 2),))
    (root / "classes.txt").write_text(NAMES)
    (root / "test_results").mkdir()
    assert names_of(open_objects(str(root))) == {"all": ["images/0.png", "images/1.png"]}


@pytest.mark.parametrize("prefix", ["", "data/", "{root}/", None])
def test_yolo_of_cvat(tmp_path, prefix):
    root = yolo_beside(tmp_path, ["obj_train_data", "obj_valid_data"])
    (root / "obj.names").write_text(NAMES)
    expected = {"train": [0, 1], "val": [0, 1]}
    if prefix is not None:  # lists, of which one has an image only
        expected["val"] = [1]
        for name, numbers in (("train", [0, 1]), ("valid", [1])):
            start = prefix.format(root=root) + f"obj_{name}_data"
            (root / f"{name}.txt").write_text("".join(f"{start}/{one}.png\n" for one in numbers))
    data = open_objects(str(root))
    folders = {"train": "obj_train_data", "val": "obj_valid_data"}
    assert names_of(data) == {
        split: [f"{folders[split]}/{one}.png" for one in numbers]
        for split, numbers in expected.items()
    }
    notes = [] if prefix is None else ["skip   1 image in no split: obj_valid_data/0.png"]
    assert describe_annotation_problems(data) == notes


@pytest.mark.parametrize("key", ["path: {0}\ntrain: train/images\nval: val/images", "path: ."])
def test_yolo_with_absolute_paths_below_the_folder(tmp_path, key):
    root = yolo_folder(tmp_path)
    text = "names: [disc, square]\n" + key.format(root)
    if key == "path: .":
        text += f"\ntrain: {root}/train/images\nval: {root}/val/images"
    (root / "data.yaml").write_text(text)
    assert_is_yolo(open_objects(str(root)))


def test_yolo_in_a_wrapping_folder(tmp_path):
    root = yolo_folder(tmp_path / "unpacked", "images/{split}")
    (root / "classes.txt").write_text(NAMES)
    assert_is_yolo(open_objects(str(tmp_path)))


@pytest.mark.parametrize("text", ["names: {'0': disc, '1': square}", "names: [disc, square]"])
def test_yolo_with_numbers_as_text(tmp_path, text):
    root = yolo_folder(tmp_path)
    (root / "data.yaml").write_text(f"{text}\nnc: '2'")
    assert_is_yolo(open_objects(str(root)))


def test_yolo_outline_a_little_beyond_the_image(tmp_path):
    root = yolo_folder(tmp_path)
    (root / "classes.txt").write_text(NAMES)
    (root / "train/labels/0.txt").write_text("0 .5 .5 1.02 .5 1.02 .75 .5 .75")
    data = open_objects(str(root))
    assert describe_annotation_problems(data) == [
        "note   1 box that extends beyond its image, clipped: train/images/0.png (line 1)"
    ]
    assert data.split("train").target(0).boxes.tolist() == [[32, 24, 64, 36]]


def test_yolo_files_without_a_partner_are_counted(tmp_path):
    root = yolo_folder(tmp_path, "images/{split}")
    (root / "classes.txt").write_text(NAMES)
    for file in ("images/loose.png", "images/extra/b.png"):
        (root / file).parent.mkdir(exist_ok=True)
        scene(0)[0].save(root / file)
    (root / "labels/gone").mkdir()
    for file in ("train/9.txt", "gone/0.txt", "loose.txt"):
        (root / "labels" / file).write_text("0 .5 .5 .2 .2")
    (root / "README.txt").write_text("About")
    (root / "pool").mkdir()
    (root / "images/val/0.png").rename(root / "pool/0.png")
    (root / "images/val/0.png").symlink_to(os.path.join("..", "..", "pool", "0.png"))
    assert describe_annotation_problems(open_objects(str(root))) == [
        "skip   2 images in no split: images/extra/b.png, images/loose.png",
        "skip   2 annotation files without an image: labels/gone/0.txt, labels/train/9.txt",
    ]


# Files of another kind beside the annotations


def assert_yolo_with(root, file, text):
    yolo_folder(root)
    (root / "classes.txt").write_text(NAMES)
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_text(text)
    assert_is_yolo(open_objects(str(root)))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("docs/a.xml", "<note/>"),
        ("annotations.xml", "<annotations><annotation/></annotations>"),
        ("annotations/info.json", '{"images": 5}'),
        ("dvc.yaml", "stages: {}"),
    ],
)
def test_other_files_beside_yolo(tmp_path, file, text):
    assert_yolo_with(tmp_path, file, text)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("meta.xml", "<meta/>"),
        ("meta.json", '{"version": 1}'),
        ("classes.json", '["square", "disc"]'),
        ("dvc.yaml", "stages: {}"),
    ],
)
def test_other_files_beside_coco(tmp_path, file, text):
    write_coco(tmp_path, coco_annotations(range(2)), "result.json")
    (tmp_path / file).write_text(text)
    assert_is_scene(open_objects(str(tmp_path)).split("all"), 1, 1)


def test_cvat_for_images_is_not_read(tmp_path):
    scene(0)[0].save(tmp_path / "0.png")
    (tmp_path / "annotations.xml").write_text("<?xml version='1.0'?>\n<annotations/>")
    with pytest.raises(UserError) as error:
        open_objects(str(tmp_path))
    assert str(error.value).startswith(f"{tmp_path} has no annotations of objects: --data takes ")


# Class names


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("data.yaml", b"names: [yes, no]", "a class name that YAML reads as True: put it in quot"),
        ("data.yaml", b"names: [a, ~]", "a class name that YAML reads as None: put it in quotes."),
        ("data.yaml", b"names: [a, [b]]", "a class name that YAML reads as ['b']: put it in quot"),
    ],
)
def test_class_names_that_are_not_text(tmp_path, file, content, message):
    root = yolo_folder(tmp_path)
    (root / file).write_bytes(content)
    with pytest.raises(UserError) as error:
        open_objects(str(root))
    assert str(error.value).startswith(f"{root}/{file} has {message}")


def test_class_names_that_are_not_utf_8(tmp_path):
    root = yolo_folder(tmp_path)
    (root / "classes.txt").write_bytes(b"disc\ncaf\xe9\n")
    with pytest.raises(UserError) as error:
        open_objects(str(root))
    assert str(error.value) == f"{root}/classes.txt is not UTF-8: save it as UTF-8."
