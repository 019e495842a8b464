"""What is checked and said about the images of a detector."""

from dataclasses import replace

import numpy as np
import pytest

from spectralvision.data.objects import ObjectImages
from spectralvision.data.splits import Data, fingerprint
from spectralvision.runs import UserError
from spectralvision.tasks.detection.config import DetectionConfig
from spectralvision.tasks.detection.data import (
    check_data,
    describe_counts,
    describe_target,
    find_categories,
    find_scale,
    match_classes,
)
from tests.helpers.detection import (
    CATEGORIES,
    Scenes,
    no_objects,
    objects_of,
    scene_data,
    scene_images,
    tiny_detector,
)

CONFIG = DetectionConfig(data="scenes")


def with_objects(data: Data, split: str, objects) -> Data:
    images = ObjectImages(Scenes(range(len(objects))), objects, CATEGORIES)
    return replace(data, splits=data.splits | {split: images})


def test_notes():
    data, notes = check_data(scene_data(), CONFIG)
    assert notes == [
        "found  15 objects in 8 images of train",
        "found  9 objects in 4 images of val",
        "note   4 images in val: its AP is a rough estimate",
    ]
    assert len(data.split("train")) == 8


def test_crowds_missing_masks_and_missing_classes_are_named():
    crowd = objects_of(2)._replace(
        is_crowd=np.array([False, True, False]), labels=np.array([1, 0, 1])
    )
    data = with_objects(scene_data(), "train", [crowd, no_objects()])
    _, notes = check_data(data, CONFIG)
    assert notes[:3] == [
        "found  2 objects in 2 images of train",
        "note   1 crowd of train not trained on, and left out of AP",
        "note   1 class without objects in train: square",
    ]
    bare = objects_of(2)._replace(segments=[None, *objects_of(2).segments[1:]])
    masks = replace(CONFIG, detector="mask_rcnn")
    _, notes = check_data(with_objects(scene_data(), "train", [bare]), masks)
    assert "note   1 object of train without a mask: not trained on" in notes


def test_what_cannot_be_trained_on_is_rejected():
    empty = with_objects(scene_data(), "val", [no_objects(), no_objects()])
    message = "scenes has no objects in val: annotate some, or check the annotation files."
    with pytest.raises(UserError, match=message):
        check_data(empty, CONFIG)
    message = "scenes has no masks in train, which mask_rcnn needs: use --detector faster_rcnn"
    with pytest.raises(UserError, match=message):
        check_data(scene_data(masks=False), replace(CONFIG, detector="mask_rcnn"))
    with pytest.raises(UserError, match="scenes has 2 classes: leave out --num-classes 5"):
        check_data(scene_data(), replace(CONFIG, num_classes=5))


def test_categories_are_found_below_views():
    data, _ = check_data(scene_data(), CONFIG)
    assert find_categories(data.split("train"), 2) == CATEGORIES
    assert find_categories(Scenes(range(2)), 2) == (1, 2)


def test_classes_that_a_file_does_not_have_get_free_categories():
    images = scene_images(range(2))
    images.categories = (-1, 7, -1)
    assert find_categories(images, 3) == (8, 7, 9)


def test_the_scale_of_the_objects():
    """Of 4, 0 and 1 objects: the mean number is rounded up, the median size is of all of them."""
    one = no_objects((40, 90))._replace(
        boxes=np.zeros((4, 4), np.float32),
        labels=np.zeros(4, np.int64),
        is_crowd=np.zeros(4, bool),
        areas=np.array([1, 36, 36, 3600], np.float32),
        segments=[None] * 4,
    )
    other = one._replace(boxes=one.boxes[:1], labels=one.labels[:1], areas=one.areas[1:2])
    images = with_objects(scene_data(), "train", [one, no_objects(), other]).split("train")
    assert find_scale(images) == (2, pytest.approx(0.1))
    nothing = with_objects(scene_data(), "train", [no_objects()]).split("train")
    assert find_scale(nothing) == (0, 0.3)


def test_classes_are_matched_by_name():
    model = tiny_detector()
    data = scene_data()
    swapped = replace(data, classes=("disc", "square"))
    matched = match_classes(swapped, model, "run")
    assert matched.classes == ("square", "disc")
    before, after = swapped.split("val"), matched.split("val")
    labels = before.target(0).labels
    assert len(labels) > 1
    assert after.target(0).labels.tolist() == (1 - labels).tolist()
    assert fingerprint(before) == fingerprint(after)
    assert match_classes(data, model, "run") is data
    with pytest.raises(UserError, match=r"scenes has 1 class that run does not know \(cat\)"):
        match_classes(replace(data, classes=("square", "cat")), model, "run")


def test_objects_as_text():
    assert describe_counts([1, 0, 3], ["a", "b", "c"]) == "3 c, 1 a"
    assert describe_counts([0, 0], ["a", "b"]) == "none"
    labels = objects_of(2).labels
    assert sorted(labels.tolist()) == [0, 0, 1]
    assert describe_target(objects_of(2), ["square", "disc"]) == "2 square, 1 disc"
