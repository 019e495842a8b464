"""The verb export, from the words to the deployment folder."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from spectralvision.cli import main
from spectralvision.engine.model_io import label_titles, save_model
from spectralvision.export import verify
from spectralvision.export.registry import TARGETS
from spectralvision.export.standalone.prepare_image import prepare
from spectralvision.tasks.classification import deploy
from spectralvision.tasks.prediction import Predictor, predict
from spectralvision.tasks.registry import find_task
from tests.helpers.detection import tiny_detector
from tests.helpers.export import write_images
from tests.helpers.run_folders import make_run

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHIP = Path(__file__).parents[2] / "docs/images/ship.png"
FILES = {"README.md", "labels.txt", "model.onnx", "preprocess.json", "run.py"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "colors", "affnet_et")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def ships(tmp_path_factory):
    """Crops of a picture of a ship, as a data set of the bundled model."""
    folder = tmp_path_factory.mktemp("ships")
    picture = Image.open(SHIP).convert("RGB").resize((48, 48))
    for split, number in (("train", 12), ("val", 24)):
        for name in CIFAR10:
            (folder / split / name).mkdir(parents=True)
        for index in range(number):
            left, top = index % 5 * 3, index // 5 * 3
            image = picture.crop((left, top, left + 34, top + 34))
            image.save(folder / split / "ship" / f"{index}.png")
        for name in CIFAR10:
            image.save(folder / split / name / "last.png")
    return folder


def export(*words, target="onnx"):
    return main(["export", "--target", target, *map(str, words)])


def run_script(folder, *words):
    done = subprocess.run(
        [sys.executable, folder / "run.py", *map(str, words)],
        capture_output=True, text=True, check=True, cwd=folder.parent,
    )  # fmt: skip
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_run_py_predicts_as_the_model(target, run, images, tmp_path, capsys) -> None:
    out = tmp_path / "deploy"
    assert export("--model", run, "--out", out, "--json", target=target) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["file"] == TARGETS[target].file
    assert result["bytes"] == sum(
        path.stat().st_size for path in out.iterdir() if path.name.startswith("model.")
    )
    assert 0 < result["differences"]["logits"]["largest"] <= TARGETS[target].tolerance
    assert result["latency_ms"] > 0
    assert sum(result["operators"].values()) > 100
    assert (out / "labels.txt").read_text() == "blue\ngreen\nred\n"

    found = run_script(out, *images, "--top-k", 3)
    assert len(found) == 3 * len(images)
    predictor = Predictor(str(run))
    predictor.options = type(predictor.options)(top_k=3)
    from spectralvision.data.image_paths import image_paths

    expected = predict(predictor, image_paths([str(path) for path in images]))["predictions"]
    rows = [one for prediction in expected for one in prediction["classes"]]
    assert [row[1] for row in found] == [one["class"] for one in rows]
    for row, one in zip(found, rows, strict=True):
        assert abs(float(row[2]) - one["probability"]) < 2e-3


def test_the_folder_and_its_text(run, tmp_path, capsys) -> None:
    out = tmp_path / "deploy"
    assert export("--model", run, "--out", out) == 0
    assert {path.name for path in out.iterdir()} == FILES
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines()] == [
        "written", "input", "ops", "compared", "latency", "next",
    ]  # fmt: skip
    card = (out / "README.md").read_text()
    for word in ("pip install numpy pillow onnxruntime", "1 x 3 x 32 x 32", "model.onnx"):
        assert word in card


@pytest.mark.parametrize("output", ["probabilities", "features"])
def test_other_outputs(output, run, images, tmp_path, capsys) -> None:
    out = tmp_path / "deploy"
    assert export("--model", run, "--out", out, "--output", output, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    if output == "features":
        assert list(result["outputs"]) == [f"features_{index}" for index in range(5)]
        assert result["outputs"]["features_4"][2:] == [1, 1]
        assert len(run_script(out, *images)) == 5 * len(images)
    else:
        found = run_script(out, images[0])
        assert sum(float(row[2]) for row in found) == pytest.approx(1, abs=1e-3)


def test_sizes_and_batches(run, images, tmp_path, capsys) -> None:
    words = ("--model", run, "--json", "--input-size", 48, 64)
    assert export(*words, "--out", tmp_path / "four", "--batch", 4) == 0
    four = json.loads(capsys.readouterr().out)
    assert (four["size"], four["outputs"]["logits"]) == ([48, 64], [4, 3])
    assert export(*words, "--out", tmp_path / "any", "--batch", "dynamic") == 0
    assert json.loads(capsys.readouterr().out)["outputs"]["logits"] == ["batch", 3]
    assert len(run_script(tmp_path / "any", images[0])) == 3


def test_int8(ships, images, tmp_path, capsys) -> None:
    import onnx

    words = ("--model", "affnet_et.cifar10", "--data", ships, "--json")
    assert export(*words, "--out", tmp_path / "float") == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["images"].startswith("16 images of ")
    assert export(*words, "--int8", "--out", tmp_path / "int8") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["int8"]
    assert result["bytes"] < 0.35 * plain["bytes"]
    assert result["differences"]["logits"]["agreement"] >= 0.95
    assert result["differences"]["logits"]["largest"] > 1e-3  # it is another computation
    assert abs(result["accuracy"] - result["accuracy_before"]) <= 0.05
    assert len(run_script(tmp_path / "int8", SHIP)) == 5

    model = onnx.load(tmp_path / "int8" / "model.onnx")
    spectral = [one for one in model.graph.initializer if ".filter." in one.name]
    assert len(spectral) > 20
    assert {one.data_type for one in spectral} == {onnx.TensorProto.FLOAT16}  # not quantized
    quantized = {one.name for one in model.graph.initializer if one.name.endswith("_quantized")}
    convolutions = sum(node.op_type == "Conv" for node in model.graph.node)
    masks = sum(one.name.endswith((".m1.half", ".m2.half")) for one in spectral)
    assert masks == 18
    assert len([one for one in quantized if "weight" in one]) == convolutions - masks + 1


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_int8_in_batches(target, ships, images, tmp_path, capsys) -> None:
    words = ("--model", "affnet_et.cifar10", "--data", ships, "--int8", "--batch", 5, "--json")
    assert export(*words, "--out", tmp_path / "int8", target=target) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["outputs"]["logits"] == [5, 10]
    assert result["differences"]["logits"]["agreement"] >= 0.95


def test_int8_that_disagrees_is_removed(run, ships, tmp_path, capsys) -> None:
    """The logits of an untrained model are so close to each other that INT8 changes the largest."""
    model = make_run(tmp_path / "untrained", "affnet_et", classes=CIFAR10)
    words = ("--model", model, "--data", ships, "--int8", "--out", tmp_path / "int8")
    assert export(*words) == 2
    assert "of the largest classes, but 95% are needed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["untrained"]


@pytest.mark.parametrize("kind", ["ssdlite", "fcos"])
def test_detectors(kind, tmp_path, capsys) -> None:
    """run.py finds the objects that predict finds, on images of the exported shape."""
    model = tiny_detector(kind).eval()
    with torch.no_grad():
        model.min_score.fill_(0.02)
    folder = tmp_path / "detector"
    folder.mkdir()
    find_task("detection").save(model, folder)
    out, image = tmp_path / "deploy", tmp_path / "0.png"
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC).save(image)
    words = () if kind == "ssdlite" else ("--input-size", 64, 96)
    assert export("--model", folder, "--out", out, "--json", *words) == 0
    assert set(json.loads(capsys.readouterr().out)["outputs"]) == {"boxes", "scores"}
    found = run_script(out, image, "--out", tmp_path / "pictures")
    assert (tmp_path / "pictures" / "0.png").is_file()
    from spectralvision.data.image_paths import image_paths

    predictions = predict(Predictor(str(folder)), image_paths([str(image)]))["predictions"]
    objects = predictions[0]["objects"]
    assert len(found) == len(objects) > 0
    assert [row[1] for row in found] == [one["class"] for one in objects]
    for row, one in zip(found, objects, strict=True):
        np.testing.assert_allclose([float(side) for side in row[3].split()], one["box"], atol=0.2)


def test_int8_is_not_for_detectors(tmp_path, capsys) -> None:
    folder = tmp_path / "detector"
    folder.mkdir()
    find_task("detection").save(tiny_detector("fcos").eval(), folder)
    words = ("--model", folder, "--out", tmp_path / "deploy", "--int8", "--data", tmp_path)
    assert export(*words) == 2
    assert "--int8 is for classification and segmentation" in capsys.readouterr().err


@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (300, 300)])
def test_default_inputs_keep_the_scale_of_predict(shape) -> None:
    height, width = shape
    image = Image.new("RGB", (width, height))
    model = tiny_detector("fcos", size=96).eval()
    deployable = find_task("detection").deployable(model, None, "auto")
    assert deployable.size == (128, 128)
    _, resized = prepare(image, deployable.config())
    assert resized == (round(height * 96 / min(shape)), round(width * 96 / min(shape)))


@pytest.mark.parametrize("kind", ["fcos", "retinanet"])
def test_dense_detectors_compute_what_torchvision_selects_from(kind) -> None:
    model = tiny_detector(kind).eval()
    deployable = find_task("detection").deployable(model, (64, 96), "auto")
    pixels = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        boxes, scores = deployable.module(pixels)
        model.lower_min_score(0.0)
        model.set_max_detections(1000)
        model.net.nms_thresh = 1.0  # keeps all
        (found,) = model.net([pixels[0]])
    best, labels = scores[0].max(dim=0)
    assert boxes.shape[1:] == (4, scores.shape[2])
    assert float(found["scores"].max()) == pytest.approx(float(best.max()), abs=1e-6)
    top = int(best.argmax())
    clipped = boxes[0, :, top].clamp(min=0).minimum(torch.tensor([96, 64, 96, 64]))
    first = int(found["scores"].argmax())
    torch.testing.assert_close(found["boxes"][first], clipped, atol=1e-3, rtol=0)
    assert int(found["labels"][first]) == int(labels[top])


@pytest.mark.parametrize("kind", ["faster_rcnn", "mask_rcnn"])
def test_detectors_with_regions_are_rejected(kind, tmp_path, capsys) -> None:
    folder = tmp_path / "detector"
    folder.mkdir()
    find_task("detection").save(tiny_detector(kind).eval(), folder)
    assert export("--model", folder, "--out", tmp_path / "deploy") == 2
    assert "fcos, retinanet or ssdlite" in capsys.readouterr().err
    assert not (tmp_path / "deploy").exists()


BAD = {
    "--input-size 64 64 64": "one side, or height and width",
    "--input-size 0": "should be between 1 and",
    "--batch 0": "should be between 1 and",
    "--batch many": "--batch",
    "--int8": "--int8 needs --data",
    "--split val": "--split needs --data",
    "--output features --int8 --data digits": "not for --output features",
    "--threads 0": "--threads 0 should be",
    "--data nowhere": "nowhere",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_words_are_one_sentence(words, run, tmp_path, capsys) -> None:
    out = tmp_path / "deploy"
    assert export("--model", run, "--out", out, *words.split()) == 2
    error = capsys.readouterr().err
    assert BAD[words] in error
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be_made(run, tmp_path, capsys) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("keep")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for out in (file, file / "a", file / "a" / "b", tmp_path / "link", tmp_path / ("n" * 300)):
        assert export("--model", run, "--out", out) == 2
        error = capsys.readouterr().err
        assert "choose another --out" in error
        assert len(error.strip().splitlines()) == 1
    assert file.read_text() == "keep"
    assert len(list(tmp_path.iterdir())) == 2


def test_random_weights_are_not_for_runs(run, tmp_path, capsys) -> None:
    assert export("--model", run, "--out", tmp_path / "a", "--random-weights") == 2
    assert "comes with weights" in capsys.readouterr().err


def test_a_model_of_other_channels_is_rejected(tmp_path, capsys) -> None:
    model = timm.create_model("affnet_et", in_chans=1, num_classes=3)
    model.pretrained_cfg |= {"input_size": (1, 32, 32), "mean": (0.5,), "std": (0.5,)}
    (tmp_path / "gray").mkdir()
    save_model(model, tmp_path / "gray")
    assert export("--model", tmp_path / "gray", "--out", tmp_path / "a") == 2
    error = capsys.readouterr().err
    assert "images of 1 channels" in error
    assert len(error.strip().splitlines()) == 1


def test_too_little_memory_names_the_batch(run, tmp_path, capsys, monkeypatch) -> None:
    def fail(self, images):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("spectralvision.export.base.Network.run", fail)
    assert export("--model", run, "--out", tmp_path / "a", "--batch", 7) == 2
    assert "a batch of 7 does not fit into memory" in capsys.readouterr().err


def test_class_names_that_are_not_utf8(tmp_path, capsys) -> None:
    run = make_run(tmp_path / "odd", "affnet_et", classes=("bl\udcfc", "two\nlines", "plain"))
    assert export("--model", run, "--out", tmp_path / "a") == 0
    assert (tmp_path / "a/labels.txt").read_text() == "bl\\xfc\ntwo lines\nplain\n"


def test_no_path_of_this_machine_is_published(run, ships, tmp_path, capsys) -> None:
    words = ("--model", "affnet_et.cifar10", "--data", ships)
    assert export(*words, "--out", tmp_path / "a") == 0
    assert export("--model", run, "--out", tmp_path / "b") == 0
    for folder in ("a", "b"):
        for name in ("README.md", "preprocess.json", "run.py"):
            assert str(tmp_path.parent) not in (tmp_path / folder / name).read_text()
    assert "# colors for onnxruntime" in (tmp_path / "b/README.md").read_text()


def test_bad_targets_and_folders(run, tmp_path, capsys) -> None:
    assert export("--model", run, "--out", tmp_path / "a", target="tensorrt") == 2
    assert "tensorrt" in capsys.readouterr().err
    assert export("--model", run, "--out", tmp_path) == 2
    assert "exists: choose another --out" in capsys.readouterr().err
    words = ("--model", run, "--out", tmp_path / "b", "--batch", "dynamic")
    assert export(*words, target="litert") == 2
    assert "no batches of varying size" in capsys.readouterr().err
    words = ("--model", run, "--out", tmp_path / "b", "--batch", 2)
    assert export(*words, target="ncnn") == 2
    assert "one image at a time" in capsys.readouterr().err
    assert export("--model", "affnet_t", "--out", tmp_path / "c") == 2
    assert "no ImageNet weights of affnet_t" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_the_network_does_not_take(tmp_path, capsys) -> None:
    words = ("--model", "mixer_s32_224", "--random-weights", "--input-size", 64, 32)
    assert export(*words, "--out", tmp_path / "deploy") == 2
    error = capsys.readouterr().err
    assert "does not take 64 x 32 pixels" in error
    assert len(error.strip().splitlines()) == 1


def test_a_missing_extra_names_the_command(run, tmp_path, capsys, monkeypatch) -> None:
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec",
        lambda name, *rest: None if name in ("ncnn", "nncf") else find_spec(name, *rest),
    )  # fmt: skip
    words = ("--model", run, "--out", tmp_path / "a")
    assert export(*words, target="ncnn") == 2
    assert 'pip install ".[mobile]"' in capsys.readouterr().err
    assert export(*words, "--int8", "--data", tmp_path, target="openvino") == 2
    assert 'this needs nncf: run `pip install ".[export]"`' in capsys.readouterr().err


def test_random_weights_for_speed(tmp_path, capsys) -> None:
    words = ("--model", "affnet_et", "--random-weights", "--input-size", 64, "--json")
    assert export(*words, "--out", tmp_path / "deploy") == 0
    assert json.loads(capsys.readouterr().out)["weights"] == "random, not trained"
    assert "random, not trained" in (tmp_path / "deploy" / "README.md").read_text()


def test_a_file_that_disagrees_is_removed(run, tmp_path, capsys, monkeypatch) -> None:
    compare = verify.compare

    def disagree(outputs, expected, found):
        return compare(outputs, expected, [1.01 * one for one in found])

    monkeypatch.setattr(verify, "compare", disagree)
    assert export("--model", run, "--out", tmp_path / "deploy") == 2
    assert "computes logits" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


class SingularValues(torch.nn.Module):
    """An operator that no runtime has."""

    def forward(self, x):
        return torch.linalg.svdvals(x.reshape(-1, 1, 3).expand(-1, 3, 3))


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_a_model_that_a_converter_rejects_is_one_sentence(target, run, tmp_path, capsys) -> None:
    built = deploy.build_deployable

    def with_strange_head(model, size, output):
        found = built(model, size, output)
        strange = torch.nn.Sequential()
        strange.add_module("network", found.module)
        strange.add_module("strange_head", SingularValues())
        return replace(found, module=strange)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy, "build_deployable", with_strange_head)
        assert export("--model", run, "--out", tmp_path / "deploy", target=target) == 2
    error = capsys.readouterr().err.strip()
    assert "its converter says" in error
    assert "linalg_svd.default in strange_head" in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_labels_of_a_model_without_names(tmp_path, capsys) -> None:
    from spectralvision.engine.model_io import load_model

    model = load_model("affnet_et", pretrained=False, num_classes=4)
    folder = tmp_path / "run"
    folder.mkdir()
    save_model(model, folder)
    assert export("--model", folder, "--out", tmp_path / "deploy", "--input-size", 64) == 0
    assert (tmp_path / "deploy" / "labels.txt").read_text().split() == label_titles(model)
