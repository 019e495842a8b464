"""Data sets with annotated objects in the layouts of COCO, VOC and YOLO."""

import json
import pickle
import unicodedata

import numpy as np
import pytest
from faster_coco_eval import mask

from spectralvision.data.objects import ObjectImages, decode_masks
from spectralvision.data.open_objects import open_objects
from spectralvision.data.segments import decode_segment, parse_segment
from spectralvision.data.splits import fingerprint
from spectralvision.runs import UserError
from tests.helpers.scenes import CLASSES, box_of, coco_annotations, coco_folder, run_lengths, scene


def assert_is_scene(images: ObjectImages, index: int, number: int, masks: bool = True) -> None:
    """Compare image, boxes, labels, areas and masks with those of a scene of tests.helpers."""
    picture, objects = scene(number)
    assert np.array_equal(np.asarray(images.image(index)), np.asarray(picture))
    target = images.target(index)
    assert target.size == (48, 64)
    assert target.boxes.dtype == np.float32
    assert target.boxes.tolist() == [box_of(mask) for _, mask in objects]
    assert target.labels.tolist() == [label for label, _ in objects]
    assert target.is_crowd.tolist() == [False] * len(objects)
    if masks:
        assert target.areas.tolist() == [mask.sum() for _, mask in objects]
        assert np.array_equal(decode_masks(target), np.stack([mask for _, mask in objects]))
    else:
        assert target.segments == [None] * len(objects)


def names_of(data):
    """Return the image files of each split."""
    return {
        split: [images.name(index) for index in range(len(images))]
        for split, images in data.splits.items()
    }


def test_coco(tmp_path):
    data = open_objects(str(coco_folder(tmp_path / "scenes")))
    assert (data.name, data.classes, data.facts) == ("scenes", CLASSES, {})
    assert {split: len(images) for split, images in data.splits.items()} == {"train": 8, "val": 4}
    for split, first in (("train", 0), ("val", 8)):
        images = data.split(split)
        assert isinstance(images, ObjectImages)
        assert images.categories == (3, 7)
        assert not images.has_labels
        for index in range(len(images)):
            assert images.name(index) == f"{first + index:03d}.png"
            assert images.target(index).image_id == 100 + first + index
            assert_is_scene(images, index, first + index)


def test_a_worker_gets_the_same_objects(tmp_path):
    images = open_objects(str(coco_folder(tmp_path / "scenes"))).split("val")
    copy = pickle.loads(pickle.dumps(images))
    assert fingerprint(copy) == fingerprint(images)
    assert_is_scene(copy, 3, 11)
    assert images.objects[-1].image_id == copy.objects[3].image_id == 111
    assert [one.image_id for one in images.objects[1:3]] == [109, 110]
    with pytest.raises(IndexError):
        images.objects[4]


def test_boxes_without_masks_have_the_area_of_the_box(tmp_path):
    images = open_objects(str(coco_folder(tmp_path / "scenes", masks=False))).split("train")
    for index in range(8):
        assert_is_scene(images, index, index, masks=False)
    path = tmp_path / "scenes/annotations/instances_train.json"
    content = json.loads(path.read_text())
    for one in content["annotations"]:
        del one["area"]
    path.write_text(json.dumps(content))
    target = open_objects(str(tmp_path / "scenes")).split("train").target(2)
    sides = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in target.boxes]
    assert target.areas.tolist() == sides


def test_outlines_of_each_kind(tmp_path):
    square = np.zeros((48, 64), bool)
    square[10:20, 5:35] = True
    runs = run_lengths(square)
    compressed = mask.encode(np.asfortranarray(square.astype(np.uint8)))
    outlines = [
        [[5, 10, 35, 10, 35, 20, 5, 20]],
        [[5, 10, 20, 10, 20, 20, 5, 20], [20, 10, 35, 10, 35, 20, 20, 20]],
        runs,
        {"size": [48, 64], "counts": compressed["counts"].decode()},
    ]
    content = coco_annotations(range(1), masks=False)
    content["annotations"] = [
        {"id": number, "image_id": 100, "category_id": 3, "segmentation": outline}
        for number, outline in enumerate(outlines)
    ]
    images = open_objects(write_coco(tmp_path, content)).split("all")
    target = images.target(0)
    assert target.boxes.tolist() == [[5, 10, 35, 20]] * 4
    assert target.areas.tolist() == [300] * 4
    assert target.segments[2:] == [runs, runs]
    for found in decode_masks(target):
        assert np.array_equal(found, square)


