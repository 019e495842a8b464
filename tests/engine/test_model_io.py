"""Models by name and from run folders; files that do not fit or mean harm."""

import json
import os
import pickle

import pytest
import timm
import torch

from spectralvision.engine.model_io import (
    check_forward,
    data_config,
    default_size,
    describe,
    find_model,
    label_names,
    label_titles,
    load_model,
    save_model,
)
from spectralvision.runs import UserError


@pytest.fixture
def run(tmp_path):
    torch.manual_seed(3)
    model = timm.create_model("test_resnet", num_classes=3)
    describe(model, ["a", "b", "c"], 64)
    save_model(model, tmp_path)
    return tmp_path


def test_timm_reads_a_run_folder_back(run):
    ours, theirs = (
        load_model(str(run)).eval(),
        timm.create_model(f"local-dir:{run}", pretrained=True).eval(),
    )
    torch.manual_seed(3)
    original = timm.create_model("test_resnet", num_classes=3).eval()
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(ours(x), original(x))
    assert torch.equal(theirs(x), original(x))
    config = json.loads((run / "config.json").read_text())
    assert config["label_names"] == ["a", "b", "c"]
    assert "num_classes" not in config.get("model_args", {})
    assert sorted(os.listdir(run)) == ["config.json", "model.safetensors"]
    assert label_names(ours) == label_titles(ours) == ["a", "b", "c"]
    assert data_config(ours)["input_size"] == (3, 64, 64) or data_config(ours)["input_size"] == [
        3,
        64,
        64,
    ]
    assert default_size(str(run)) == 64


def test_preprocessing_is_the_models_own():
    config = data_config(timm.create_model("mobilevit_xxs"))
    assert (config["mean"], config["std"], config["crop_pct"]) == ((0.0,) * 3, (1.0,) * 3, 0.9)
    assert data_config(timm.create_model("test_vit"))["mean"] == (0.5, 0.5, 0.5)


def test_another_number_of_classes_gives_a_fresh_head(run):
    model = load_model(str(run), num_classes=5)
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 5)
    first = next(load_model(str(run)).parameters())
    assert torch.equal(next(model.parameters()), first)
    assert label_names(model) is None


def test_fixed_sizes_are_built_and_others_refused():
    model = load_model("deit_tiny_patch16_224", pretrained=False, img_size=64)
    assert check_forward(model, 64) is None
    assert check_forward(model, 80) is not None
    assert (
        check_forward(load_model("test_resnet", pretrained=False, img_size=64), 80) is None
    )  # takes no img_size


def test_imagenet_names_are_known():
    model = timm.create_model("test_resnet")
    assert label_names(model)[0] == "n01440764"
    assert label_titles(model)[0].startswith("tench")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("test_resnett", "did you mean test_resnet"),
        ("/no/such/run", "neither a run folder nor the name of a model"),
        ("qqqqqqqq", "spectralvision models --all"),
    ],
)
def test_unknown_names(name, sentence):
    with pytest.raises(UserError, match=sentence):
        find_model(name)


def test_folders_that_are_no_runs(tmp_path):
    with pytest.raises(UserError, match=r"is not a run folder: it has no config\.json"):
        find_model(str(tmp_path))
    for content in ("{", '{"architecture": "nothing"}', '{"architecture": 7}'):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(UserError, match=r"config\.json"):
            load_model(str(tmp_path))
    with pytest.raises(UserError, match="is a file"):
        find_model(str(tmp_path / "config.json"))


def test_weights_that_are_truncated_or_of_another_model(run):
    weights = run / "model.safetensors"
    whole = weights.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"\xff" * 100):
        weights.write_bytes(broken)
        with pytest.raises(UserError, match=r"the weights in .* cannot be used"):
            load_model(str(run))
    other = timm.create_model("test_vit", num_classes=3)
    from safetensors.torch import save_file

    save_file(other.state_dict(), weights)
    with pytest.raises(UserError, match=r"the weights in .* cannot be used"):
        load_model(str(run))
    weights.unlink()
    with pytest.raises(UserError, match=r"the weights in .* cannot be used"):
        load_model(str(run))


def test_a_hostile_pickle_is_never_run(run):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(run / "owned"),)

    (run / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "model.pth"):
        torch.save({"state_dict": Hostile()}, run / name)
        with pytest.raises(UserError, match=r"the weights in .* cannot be used"):
            load_model(str(run))
        (run / name).write_bytes(pickle.dumps(Hostile()))
        with pytest.raises(UserError, match=r"the weights in .* cannot be used"):
            load_model(str(run))
        (run / name).unlink()
    assert not (run / "owned").exists()


def test_a_model_without_weights_says_so():
    without = next(
        name for name in timm.list_models("resnet*") if not timm.list_pretrained(f"{name}.*")
    )
    with pytest.raises(UserError, match=f"no weights for {without}"):
        load_model(without)


def test_a_failed_save_keeps_the_previous_weights(run, monkeypatch):
    import spectralvision.engine.model_io as loading

    before = (run / "model.safetensors").read_bytes()

    def full_disk(model, folder, **options):
        with open(os.path.join(folder, "model.safetensors"), "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loading, "save_for_hf", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_model(load_model(str(run)), run)
    assert (run / "model.safetensors").read_bytes() == before
    assert sorted(os.listdir(run)) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_rejected(run, value):
    model = load_model(str(run))
    with torch.no_grad():
        model.get_classifier().bias[1] = value
    save_model(model, run)
    with pytest.raises(UserError, match=r"damaged: fc\.bias has values that are not finite"):
        load_model(str(run))


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["a", "b"], "names 2 classes in its config.json, but its weights have 3"),
        (["a", "b", "c", "d"], "names 4 classes in its config.json, but its weights have 3"),
        (["a", "b", "a"], "names the class 'a' twice"),
    ],
)
def test_class_names_must_fit_the_weights(run, names, fault):
    config = json.loads((run / "config.json").read_text())
    config["label_names"] = names
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=fault):
        load_model(str(run))
    assert load_model(str(run), num_classes=5).num_classes == 5  # a new head has new classes
