"""Predicted masks have the values of the masks that were trained on."""

import json

import numpy as np
import pytest
from PIL import Image

from spectralvision.data.images import Subset
from spectralvision.data.masks import IGNORED
from spectralvision.data.open_masks import open_masks
from spectralvision.engine.draw_legend import add_legend
from spectralvision.engine.indexed_images import palette
from spectralvision.runs import UserError
from spectralvision.tasks.segmentation import model as segmentation
from spectralvision.tasks.segmentation.config import SegmentationConfig
from spectralvision.tasks.segmentation.data import find_values
from spectralvision.tasks.segmentation.drawing import OPACITY, draw_prediction
from spectralvision.tasks.segmentation.options import PredictOptions
from spectralvision.tasks.segmentation.predict import file_writer
from tests.helpers.scenes import mask_folder

NUMBERS = {"0": "background", "7": "square", "90": "disc"}


@pytest.fixture
def data(tmp_path):
    root = mask_folder(tmp_path / "scenes", 2, 2)
    for path in root.glob("*/masks/*.png"):
        with Image.open(path) as image:
            classes = np.asarray(image)
        Image.fromarray(np.array([0, 7, 90], np.uint8)[classes]).save(path)
    (root / "classes.json").write_text(json.dumps(NUMBERS))
    return open_masks(str(root))


def test_a_predicted_mask_can_be_trained_on(data, tmp_path):
    images = Subset(data.split("train"), [1])
    assert find_values(images, 3) == [0, 7, 90]
    config = SegmentationConfig(data="scenes", model="affnet_et", input_size=64)
    built, _ = segmentation.build_model(config, data)
    segmentation.save_model(built, tmp_path)
    model = segmentation.load_model(str(tmp_path))
    write = file_writer(model, PredictOptions(masks=str(tmp_path / "masks")))
    classes = images.target(0).classes
    write(images, 0, classes)
    with Image.open(tmp_path / "masks" / "001.png") as mask:
        assert mask.mode == "P"
        assert np.array_equal(np.asarray(mask), np.array([0, 7, 90])[classes])
        colors = np.asarray(mask.convert("RGB"))
    assert colors[classes == 2][0].tolist() == [128, 128, 0]


def test_values_that_do_not_fit_are_rejected(data, tmp_path):
    config = SegmentationConfig(data="scenes", model="affnet_et", input_size=64)
    segmentation.save_model(segmentation.build_model(config, data)[0], tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    for values in ([0, 7], [0, 7, 7], [0, 7, -1], [0, 7, 70_000], ["a", 1, 2]):
        (tmp_path / "config.json").write_text(json.dumps(content | {"values": values}))
        with pytest.raises(UserError, match="has no settings of this version"):
            segmentation.load_model(str(tmp_path))


def test_pictures_have_a_legend_of_what_is_drawn():
    classes = np.zeros((30, 40), np.int16)
    classes[:, :10] = 2
    classes[:5] = IGNORED
    image = Image.new("RGB", (40, 30), "black")
    names = ("background", "absent", "a class with a very long name that does not fit")
    drawn = draw_prediction(image, classes, names)
    assert drawn.width == 480
    assert drawn.height > 360
    found = {color for _, color in drawn.getcolors(1 << 20)}
    tone = tuple(round(OPACITY * value) for value in palette(3)[2].tolist())
    for pixel, color in (((60, 200), tone), ((300, 200), (0, 0, 0)), ((10, 10), (140, 140, 140))):
        assert np.abs(np.subtract(drawn.getpixel(pixel), color)).max() <= 1
    assert tuple(palette(3)[2].tolist()) in found
    assert tuple(palette(3)[1].tolist()) not in found
    plain = draw_prediction(image, np.zeros((30, 40), np.int16), names)
    assert plain.size == (480, 360)


def test_legends_have_as_many_lines_as_they_need():
    image = Image.new("RGB", (200, 10))
    heights = [
        add_legend(image, [(f"class {number}", (1, 2, 3)) for number in range(count)]).height
        for count in (1, 2, 3, 20)
    ]
    assert heights == sorted(heights)
    assert heights[0] == heights[1] < heights[2] < heights[3]
    narrow = Image.new("RGB", (5, 5))
    assert add_legend(narrow, [("a", (1, 2, 3)), ("b", (1, 2, 3))]).width == 5
