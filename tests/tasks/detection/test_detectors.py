"""Torchvision's detectors over our networks: losses, detections, sizes."""

import pytest
import timm
import torch

from spectralvision.engine.model_io import load_model
from spectralvision.engine.train_module import Step
from spectralvision.runs import UserError
from spectralvision.tasks.detection.data import ObjectScale
from spectralvision.tasks.detection.detector import Detector, DetectorSettings, SizedImage
from spectralvision.tasks.detection.detectors import result_owner
from spectralvision.tasks.detection.module import DetectionModule
from spectralvision.tasks.detection.pyramids import TimmMaps
from tests.helpers.detection import KINDS, tiny_detector

STEP = Step(0, 0, 0, 0, 2)
LOSSES = {
    "ssdlite": {"bbox_regression", "classification"},
    "retinanet": {"bbox_regression", "classification"},
    "fcos": {"bbox_regression", "classification", "bbox_ctrness"},
    "faster_rcnn": {"classifier", "box_reg", "objectness", "rpn_box_reg"},
    "mask_rcnn": {"classifier", "box_reg", "mask", "objectness", "rpn_box_reg"},
}


def without_objects(targets):
    return [{name: value[:0] for name, value in one.items()} for one in targets]


@pytest.mark.parametrize("kind", KINDS)
def test_training_steps_with_and_without_objects(kind):
    module = DetectionModule(tiny_detector(kind)).train()
    images, targets = module.example_batch(2)
    values = module.training_step((images, targets), STEP)
    assert values.keys() == LOSSES[kind] | {"loss"}
    assert all(value.isfinite() for value in values.values())
    parts = sum(value.detach() for name, value in values.items() if name != "loss")
    assert float(values["loss"].detach()) == pytest.approx(float(parts), rel=1e-5)
    values["loss"].backward()
    gradients = [one.grad for one in module.model.backbone.parameters()]
    assert sum(float(one.abs().sum()) for one in gradients) > 0

    for some in (without_objects(targets), [targets[0], *without_objects(targets[1:])]):
        module.zero_grad()
        loss = module.training_step((images, some), STEP)["loss"]
        loss.backward()
        assert loss.isfinite()
        assert all(one.grad is None or one.grad.isfinite().all() for one in module.parameters())


def test_example_objects_are_like_those_of_the_data():
    module = DetectionModule(tiny_detector("mask_rcnn"), scale=ObjectScale(7, 0.1))
    images, targets = module.example_batch(2)
    height, width = images[0].size
    for target in targets:
        left, top, right, bottom = target["boxes"].unbind(1)
        assert len(target["boxes"]) == len(target["labels"]) == len(target["masks"]) == 7
        assert ((right - left) / width - 0.1).abs().max() < 0.051
        assert ((bottom - top) / height - 0.1).abs().max() < 0.051
        assert (left >= 0).all()
        assert (bottom <= height).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_random_draws_depend_on_the_step_alone(kind):
    module = DetectionModule(tiny_detector(kind), seed=3).train()
    batch = module.example_batch(2)
    state = module.model.state_dict()
    copies = [{name: value.clone() for name, value in state.items()} for _ in range(2)]
    losses = []
    for number, copy in enumerate(copies):
        module.model.load_state_dict(copy)
        torch.manual_seed(number)
        losses.append(float(module.training_step(batch, STEP)["loss"].detach()))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("kind", KINDS)
def test_detections_are_in_pixels_of_the_original(kind):
    model = tiny_detector(kind).eval()
    model.net.score_thresh = 0.0
    size = (64, 64) if kind == "ssdlite" else (64, 90)
    with torch.no_grad():
        (found,) = model([SizedImage(torch.randn(3, *size), (480, 675))])
    assert found.boxes.dtype == torch.float32
    if len(found.boxes):  # an untrained RetinaNet finds nothing
        assert float(found.boxes.max()) > 100
    assert (found.boxes >= 0).all()
    assert (found.boxes <= torch.tensor([675, 480, 675, 480]) + 1e-3).all()
    assert set(found.labels.tolist()) <= {0, 1}
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert (found.masks is None) == (kind != "mask_rcnn")
    assert all(mask["size"] == [480, 675] for mask in found.masks or [])
    assert len(found.masks or found.boxes) == len(found.boxes)


