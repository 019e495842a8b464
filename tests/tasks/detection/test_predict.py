"""Rows, and COCO's JSON."""

import io
import json

import numpy as np
import pytest
import torch

from spectralvision.runs import UserError
from spectralvision.tasks.detection.detector import SizedImage
from spectralvision.tasks.detection.options import PredictOptions
from spectralvision.tasks.detection.predict import (
    ObjectPredictor,
    build_rows,
    check_options,
    number_objects,
    write_coco,
)
from tests.helpers.detection import detections, tiny_detector


def test_rows_and_coco():
    mask = np.zeros((48, 64), bool)
    mask[2:12, 1:11] = True
    found = detections([[1, 2, 11, 12], [5, 5, 25, 20]], [1, 0], [0.9, 0.5], masks=[mask, mask])
    nothing = detections([], [], [], masks=[])
    model = tiny_detector("mask_rcnn")
    rows = build_rows(model, [found, nothing])
    assert [row.cells[:2] for row in rows] == [["1 square, 1 disc", 0.9], ["none", None]]
    assert json.loads(rows[0].cells[2]) == [
        {"class": "disc", "score": 0.9, "box": [1, 2, 11, 12]},
        {"class": "square", "score": 0.5, "box": [5, 5, 25, 20]},
    ]
    assert rows[1].cells[2] == "[]"
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


def test_object_numbers():
    masks = np.zeros((2, 4, 6), bool)
    masks[0, :2, :3] = masks[1, 1:3, 2:5] = True
    found = detections([[0, 0, 3, 2], [2, 1, 5, 3]], [1, 0], [0.9, 0.5], (4, 6), masks=masks)
    image = number_objects(found)
    assert np.asarray(image).tolist() == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 2, 2, 0],
        [0, 0, 2, 2, 2, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    colors = [image.convert("RGB").getpixel(place) for place in ((5, 3), (0, 0), (3, 1))]
    assert colors == [(0, 0, 0), (128, 0, 0), (0, 128, 0)]


def test_low_scores_can_be_found():
    """Torchvision's own limit, 0.05 here, gives way to the user's."""
    model = tiny_detector("fcos").eval()
    model.net.head.classification_head.cls_logits.bias.data.fill_(-8.0)
    image = [SizedImage(torch.rand(3, 64, 64), (64, 64))]
    with torch.no_grad():
        assert not len(ObjectPredictor(model, 0.3)(image)[0].scores)
        (found,) = ObjectPredictor(model, 1e-3)(image)
    assert len(found.scores)
    assert found.scores.max() < 0.05


@pytest.mark.parametrize(("option", "number"), [("auto", 1), (0.4, 2), (0.8, 0)])
def test_the_lowest_score_is_the_option_or_the_one_that_was_validated(option, number):
    model = tiny_detector("fcos").eval()
    model.min_score.fill_(0.6)
    predictor = ObjectPredictor(model, option)
    found = detections([[1, 2, 11, 12], [5, 5, 25, 20]], [1, 0], [0.7, 0.5])
    model.forward = lambda images: [found]
    assert len(predictor([None])[0].scores) == number


def test_masks_need_a_model_with_masks():
    with pytest.raises(UserError, match=r"--masks needs a model with instance masks .*fcos"):
        check_options(tiny_detector("fcos"), PredictOptions(masks="masks"))
    check_options(tiny_detector("mask_rcnn"), PredictOptions(masks="masks"))