def test_compressed_run_lengths_of_any_mask_are_read(tmp_path):
    rng = np.random.default_rng(0)
    for side in (1, 3, 7, 40, 600):
        for density in (0.02, 0.5, 0.98):
            picture = rng.random((side, side + 1)) < density
            picture[0, 0] = True
            text = mask.encode(np.asfortranarray(picture.astype(np.uint8)))["counts"].decode()
            segment = {"size": list(picture.shape), "counts": text}
            assert parse_segment(segment, picture.shape).problems == []
            assert np.array_equal(decode_segment(segment, picture.shape), picture)


def test_crowds_and_areas_are_kept(tmp_path):
    content = coco_annotations(range(1))
    content["annotations"][0] |= {"iscrowd": 1, "area": 12.5}
    target = open_objects(write_coco(tmp_path, content)).split("all").target(0)
    assert (target.is_crowd.tolist(), target.areas.tolist()) == ([True], [12.5])


def write_coco(root, content, path="annotations.json"):
    """Write a COCO file beside the images that it lists, scenes by their number."""
    for image in content["images"]:
        scene(image["id"] - 100)[0].save(root / image["file_name"])
    (root / path).write_text(json.dumps(content))
    return str(root / path)


@pytest.mark.parametrize("layout", ["coco", "coco2017", "roboflow", "label studio", "root"])
def test_layouts_of_coco(tmp_path, layout):
    names = {"train": range(3), "val": range(3, 5)}
    for split, numbers in names.items():
        content = coco_annotations(numbers)
        images, annotations = {
            "coco": (f"images/{split}", f"annotations/instances_{split}.json"),
            "coco2017": (f"{split}2017", f"annotations/instances_{split}2017.json"),
            "roboflow": (f"{split}id"[:5], f"{split}id"[:5] + "/_annotations.coco.json"),
            "label studio": ("images", f"{split}.json"),
            "root": (".", f"{split}.json"),
        }[layout]
        for path in (tmp_path / images, (tmp_path / annotations).parent):
            path.mkdir(parents=True, exist_ok=True)
        for number, image in zip(numbers, content["images"], strict=True):
            scene(number)[0].save(tmp_path / images / image["file_name"])
            if layout == "label studio":
                image["file_name"] = f"images\\{image['file_name']}"
        (tmp_path / annotations).write_text(json.dumps(content))
    (tmp_path / "annotations").mkdir(exist_ok=True)
    (tmp_path / "annotations/captions_train2017.json").write_text("{}")
    if not layout.startswith("coco"):
        (tmp_path / "annotations/captions_train2017.json").unlink()
    data = open_objects(str(tmp_path))
    assert (data.classes, data.facts, list(data.splits)) == (CLASSES, {}, ["train", "val"])
    for split, numbers in names.items():
        assert len(data.split(split)) == len(numbers)
        for index, number in enumerate(numbers):
            assert_is_scene(data.split(split), index, number)


def test_a_test_split_without_annotations_is_unlabeled(tmp_path):
    root = coco_folder(tmp_path / "scenes")
    content = coco_annotations(range(4))
    del content["annotations"]
    (root / "annotations/instances_test.json").write_text(json.dumps(content))
    data = open_objects(str(root))
    assert list(data.splits) == ["train", "val"]
    assert data.facts == {"unlabeled": {"test": 4}}
    with pytest.raises(UserError, match="scenes has no labels in its split 'test': use train, val"):
        data.split("test")


