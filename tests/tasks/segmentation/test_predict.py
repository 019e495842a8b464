"""Predicted masks have the values of the masks that were trained on."""

import json

import numpy as np
import pytest
from PIL import Image

from spectralvision.data.images import Subset
from spectralvision.data.open_masks import open_masks
from spectralvision.runs import UserError
from spectralvision.tasks.segmentation import model as segmentation
from spectralvision.tasks.segmentation.config import SegmentationConfig
from spectralvision.tasks.segmentation.data import find_values
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
