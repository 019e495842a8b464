"""run.py and what it is made of, against the package's own pipeline."""

import ast
import io
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from spectralvision.data.images import open_image
from spectralvision.data.transforms import build_eval_transform
from spectralvision.engine.model_io import data_config
from spectralvision.export.assemble import STANDALONE, assemble
from spectralvision.export.registry import TARGETS
from spectralvision.export.standalone import prepare_image
from spectralvision.export.standalone.detect import suppress_overlaps
from spectralvision.export.standalone.segment import segment
from spectralvision.tasks.classification.deploy import build_deployable
from tests.helpers.export import classifier, write_images

TASKS = ("classify", "segment", "detect", "describe_maps")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"), 4)


@pytest.mark.parametrize("crop_pct", [0.875, 0.9, 1.0])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_pixels_equal_those_of_timm(crop_pct, interpolation, images) -> None:
    model = classifier("affnet_et")
    model.pretrained_cfg = model.pretrained_cfg | {  # type: ignore[operator]
        "crop_pct": crop_pct, "interpolation": interpolation, "input_size": (3, 64, 64),
        "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25),
    }  # fmt: skip
    deployable = build_deployable(model, None, "auto")
    transform = build_eval_transform(data_config(model))
    for path in images:
        found = deployable.prepare([prepare_image.open_image(path)])[0]
        torch.testing.assert_close(found, transform(open_image(path)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (50, 70)])
def test_sizes_that_are_not_square(size, images) -> None:
    deployable = build_deployable(classifier("affnet_et"), size, "auto")
    for path in images:
        pixels = deployable.prepare([prepare_image.open_image(path)])
        assert pixels.shape == (1, 3, *size)
        assert pixels.isfinite().all()


def test_squashed_images() -> None:
    model = classifier("affnet_et")
    model.pretrained_cfg = model.pretrained_cfg | {"crop_mode": "squash", "crop_pct": 1.0}  # type: ignore[operator]
    deployable = build_deployable(model, (64, 64), "auto")
    image = Image.new("RGB", (200, 40), "red")
    transform = build_eval_transform(data_config(model) | {"input_size": (3, 64, 64)})
    torch.testing.assert_close(deployable.prepare([image])[0], transform(image), atol=1e-6, rtol=0)


def test_images_are_opened_as_elsewhere(tmp_path, images) -> None:
    pixels = np.asarray(Image.open(images[0]))
    turned = Image.fromarray(pixels)
    exif = turned.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(pixels).convert("P").save(tmp_path / "palette.png")
    gray = Image.fromarray(pixels).convert("L")
    gray.save(tmp_path / "gray.png")
    values = np.asarray(gray, np.float32) / 255
    Image.fromarray((values * 65535).astype(np.uint16)).save(tmp_path / "16 bits.png")
    Image.fromarray((values * 60000).astype(np.int32)).save(tmp_path / "32 bits.tiff")
    Image.fromarray(values).save(tmp_path / "floats.tiff")
    Image.fromarray(values * 255).save(tmp_path / "large floats.tiff")
    broken = Image.Exif()
    broken[0x0112] = 3
    broken[0x010E] = "a description"
    content = io.BytesIO()
    turned.save(content, "jpeg", exif=broken.tobytes()[:-8] + b"\xff" * 8)
    (tmp_path / "broken.jpg").write_bytes(content.getvalue())
    paths = [*images, *sorted(tmp_path.iterdir())]
    assert len(paths) == 12
    for path in paths:
        expected, found = np.asarray(open_image(path)), np.asarray(prepare_image.open_image(path))
        assert expected.shape == found.shape
        assert np.abs(expected.astype(int) - found).max() <= 1


def test_outputs_have_names_of_their_own(tmp_path) -> None:
    out = tmp_path / "new" / "folder"
    assert prepare_image.name_outputs(["a/1.jpg", "2.jpg"], out, ".png") == [
        out / "1.png", out / "2.png",
    ]  # fmt: skip
    assert out.is_dir()
    with pytest.raises(ValueError, match=r"two images would be written to .*1\.png"):
        prepare_image.name_outputs(["a/1.jpg", "b/1.jpg"], out, ".png")
    with pytest.raises(ValueError, match="is one of the images: choose another --out"):
        prepare_image.name_outputs([str(tmp_path / "1.png")], tmp_path, ".png")


def test_classes_of_pixels() -> None:
    """The class with the largest of the resized scores."""
    scores = np.random.default_rng(0).normal(size=(4, 10, 16)).astype(np.float32)
    image = Image.new("RGB", (33, 21))
    config = {
        "mode": "fit", "size": [10, 16], "mean": [0] * 3, "std": [1] * 3,
        "interpolation": "bilinear",
    }  # fmt: skip
    found = segment(lambda pixels: [scores[None]], config, image)
    resized = [
        np.asarray(Image.fromarray(one).resize(image.size, Image.Resampling.BILINEAR))
        for one in scores[:, :10, :16]
    ]
    np.testing.assert_array_equal(found, np.argmax(resized, axis=0))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("target", [name for name in TARGETS if name != "web"])
def test_a_script_needs_its_runtime_only(task, target) -> None:
    source = assemble(("prepare_image", f"run_{target}", task), "Title.")
    tree = ast.parse(source)
    modules = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    runtime = {
        "onnx": {"onnxruntime"}, "openvino": {"openvino"}, "pt2": {"torch"},
        "executorch": {"torch", "executorch"}, "litert": {"ai_edge_litert"},
        "coreml": {"coremltools"}, "ncnn": {"ncnn"},
    }[target]  # fmt: skip
    others = {one.partition(".")[0] for one in modules} - set(sys.stdlib_module_names)
    assert others == runtime | {"numpy", "PIL"}
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {"load", "main", "prepare"} <= names


def test_scripts_are_documented_and_run_help(tmp_path) -> None:
    script = tmp_path / "run.py"
    script.write_text(assemble(("prepare_image", "run_onnx", "classify"), "Title."))
    done = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, check=True
    )
    assert "--top-k" in done.stdout


def test_overlapping_boxes_equal_those_of_torchvision() -> None:
    from torchvision.ops import batched_nms

    generator = np.random.default_rng(0)
    corner = generator.uniform(0, 60, (200, 2))
    boxes = np.concatenate([corner, corner + generator.uniform(5, 40, (200, 2))], axis=1)
    boxes = boxes.astype(np.float32)
    labels = generator.integers(0, 3, 200)
    scores = np.sort(generator.random(200).astype(np.float32))[::-1].copy()
    expected = batched_nms(*map(torch.from_numpy, (boxes, scores, labels)), 0.5)
    found = suppress_overlaps(boxes, labels, 0.5)
    assert found == expected.tolist()
    assert 3 < len(found) < 200


def test_the_folder_of_scripts_is_complete() -> None:
    names = {path.stem for path in STANDALONE.glob("*.py")}
    assert set(TASKS) | {"prepare_image"} <= names


def test_models_with_another_crop_are_rejected() -> None:
    model = timm.create_model("mobilenetv3_small_050", num_classes=2).eval()
    model.pretrained_cfg = dict(model.pretrained_cfg) | {"crop_mode": "border"}
    with pytest.raises(ValueError, match="crop mode 'border'"):
        build_deployable(model, None, "auto")
