"""Detectors are saved, loaded, and started from other runs."""

import json

import pytest
import torch
from safetensors.torch import load_file

from spectralvision.engine.model_io import architecture, data_config, label_names
from spectralvision.runs import UserError, write_json
from spectralvision.tasks.detection.config import DetectionConfig
from spectralvision.tasks.detection.detector import SizedImage
from spectralvision.tasks.detection.model import build_model, choose_size, load_model, save_model
from tests.helpers.detection import CATEGORIES, KINDS, scene_data, tiny_detector
from tests.helpers.run_folders import make_run


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_detector_is_the_saved_one(kind, tmp_path):
    model = tiny_detector(kind).eval().to(memory_format=torch.channels_last)
    save_model(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    again = load_model(str(tmp_path)).eval()
    assert again.settings == model.settings
    assert again.categories == CATEGORIES
    assert label_names(again) == ["square", "disc"]
    assert architecture(again) == "affnet_et"
    assert data_config(again) == data_config(model)
    image = [SizedImage(torch.rand(3, 64, 64), (100, 90))]
    with torch.no_grad():
        first, second = model(image)[0], again(image)[0]
    assert torch.equal(first.boxes, second.boxes)
    assert torch.equal(first.scores, second.scores)


def test_damaged_runs_are_rejected(tmp_path):
    save_model(tiny_detector(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    write_json(tmp_path / "config.json", config | {"settings": {"detector": "fcos"}})
    with pytest.raises(UserError, match=r"has no config\.json of this version"):
        load_model(str(tmp_path))
    write_json(tmp_path / "config.json", config | {"architecture": "affnet_t"})
    with pytest.raises(UserError, match=r"the weights in .* cannot be used"):
        load_model(str(tmp_path))
    for categories in ([3], [3, 3], [3, 7, 8]):
        write_json(tmp_path / "config.json", config | {"categories": categories})
        with pytest.raises(UserError, match="2 classes, but the categories"):
            load_model(str(tmp_path))
    with pytest.raises(UserError, match="is not a run of detection"):
        load_model(str(tmp_path / "missing"))


def test_a_classifier_is_a_start(tmp_path):
    run = make_run(tmp_path / "classifier", "affnet_et")
    model, config = build_model(DetectionConfig(data="scenes", model=str(run)), scene_data())
    assert (config.input_size, config.max_size) == (64, 107)
    plain, _ = build_model(DetectionConfig(data="scenes", model="affnet_et"), scene_data())
    saved = load_file(run / "model.safetensors")
    name = next(key for key in saved if key.startswith("stem") and saved[key].ndim == 4)
    of_run, of_none = (
        {key.replace("stem_", "stem."): value for key, value in one.backbone.state_dict().items()}
        for one in (model, plain)
    )
    assert torch.equal(of_run[name], saved[name])
    assert not torch.equal(of_none[name], saved[name])


def test_a_detector_is_a_start(tmp_path):
    """All weights are used for the same classes; for others the class scores are new."""
    start = tiny_detector()
    save_model(start, tmp_path)
    config = DetectionConfig(data="scenes", model=str(tmp_path), fpn_channels=64, seed=9)
    model, _ = build_model(config, scene_data())
    known, own = start.state_dict(), model.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in known.items())

    data = scene_data()
    data = type(data)(data.name, ("cat", "disc"), data.splits)
    own = build_model(config, data)[0].state_dict()
    differing = {key for key, value in known.items() if not torch.equal(value, own[key])}
    assert differing
    assert all("classification_head" in key for key in differing)


def test_a_network_of_one_size_is_rejected():
    config = DetectionConfig(data="scenes", model="swin_tiny_patch4_window7_224", input_size=224)
    with pytest.raises(UserError, match=r"does not take 96 x 64 pixels .*such as affnet_t"):
        build_model(config, scene_data())


def test_sizes_suit_the_images():
    data = scene_data()
    assert choose_size(DetectionConfig(data="x"), data) == (64, 107)
    assert choose_size(DetectionConfig(data="x", detector="ssdlite"), data) == (64, 64)
    config = DetectionConfig(data="x", input_size=800, max_size=1333)
    assert choose_size(config, data) == (800, 1333)
    assert choose_size(DetectionConfig(data="x", input_size=800), data) == (800, 1333)


def test_spectral_weights_have_no_weight_decay():
    names = tiny_detector("fcos").no_weight_decay()
    assert names
    assert names <= {name for name, _ in tiny_detector("fcos").named_parameters()}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_args": {"checkpoint_path": "/etc/passwd"}}, "sets checkpoint_path in its config"),
        ({"architecture": "hf-hub:me/other"}, "names no known model"),
    ],
)
def test_a_config_names_no_files_and_no_repositories(tmp_path, changes, reason):
    save_model(tiny_detector(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(UserError, match=reason):
        load_model(str(tmp_path))
