"""Exported files on onnxruntime and OpenVINO, against PyTorch."""

import pytest
import torch
from torch import nn

from spectralvision.data.open_masks import open_masks
from spectralvision.export.base import Network
from spectralvision.export.feature_maps import FeatureMaps
from spectralvision.export.fixed_transforms import AxisTransform
from spectralvision.export.prepare import prepare
from spectralvision.export.quantize import CONVOLUTIONS
from spectralvision.export.registry import TARGETS, find_target
from spectralvision.export.verify import smooth_images
from spectralvision.runs import UserError
from spectralvision.tasks.registry import find_task
from spectralvision.tasks.segmentation.config import SegmentationConfig
from spectralvision.tasks.segmentation.model import build_model
from tests.helpers.detection import tiny_detector
from tests.helpers.export import (
    FAMILIES,
    SIZE,
    TENSORRT,
    classifier,
    largest_difference,
    network,
)
from tests.helpers.scenes import mask_folder
from tests.helpers.twins import DISTINCT

ONNX, OPENVINO = TARGETS["onnx"], TARGETS["openvino"]
IMAGES = smooth_images(SIZE, 4)


def original(module: nn.Module, outputs: tuple[str, ...] = ("logits",)) -> Network:
    return Network(module=module, example=IMAGES[:1], outputs=outputs)


@pytest.mark.parametrize("name", DISTINCT)
def test_onnx(name: str, tmp_path) -> None:
    model = classifier(name)
    prepared = network(model)
    ONNX.write(prepared, tmp_path)
    assert largest_difference(ONNX, tmp_path, original(model), IMAGES) <= ONNX.tolerance
    operators = ONNX.operators(tmp_path, prepared)
    assert operators["Conv"]
    assert operators["MatMul"]
    assert set(operators) <= TENSORRT, set(operators) - TENSORRT  # no DFT, no other domain


@pytest.mark.parametrize("name", FAMILIES)
def test_openvino(name: str, tmp_path) -> None:
    model = classifier(name)
    prepared = network(model)
    OPENVINO.write(prepared, tmp_path)
    assert largest_difference(OPENVINO, tmp_path, original(model), IMAGES) <= OPENVINO.tolerance
    operators = OPENVINO.operators(tmp_path, prepared)
    assert operators["MatMul"]
    assert not any("DFT" in one for one in operators)


@pytest.mark.parametrize("target", [ONNX, OPENVINO])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_dynamic_batch_takes_any_number(name: str, target, tmp_path) -> None:
    model = classifier(name)
    target.write(network(model, is_dynamic=True), tmp_path)
    run = target.load(tmp_path, **target.verified_with)
    for number in (1, 3):
        images = IMAGES[:number]
        (found,) = run(images.numpy())
        with torch.no_grad():
            expected = model(images)
        assert found.shape == expected.shape
        scale = expected.abs().max()
        torch.testing.assert_close(
            torch.from_numpy(found) / scale, expected / scale, atol=target.tolerance, rtol=0
        )


@pytest.mark.parametrize("task", ["segmentation", "detection", "features"])
def test_operators_of_other_tasks(task: str, tmp_path) -> None:
    if task == "features":
        deployable = find_task("classification").deployable(classifier("svt_h_s"), SIZE, task)
    elif task == "detection":
        deployable = find_task(task).deployable(tiny_detector("fcos").eval(), SIZE, "auto")
    else:
        masks = open_masks(str(mask_folder(tmp_path / "scenes", 2, 2)))
        model, _ = build_model(SegmentationConfig(data="scenes", model="affnet_et"), masks)
        deployable = find_task(task).deployable(model.eval(), SIZE, "auto")
    prepared = network(deployable.module, deployable.outputs)
    ONNX.write(prepared, tmp_path)
    one = original(deployable.module, deployable.outputs)
    assert largest_difference(ONNX, tmp_path, one, IMAGES) <= ONNX.tolerance
    operators = set(ONNX.operators(tmp_path, prepared))
    assert operators <= TENSORRT, operators - TENSORRT


@pytest.mark.parametrize("target", [ONNX, OPENVINO])
def test_feature_maps_and_their_names(target, tmp_path) -> None:
    model = FeatureMaps(classifier("affnet_et"))
    names = tuple(f"features_{index}" for index in range(5))
    target.write(network(model, names), tmp_path)
    assert largest_difference(target, tmp_path, original(model, names), IMAGES) <= target.tolerance


def test_onnx_names_and_metadata(tmp_path) -> None:
    import onnx

    ONNX.write(network(classifier("affnet_et")), tmp_path)
    model = onnx.load(tmp_path / ONNX.file)
    onnx.checker.check_model(model, full_check=True)
    assert [one.name for one in model.graph.input] == ["image"]
    assert [one.name for one in model.graph.output] == ["logits"]
    assert [one.version for one in model.opset_import if one.domain == ""] == [20]
    assert not any(node.metadata_props for node in model.graph.node)


@pytest.mark.parametrize("target", [ONNX, OPENVINO])
def test_maps_with_a_transform_for_each_axis(target, tmp_path) -> None:
    size = (96, 160)
    model, images = classifier("affnet_et"), smooth_images(size, 2)
    prepared = network(model, size=size)
    assert any(isinstance(one, AxisTransform) for one in prepared.module.modules())
    target.write(prepared, tmp_path)
    one = Network(module=model, example=images[:1], outputs=("logits",))
    assert largest_difference(target, tmp_path, one, images) <= target.tolerance


def test_openvino_int8_leaves_spectra_in_float(tmp_path) -> None:
    import openvino

    size = (96, 160)
    model = classifier("affnet_et")
    OPENVINO.write_int8(network(model, size=size), tmp_path, smooth_images(size, 4).numpy())
    nodes = openvino.Core().read_model(tmp_path / OPENVINO.file).get_ops()
    quantized = {
        node.get_friendly_name()
        for node in nodes
        if node.get_type_name() in CONVOLUTIONS
        and node.input_value(0).get_node().get_type_name() == "FakeQuantize"
    }
    convolutions = sum(isinstance(one, nn.Conv2d) for one in prepare(model, IMAGES).modules())
    assert 0.8 * convolutions < len(quantized) <= convolutions


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("is_dynamic", [True, False])
def test_group_norm_is_one_node_and_its_affine_map_another(
    groups: int, affine: bool, is_dynamic: bool, tmp_path
) -> None:
    norm = nn.GroupNorm(groups, 8, eps=0.01, affine=affine)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    module = nn.Sequential(nn.Conv2d(3, 8, 1), norm).eval()
    one = network(module, is_dynamic=is_dynamic)
    ONNX.write(one, tmp_path)
    assert largest_difference(ONNX, tmp_path, original(module), IMAGES) <= ONNX.tolerance
    operators = ONNX.operators(tmp_path, one)
    assert operators["InstanceNormalization"] == 1
    assert operators["BatchNormalization"] == affine
    assert not operators["Mul"]


def test_an_unknown_target_is_one_sentence() -> None:
    with pytest.raises(UserError, match="--target onx is not known: did you mean onnx"):
        find_target("onx")


def test_every_target_has_a_loader_of_its_own() -> None:
    from spectralvision.export.assemble import STANDALONE

    loaders = {path.stem.removeprefix("run_") for path in STANDALONE.glob("run_*.py")}
    assert loaders <= set(TARGETS)
    assert {"onnx", "openvino", "pt2", "executorch", "litert", "coreml", "ncnn"} <= loaders