def test_other_images_of_a_batch_do_not_change_a_result():
    model = tiny_detector("fcos").eval()
    images = [
        SizedImage(torch.randn(3, *size), size) for size in ((64, 90), (50, 64), (64, 96), (33, 47))
    ]
    with torch.no_grad():
        together = model(images)
        alone = [model([image])[0] for image in images]
    assert sum(len(found.boxes) for found in alone) > 20
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes, atol=1e-3, rtol=1e-3)
        assert one.labels.tolist() == other.labels.tolist()


def test_boxes_are_exact_in_bfloat16():
    """Coordinates of 8 significant bits would be off by whole pixels."""
    model = tiny_detector("fcos").eval()
    image = SizedImage(torch.randn(3, 64, 96), (64, 96))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        (found,) = model([image])
    assert len(found.boxes) > 10
    fractions = found.boxes - found.boxes.bfloat16().float()
    assert float(fractions.abs().max()) > 0.01


def test_the_number_of_detections_can_be_chosen():
    for kind in ("fcos", "faster_rcnn"):
        model = tiny_detector(kind).eval()
        model.set_max_detections(7)
        with torch.no_grad():
            (found,) = model([SizedImage(torch.randn(3, 64, 64), (64, 64))])
        assert len(found.boxes) == 7


@pytest.mark.parametrize("size", [(97, 131), (33, 250)])
def test_svt_takes_odd_sizes(size):
    module = DetectionModule(tiny_detector("fcos", 96, "svt_h_s")).train()
    images = [SizedImage(torch.randn(3, *size), size)]
    target = {"boxes": torch.tensor([[3.0, 4, 30, 31]]), "labels": torch.tensor([1])}
    loss = module.training_step((images, [target]), STEP)["loss"]
    loss.backward()
    assert loss.isfinite()
    with torch.no_grad():
        (found,) = module.eval()(images)
    assert found.size == size


def test_networks_without_the_maps_are_rejected():
    network = load_model("test_vit", pretrained=False, features_only=True, num_classes=0)
    settings = DetectorSettings(
        detector="fcos", num_classes=2, fpn_channels=64, input_size=64, max_size=64
    )
    with pytest.raises(UserError, match=r"test_vit has no feature maps at 1/8 of the image"):
        Detector(network, settings)


@pytest.mark.parametrize(
    ("network", "kind"), [("swin_s3_tiny_224", "fcos"), ("resnet10t", "ssdlite")]
)
def test_networks_of_timm(network, kind):
    backbone = load_model(network, pretrained=False, features_only=True, num_classes=0, img_size=64)
    settings = DetectorSettings(
        detector=kind, num_classes=2, fpn_channels=64, input_size=64, max_size=64
    )
    module = DetectionModule(Detector(backbone, settings)).train()
    assert module.training_step(module.example_batch(2), STEP)["loss"].isfinite()


def test_affnet_with_ssdlite_is_about_as_large_as_published():
    """5.6 M are published: 4 % more. The published layers are CVNets', these torchvision's."""
    backbone = load_model("affnet", pretrained=False, features_only=True, num_classes=0)
    settings = DetectorSettings(
        detector="ssdlite", num_classes=80, fpn_channels=256, input_size=320, max_size=320
    )
    model = Detector(backbone, settings)
    parameters = sum(one.numel() for one in model.parameters())
    assert parameters == 5_368_218


@pytest.mark.parametrize("kind", KINDS)
def test_anchors_are_exact_under_autocast(kind):
    """In bfloat16 they would be moved by several pixels, far from the corner of the image."""
    model = tiny_detector(kind, 320).eval()
    found = []
    net = model.net
    generator = net.rpn.anchor_generator if hasattr(net, "rpn") else net.anchor_generator
    generator.register_forward_hook(lambda module, inputs, outputs: found.append(outputs))
    image = [SizedImage(torch.rand(3, 320, 320), (320, 320))]
    with torch.no_grad():
        model(image)
        with torch.autocast("cpu", torch.bfloat16):
            model(image)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert found[1][0].dtype == torch.float32


def test_maps_with_channels_last_are_permuted():
    """Also where they are as high as they have channels."""
    name = "swin_tiny_patch4_window7_224"
    network = timm.create_model(name, features_only=True, img_size=(384, 192))
    maps = TimmMaps(network, (4, 8)).eval()
    image = torch.rand(1, 3, 384, 192)
    with torch.no_grad():
        found = maps(image)
        assert torch.equal(found[0], network(image)[0].movedim(-1, 1))
    assert [tuple(one.shape[1:]) for one in found] == [(96, 96, 48), (192, 48, 24)]


def test_detections_are_limited_as_in_the_metric():
    for kind in KINDS:
        assert result_owner(tiny_detector(kind).net).detections_per_img == 100