def voc_xml(number, extra=""):
    """Return the XML file of a scene: boxes are 1-based, and their last pixel is inside."""
    objects = ""
    for label, inside in scene(number)[1]:
        x1, y1, x2, y2 = box_of(inside)
        sides = f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        name = f"<name>{CLASSES[label]}</name>{extra}"
        objects += f"<object>{name}<bndbox>{sides}</bndbox></object>"
    size = "<size><width>64</width><height>48</height><depth>3</depth></size>"
    return f"<annotation>{size}{objects}</annotation>"


def voc_folder(root, count=5, images="JPEGImages", annotations="Annotations"):
    for number in range(count):
        for folder in (images, annotations):
            (root / folder).mkdir(parents=True, exist_ok=True)
        scene(number)[0].save(root / images / f"{number}.png")
        (root / annotations / f"{number}.xml").write_text(voc_xml(number))
    return root


SORTED = ("disc", "square")
"""Classes of VOC are in the order of their names."""


def assert_has_boxes(images, index, number):
    """Compare boxes and classes with those of a scene, where classes are sorted."""
    target, objects = images.target(index), scene(number)[1]
    assert np.abs(target.boxes - [box_of(inside) for _, inside in objects]).max() < 1e-4
    assert target.labels.tolist() == [1 - label for label, _ in objects]


def test_voc_with_its_lists(tmp_path):
    root = voc_folder(tmp_path / "VOCdevkit/VOC2012")
    lists = {"train": "0\n3\n", "val": "4\n1\n", "trainval": "0\n1\n3\n4\n", "test": "2\n"}
    (root / "ImageSets/Main").mkdir(parents=True)
    for split, text in lists.items():
        (root / f"ImageSets/Main/{split}.txt").write_text(text)
    (root / "ImageSets/Main/disc_train.txt").write_text("0 -1\n3 1\n")
    for spec in (tmp_path, root):
        data = open_objects(str(spec))
        assert (data.classes, data.facts) == (SORTED, {})
        for split, numbers in (("train", [0, 3]), ("val", [4, 1]), ("test", [2])):
            images = data.split(split)
            assert [images.name(i) for i in range(len(images))] == [
                f"JPEGImages/{number}.png" for number in numbers
            ]
            for index, number in enumerate(numbers):
                assert_has_boxes(images, index, number)


def test_voc_boxes_are_1_based_and_include_their_last_pixel(tmp_path):
    root = voc_folder(tmp_path, count=1)
    sides = "<xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>48</ymax>"
    (root / "Annotations/0.xml").write_text(
        f"<annotation><object><name>disc</name><difficult>1</difficult><bndbox>{sides}</bndbox>"
        "<part><name>head</name><bndbox/></part></object></annotation>"
    )
    target = open_objects(str(tmp_path)).split("all").target(0)
    assert target.boxes.tolist() == [[0, 1, 10, 48]]
    assert (target.areas.tolist(), target.is_crowd.tolist()) == ([470], [True])


@pytest.mark.parametrize(
    ("images", "annotations"),
    [(".", "."), ("images", "annotations"), ("train", "train"), ("images/a", "annotations/a")],
)
def test_xml_files_anywhere(tmp_path, images, annotations):
    data = open_objects(str(voc_folder(tmp_path, images=images, annotations=annotations)))
    assert (data.classes, data.facts) == (SORTED, {})
    found = data.split("train" if images == "train" else "all")
    for number in range(5):
        assert_has_boxes(found, number, number)


def yolo_lines(number, polygons=False):
    lines = []
    for label, inside in scene(number)[1]:
        x1, y1, x2, y2 = np.array(box_of(inside)) / [64, 48, 64, 48]
        box = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
        corners = [x1, y1, x2, y1, x2, y2, x1, y2]
        lines.append(" ".join(map(str, [1 - label, *(corners if polygons else box)])))
    return "\n".join(lines)


