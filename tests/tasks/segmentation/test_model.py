"""Decoders, output strides and run folders of segmentation models."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import spectralvision as sv
from spectralvision.data.open_masks import open_masks
from spectralvision.engine.model_io import describe, label_titles, save_model
from spectralvision.engine.optimizer import build_optimizer
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.runs import UserError
from spectralvision.tasks.segmentation import model as segmentation
from spectralvision.tasks.segmentation.config import Decoder, SegmentationConfig
from tests.helpers.scenes import mask_folder

DECODERS = Decoder.__args__


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_masks(str(mask_folder(tmp_path_factory.mktemp("data") / "scenes", 2, 2)))


def build(data, model="affnet_et", **settings):
    config = SegmentationConfig(data="scenes", model=model, **settings)
    return segmentation.build_model(config, data)


def count(model: nn.Module) -> float:
    return round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2)


@pytest.mark.parametrize(
    ("name", "millions", "published"),
    [("affnet_et", 2.18, 2.2), ("affnet_t", 3.50, 3.5), ("affnet", 7.01, 6.9)],
)
def test_deeplabv3_has_the_parameters_of_the_paper(name, millions, published):
    """With 21 classes and without the auxiliary head; the paper rounds to one digit."""
    model = segmentation.assemble(name, "deeplabv3", 21, 8, pretrained=False, auxiliary=False)
    assert count(model) == millions
    assert millions == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_on_an_odd_size(decoder, data):
    """Each takes a step, and its logits have the size of the image."""
    model, config = build(data, decoder=decoder, input_size=64)
    assert config.output_stride == segmentation.AUTO_STRIDES.get(decoder, 32)
    x = torch.randn(2, 3, 75, 101)
    logits, auxiliary = model.train().forward_auxiliary(x)
    assert logits.shape == (2, 3, 75, 101)
    assert (auxiliary is not None) == (decoder in segmentation.OWN_DECODERS)
    (logits.square().mean() + (0 if auxiliary is None else auxiliary.mean())).backward()
    first = next(model.backbone.parameters())
    assert first.grad.abs().max() > 0
    with torch.no_grad():
        assert model.eval()(x[:1]).shape == (1, 3, 75, 101)


@pytest.mark.parametrize(
    ("decoder", "stride"),
    [("deeplabv3", 16), ("pspnet", 16), ("deeplabv3plus", 16), ("unet", 32), ("segformer", 32)],
)
def test_svt(decoder, stride, data):
    model, config = build(data, "svt_h_s", decoder=decoder, input_size=64)
    assert config.output_stride == stride
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 50, 71)).shape == (1, 3, 50, 71)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_affnet_at_every_output_stride(stride, data):
    model, config = build(data, output_stride=stride, input_size=64)
    assert config.output_stride == stride
    assert model.backbone(torch.randn(1, 3, 64, 64))[-1].shape[-1] == 64 // stride


def test_a_stride_that_the_backbone_does_not_have_is_rejected(data):
    sentence = r"svt_h_s has no feature maps of output stride 8 .*choose another --model"
    with pytest.raises(UserError, match=sentence) as error:
        build(data, "svt_h_s", output_stride=8)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="--output-stride 4 should be 8, 16 or 32"):
        SegmentationConfig(data="scenes", output_stride=4).check()


def test_automatic_sizes(data):
    model, config = build(data)
    assert config.input_size == config.short_side == 64  # images of 48 x 64 pixels
    assert model.settings["short_side"] == 64
    assert build(data, short_side=None)[1].short_side is None
    assert label_titles(model) == ["background", "square", "disc"]


@pytest.mark.parametrize("decoder", ["deeplabv3", "unet"])
def test_a_run_folder_gives_the_same_model(decoder, data, tmp_path):
    model, _ = build(data, decoder=decoder, input_size=64)
    run = tmp_path / "run"
    run.mkdir()
    segmentation.save_model(model, run)
    again = segmentation.load_model(str(run)).eval()
    x = torch.randn(1, 3, 40, 56)
    with torch.no_grad():
        assert torch.equal(again(x), model.eval()(x))
    assert label_titles(again) == label_titles(model)
    assert again.settings == json.loads(json.dumps(model.settings))
    config = json.loads((run / "config.json").read_text())
    assert (config["task"], config["architecture"]) == ("segmentation", "affnet_et")
    assert not [name for name in again.state_dict() if name.startswith("auxiliary")]


def damage(run, **changes):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"task": "detection"}, "is for detection, not for segmentation"),
        ({"decoder": "other"}, "other"),
        ({"label_names": ["a", "b"], "values": [0, 1]}, "the weights in .* cannot be used"),
        ({"label_names": 3}, "has no settings of this version"),
        ({"output_stride": "x"}, "has no settings of this version"),
        ({"pretrained_cfg": {}}, "has no settings of this version"),
        ({"architecture": "os.system"}, "names no known model .architecture 'os.system'"),
        ({"architecture": "hf-hub:me/other"}, "names no known model"),
        ({"short_side": "x"}, "has no settings of this version"),
        ({"model_args": {"checkpoint_path": "/etc/passwd"}}, "sets checkpoint_path in its config"),
        ({"model_args": [1]}, "has arguments of its model that are no object"),
    ],
)
def test_a_config_that_does_not_fit_is_one_sentence(data, tmp_path, changes, reason):
    segmentation.save_model(build(data, input_size=64)[0], tmp_path)
    damage(tmp_path, **changes)
    with pytest.raises(UserError, match=reason) as error:
        segmentation.load_model(str(tmp_path))
    assert "\n" not in str(error.value)


def test_weights_that_are_cut_off_or_not_finite_are_one_sentence(data, tmp_path):
    model, _ = build(data, input_size=64)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    segmentation.save_model(model, tmp_path)
    with pytest.raises(UserError, match=r"are damaged: .* has values that are not finite"):
        segmentation.load_model(str(tmp_path))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be used"):
        segmentation.load_model(str(tmp_path))
    with pytest.raises(UserError, match="is not a run of segmentation"):
        segmentation.load_model(str(tmp_path / "missing"))


def test_it_starts_from_a_classifier_and_from_a_segmentation_run(data, tmp_path):
    classifier = sv.create_model("affnet_et", num_classes=5)
    describe(classifier, list("abcde"), 64)
    (tmp_path / "classifier").mkdir()
    save_model(classifier, tmp_path / "classifier")
    model, _ = build(data, str(tmp_path / "classifier"), input_size=64)
    stem = classifier.state_dict()["stem.conv.weight"]
    assert torch.equal(model.backbone.state_dict()["stem.conv.weight"], stem)

    (tmp_path / "run").mkdir()
    segmentation.save_model(model, tmp_path / "run")
    again, _ = build(data, str(tmp_path / "run"), input_size=64, seed=1)
    for name, value in model.state_dict().items():
        if not name.startswith("auxiliary"):
            assert torch.equal(again.state_dict()[name], value), name
    with pytest.raises(UserError, match="use the decoder of that run"):
        build(data, str(tmp_path / "run"), decoder="unet", input_size=64)


@pytest.mark.parametrize("decoder", ["deeplabv3", "fpn"])
def test_other_classes_have_new_weights(decoder, data, tmp_path):
    model, _ = build(data, decoder=decoder, input_size=64)
    segmentation.save_model(model, tmp_path)
    others = replace(data, classes=("background", "triangle", "disc"))
    again, _ = build(others, str(tmp_path), decoder=decoder, input_size=64, seed=1)
    known, own = model.state_dict(), again.state_dict()
    differing = {
        name
        for name, value in known.items()
        if not torch.equal(own[name], value) and not name.startswith("auxiliary")
    }
    head = "decoder.classifier." if decoder == "deeplabv3" else "body.segmentation_head."
    assert f"{head}{'weight' if decoder == 'deeplabv3' else '0.weight'}" in differing
    assert all(name.startswith(head) for name in differing)


def test_a_network_of_one_size_is_rejected(data):
    with pytest.raises(UserError, match=r"does not take 256 x 224 pixels .*such as affnet_t"):
        build(data, "swin_tiny_patch4_window7_224", decoder="fpn", input_size=224)


def test_a_classifier_with_arguments_is_a_start(data, tmp_path):
    """Those of the network are kept; its input size is that of the segmentation."""
    classifier = sv.create_model("svt_h_s", num_classes=5, img_size=96, scattering_stages=1)
    describe(classifier, list("abcde"), 96)
    (tmp_path / "classifier").mkdir()
    save_model(classifier, tmp_path / "classifier")
    model, _ = build(data, str(tmp_path / "classifier"), input_size=64)
    (tmp_path / "run").mkdir()
    segmentation.save_model(model, tmp_path / "run")
    again = segmentation.load_model(str(tmp_path / "run"))
    kept = again.settings["model_args"]
    assert kept["scattering_stages"] == 1
    assert not kept.keys() & {"img_size", "num_classes"}
    assert again.state_dict().keys() <= model.state_dict().keys()


def test_bundled_weights_are_a_start(data):
    model, _ = build(data, "affnet_et.cifar10", pretrained="published", input_size=64)
    bundled = sv.create_model("affnet_et.cifar10", pretrained=True).state_dict()
    assert torch.equal(model.backbone.state_dict()["stem.conv.weight"], bundled["stem.conv.weight"])


@pytest.mark.parametrize(("sched", "key"), [("cosine", "lr_scale"), ("none", "lr")])
def test_the_backbone_has_its_own_learning_rate(data, sched, key):
    model, _ = build(data, "affnet_et", input_size=64)
    settings = OptimizerConfig(lr=1e-3, backbone_lr=0.1, sched=sched, weight_decay=0.05)
    optimizer = build_optimizer(model, settings)
    backbone = {id(one) for one in model.backbone.parameters()}
    spectral = model.no_weight_decay()
    assert spectral
    names = {id(one): name for name, one in model.named_parameters()}
    seen = set()
    for group in optimizer.param_groups:
        for one in group["params"]:
            seen.add(id(one))
            factor = group.get("lr_scale", 1.0) * group["lr"] / 1e-3
            assert factor == pytest.approx(0.1 if id(one) in backbone else 1.0)
            if names[id(one)] in spectral or one.ndim == 1:
                assert group["weight_decay"] == 0.0
            else:
                assert group["weight_decay"] == 0.05
    assert seen == set(names)
    assert any(key in group for group in optimizer.param_groups)


def test_a_learning_rate_of_the_backbone_needs_one():
    settings = OptimizerConfig(lr=1e-3, backbone_lr=0.1)
    with pytest.raises(UserError, match="--backbone-lr needs a model with a decoder"):
        build_optimizer(sv.create_model("affnet_et"), settings)
    with pytest.raises(UserError, match="--backbone-lr and --layer-decay exclude each other"):
        OptimizerConfig(backbone_lr=0.1, layer_decay=0.9).check()


@pytest.mark.parametrize(
    ("stride", "sentence"),
    [
        ("auto", "feature maps of one stride only, 16, which --decoder unet cannot use: use a ne"),
        (16, r"of output stride 16 \(its output stride cannot be chosen\): choose another --model"),
    ],
)
def test_a_network_with_maps_of_one_stride_is_rejected(data, stride, sentence):
    with pytest.raises(UserError, match=sentence):
        build(data, "vit_tiny_patch16_224", decoder="unet", output_stride=stride)


def test_a_detector_is_no_start(data, tmp_path):
    config = {"task": "detection", "architecture": "affnet_et"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="is for detection: start from a classifier or from a segm"):
        build(data, str(tmp_path))
