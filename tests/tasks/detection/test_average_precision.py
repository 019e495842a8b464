"""Average precision of hand-made detections, computed by hand beside."""

import numpy as np
import pytest
import torch

from spectralvision.tasks.detection.average_precision import AveragePrecision
from spectralvision.tasks.detection.detector import DEFAULT_MIN_SCORE
from tests.helpers.detection import detections, no_objects, objects_of
from tests.helpers.scenes import run_lengths

ONE_MISS = 51 / 101
"""AP with the first of two objects found first: precision 1 up to a recall of 0.5."""
BOTH = (51 + 50 * 2 / 3) / 101
"""AP with a false object between the two that are found."""


def two_objects(**values):
    """Return 10 x 10 squares at (0, 0) and (20, 20)."""
    masks = np.zeros((2, 48, 64), bool)
    masks[0, :10, :10] = masks[1, 20:30, 20:30] = True
    return objects_of(1)._replace(
        boxes=np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32),
        labels=np.array([0, 0]),
        is_crowd=np.array([False, False]),
        areas=np.array([100, 100], np.float32),
        segments=[run_lengths(mask) for mask in masks],
        **values,
    )


def rectangle(x1, y1, x2, y2):
    mask = np.zeros((48, 64), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_boxes():
    """The second object is found with an IoU of 0.62: at 3 of the 10 thresholds."""
    metric = AveragePrecision()
    boxes = [[0, 0, 10, 10], [40, 0, 50, 10], [20, 20, 30, 26.2]]
    metric.update([detections(boxes, [0, 0, 0], [0.9, 0.8, 0.7])], [two_objects()])
    values = metric.compute()
    assert values.keys() == {"map", "map_50", "map_75", "min_score"}
    assert float(values["map_50"]) == pytest.approx(BOTH, abs=1e-6)
    assert float(values["map_75"]) == pytest.approx(ONE_MISS, abs=1e-6)
    assert float(values["map"]) == pytest.approx((3 * BOTH + 7 * ONE_MISS) / 10, abs=1e-6)
    found = metric.details()[""]
    assert found.of_class(0) == pytest.approx(((3 * BOTH + 7 * ONE_MISS) / 10, BOTH))
    assert found.of_class(1) == (None, None)
    assert found.values["map_small"] == pytest.approx(float(values["map"]))
    assert found.values["map_medium"] is found.values["map_large"] is None


def test_masks_are_not_boxes():
    """The second mask covers 7 of 10 rows, though its box is right: IoU 0.7 at 5 thresholds."""
    metric = AveragePrecision(with_masks=True)
    found = detections(
        [[0, 0, 10, 10], [20, 20, 30, 30]],
        [0, 0],
        [0.9, 0.7],
        masks=[rectangle(0, 0, 10, 10), rectangle(20, 20, 30, 27)],
    )
    metric.update([found], [two_objects()])
    values = {name: float(value) for name, value in metric.compute().items()}
    assert values["map"] == pytest.approx(1)
    assert values["mask_map_50"] == pytest.approx(1)
    assert values["mask_map_75"] == pytest.approx(ONE_MISS, abs=1e-6)
    assert values["mask_map"] == pytest.approx((5 + 5 * ONE_MISS) / 10, abs=1e-6)


@pytest.mark.parametrize("with_masks", [False, True])
def test_false_objects_in_images_without_objects_count(with_masks):
    metric = AveragePrecision(with_masks)
    masks = [rectangle(0, 0, 10, 10), rectangle(20, 20, 30, 30)]
    right = detections([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 0], [0.8, 0.7], masks=masks)
    false = detections([[0, 0, 10, 10]], [0], [0.9], masks=masks[:1])
    metric.update([right, false], [two_objects(), no_objects()])
    values = metric.compute()
    assert float(values.pop("min_score")) == pytest.approx(0.35)  # of 0.01 to 0.69
    assert {round(float(value), 5) for value in values.values()} == {round(2 / 3, 5)}


def test_crowds_count_neither_as_missed_nor_as_false():
    metric = AveragePrecision()
    boxes = [[0, 0, 10, 10], [21, 21, 25, 25]]
    crowd = two_objects()._replace(is_crowd=np.array([False, True]))
    metric.update([detections(boxes, [0, 0], [0.8, 0.9])], [crowd])
    assert float(metric.compute()["map"]) == pytest.approx(1)


def test_objects_without_a_mask_do_not_count_for_masks():
    """They are neither missed nor, where they are found, false; boxes count as ever."""
    objects = two_objects()
    objects = objects._replace(segments=[objects.segments[0], None])
    boxes = [[0, 0, 10, 10], [20, 20, 30, 30]]
    masks = [rectangle(0, 0, 10, 10), rectangle(20, 20, 30, 30)]
    for found in ((0,), (1, 0)):
        metric = AveragePrecision(with_masks=True)
        one = detections(
            [boxes[place] for place in found],
            [0] * len(found),
            [0.9, 0.8][: len(found)],
            masks=[masks[place] for place in found],
        )
        metric.update([one], [objects])
        details = metric.details()
        assert details["mask_"].values["map"] == pytest.approx(1)
        expected = ONE_MISS if len(found) == 1 else 1
        assert details[""].values["map"] == pytest.approx(expected)
    metric = AveragePrecision(with_masks=True)
    metric.update([one], [objects._replace(segments=[None, None])])
    assert metric.details()["mask_"].values["map"] is None


def test_max_dets():
    boxes = [[40, 0, 50, 10], [0, 0, 10, 10], [20, 20, 30, 30]]
    for number, expected in ((1, 0.0), (2, 51 / 101 / 2), (3, 2 / 3)):
        metric = AveragePrecision(max_dets=number)
        metric.update([detections(boxes, [0, 0, 0], [0.9, 0.8, 0.7])], [two_objects()])
        assert float(metric.compute()["map"]) == pytest.approx(expected, abs=1e-6)


def test_no_detections_and_reset():
    metric = AveragePrecision(with_masks=True)
    nothing = detections([], [], [], masks=[])
    metric.update([nothing], [two_objects()])
    values = metric.compute()
    assert float(values.pop("min_score")) == pytest.approx(DEFAULT_MIN_SCORE)
    assert not any(map(float, values.values()))
    metric.reset()
    assert metric.images == []
    metric.update([nothing], [no_objects()])
    assert metric.details()[""].values["map"] is None
    assert torch.equal(metric.compute()["map"], torch.tensor(0.0))