def yolo_folder(root, layout="{split}/images", counts=(("train", 3), ("val", 2)), **options):
    """Write scenes with labels; their numbers start at 0 in each split."""
    for split, count in counts:
        images = root / layout.format(split=split)
        labels = root / layout.format(split=split).replace("images", "labels")
        images.mkdir(parents=True)
        labels.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            scene(number)[0].save(images / f"{number}.png")
            (labels / f"{number}.txt").write_text(yolo_lines(number, **options))
    return root


def assert_is_yolo(data):
    assert (data.classes, data.facts, list(data.splits)) == (SORTED, {}, ["train", "val"])
    for split, count in (("train", 3), ("val", 2)):
        assert len(data.split(split)) == count
        for number in range(count):
            assert_has_boxes(data.split(split), number, number)


@pytest.mark.parametrize("layout", ["{split}/images", "images/{split}"])
def test_yolo_without_a_description(tmp_path, layout):
    root = yolo_folder(tmp_path, layout)
    (root / "classes.txt").write_text("disc\nsquare\n")
    assert_is_yolo(open_objects(str(root)))


@pytest.mark.parametrize(
    "text",
    [
        "names: [disc, square]\ntrain: train/images\nval: val/images",
        "names: {0: disc, 1: square}\nnc: 2\ntrain: ../train/images\nval: ../val/images",
        "path: ../datasets/coco8\nnames:\n  1: square\n  0: disc\ntrain: [train/images]\nval: val",
        "names: [disc, square]\ntrain: train.txt\nval: val/images\npath: /content/elsewhere",
        "names: [disc, square]\npath: val\ntrain: train/images\nval: images",
    ],
)
def test_yolo_with_a_description(tmp_path, text):
    root = yolo_folder(tmp_path)
    (root / "train.txt").write_text("".join(f"./train/images/{n}.png\n" for n in range(3)))
    (root / "data.yaml").write_text(text)
    assert_is_yolo(open_objects(str(root)))
    assert_is_yolo(open_objects(str(root / "data.yaml")))


def test_yolo_outlines(tmp_path):
    root = yolo_folder(tmp_path, polygons=True)
    (root / "data.yaml").write_text("names: [disc, square]")
    data = open_objects(str(root))
    assert_is_yolo(data)
    target = data.split("train").target(2)
    for box, found in zip(target.boxes.round().astype(int), decode_masks(target), strict=True):
        assert box_of(found) == box.tolist()
        assert found.sum() == (box[2] - box[0]) * (box[3] - box[1])


def test_yolo_image_without_labels_has_no_objects(tmp_path):
    root = yolo_folder(tmp_path)
    (root / "classes.txt").write_text("disc\nsquare\n")
    (root / "train/labels/1.txt").unlink()
    (root / "train/labels/2.txt").write_text("")
    data = open_objects(str(root))
    assert [len(one.boxes) for one in data.split("train").objects] == [1, 0, 0]
    assert data.facts["annotation_problems"] == {"images without objects, kept": 2}


@pytest.mark.parametrize(("listed", "real"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_are_matched_in_either_form_of_unicode(tmp_path, listed, real):
    root, name = coco_folder(tmp_path / "scenes", 4, 2), "größe é.png"
    (root / "images" / "000.png").rename(root / "images" / unicodedata.normalize(real, name))
    path = root / "annotations" / "instances_train.json"
    path.write_text(path.read_text().replace("000.png", unicodedata.normalize(listed, name)))
    data = open_objects(str(root))
    assert data.facts == {}
    assert_is_scene(data.split("train"), 0, 0)


def test_labels_of_names_in_another_form_of_unicode_are_found(tmp_path):
    root = yolo_folder(tmp_path, "{split}/images")
    (root / "classes.txt").write_text("disc\nsquare\n")
    for form, file in (("NFC", "images/0.png"), ("NFD", "labels/0.txt")):
        path = root / "train" / file
        path.rename(path.with_stem("0" + unicodedata.normalize(form, "é")))
    data = open_objects(str(root))
    assert (data.facts, len(data.split("train"))) == ({}, 3)
    assert all(len(data.split("train").target(index).boxes) for index in range(3))
