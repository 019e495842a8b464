"""Rows, and COCO's JSON."""

import io
import json

import numpy as np

from spectralvision.tasks.detection.predict import build_rows, write_coco
from tests.helpers.detection import detections, tiny_detector


def test_rows_and_coco():
    mask = np.zeros((48, 64), bool)
    mask[2:12, 1:11] = True
    found = detections([[1, 2, 11, 12], [5, 5, 25, 20]], [1, 0], [0.9, 0.5], masks=[mask, mask])
    nothing = detections([], [], [], masks=[])
    model = tiny_detector("mask_rcnn")
    rows = build_rows(model, [found, nothing])
    assert [row.cells for row in rows] == [["1 square, 1 disc", 0.9], ["none", None]]
    first = rows[0].record["objects"][0]
    assert first | {"mask": None} == {
        "class": "disc", "score": 0.9, "box": [1, 2, 11, 12], "mask": None,
    }  # fmt: skip
    records = [{"image": name, **row.record} for name, row in zip("ab", rows, strict=True)]
    file = io.StringIO()
    write_coco(lambda: iter(records), model, file)
    content = json.loads(file.getvalue())
    assert content["images"] == [
        {"id": 1, "file_name": "a", "height": 48, "width": 64},
        {"id": 2, "file_name": "b", "height": 48, "width": 64},
    ]
    assert content["categories"] == [{"id": 3, "name": "square"}, {"id": 7, "name": "disc"}]
    one, other = content["annotations"]
    assert one.pop("segmentation")["size"] == [48, 64]
    assert one == {
        "id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 10, 10], "area": 100,
        "iscrowd": 0, "score": 0.9,
    }  # fmt: skip
    assert (other["id"], other["category_id"], other["bbox"]) == (2, 3, [5, 5, 20, 15])
    empty = io.StringIO()
    write_coco(lambda: iter(()), model, empty)
    assert json.loads(empty.getvalue())["annotations"] == []
