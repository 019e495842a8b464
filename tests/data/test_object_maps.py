"""Annotations of objects as class maps."""

import json
import shutil
import tracemalloc

import numpy as np
import pytest

from spectralvision.data.masks import IGNORED
from spectralvision.data.object_maps import draw_objects
from spectralvision.data.objects import Objects
from spectralvision.data.open_masks import open_masks
from spectralvision.data.scan_masks import validate_masks
from spectralvision.runs import UserError
from spectralvision.tasks.segmentation.data import check_data
from tests.helpers.scenes import class_map, coco_folder


def square(left, top, side):
    right, bottom = left + side, top + side
    return [[left, top, right, top, right, bottom, left, bottom]]


def objects(*items):
    """Return objects of (label, left, top, side, has a mask) in an image of 20 x 30 pixels."""
    boxes = [(left, top, left + side, top + side) for _, left, top, side, _ in items]
    return Objects(
        size=(20, 30),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array([item[0] for item in items], np.int64),
        is_crowd=np.zeros(len(items), bool),
        areas=np.array([item[3] ** 2 for item in items], np.float32),
        segments=[square(*item[1:4]) if item[4] else None for item in items],
        image_id=1,
    )


def test_smaller_objects_are_over_larger_ones():
    classes = draw_objects(objects((0, 4, 4, 4, True), (1, 2, 2, 10, True)), (1, 2))
    expected = np.zeros((20, 30), int)
    expected[2:12, 2:12] = 2
    expected[4:8, 4:8] = 1
    assert np.array_equal(classes, expected)


def test_boxes_without_masks_are_ignored():
    classes = draw_objects(objects((0, 1, 1, 8, False), (1, 5, 5, 6, True)), (1, 2))
    expected = np.zeros((20, 30), int)
    expected[1:9, 1:9] = IGNORED
    expected[5:11, 5:11] = 2
    assert np.array_equal(classes, expected)
    assert not draw_objects(objects(), (1, 2)).any()


def test_coco(tmp_path):
    data = open_masks(str(coco_folder(tmp_path / "scenes", 4, 2)))
    assert data.classes == ("background", "square", "disc")
    assert {name: len(images) for name, images in data.splits.items()} == {"train": 4, "val": 2}
    for index in range(4):
        assert np.array_equal(data.split("train").target(index).classes, class_map(index))
    _, bad, pixels = validate_masks(data)
    assert not bad
    assert pixels.sum() == 4 * 48 * 64
    file = tmp_path / "scenes" / "annotations" / "instances_val.json"
    assert np.array_equal(open_masks(str(file)).split("all").target(1).classes, class_map(5))


def test_boxes_alone_are_not_enough(tmp_path):
    folder = coco_folder(tmp_path / "scenes", masks=False)
    with pytest.raises(UserError, match="has boxes, but no masks of objects in train"):
        open_masks(str(folder))


def test_many_objects_are_decoded_one_at_a_time():
    size, number = (300, 400), 200
    many = objects(*[(0, 1, 1, 8, True)] * number)._replace(size=size)
    draw_objects(many, (1,))  # imports what decodes
    tracemalloc.start()
    try:
        draw_objects(many, (1,))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * size[0] * size[1]


def test_a_category_called_background_is_the_background(tmp_path):
    """Some tools list it first, without objects; objects of it are holes in larger ones."""
    folder = coco_folder(tmp_path / "scenes", 2, 2)
    for path in (folder / "annotations").iterdir():
        content = json.loads(path.read_text())
        content["categories"].insert(0, {"id": 0, "name": "Background"})
        path.write_text(json.dumps(content))
    data = open_masks(str(folder))
    assert data.classes == ("background", "square", "disc")
    assert np.array_equal(data.split("train").target(1).classes, class_map(1))
    classes = draw_objects(objects((0, 4, 4, 4, True), (1, 2, 2, 10, True)), (0, 1))
    expected = np.zeros((20, 30), int)
    expected[2:12, 2:12] = 1
    expected[4:8, 4:8] = 0
    assert np.array_equal(classes, expected)


def test_problems_of_annotations_are_noted(tmp_path):
    folder = coco_folder(tmp_path / "scenes", 4, 2)
    (folder / "images" / "001.png").unlink()
    shutil.copy(folder / "images" / "000.png", folder / "images" / "new.png")
    _, notes = check_data(open_masks(str(folder)))
    assert notes[:2] == [
        "skip   1 image whose file is missing: 001.png",
        "skip   1 image that no annotation file lists: new.png",
    ]
