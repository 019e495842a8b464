"""Losses, metrics and their slow twins; overfitting."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score
from torch.nn.functional import cross_entropy

from spectralvision.data.masks import IGNORED
from spectralvision.data.open_masks import open_masks
from spectralvision.data.splits import Data
from spectralvision.engine.train_module import Step
from spectralvision.tasks.segmentation.config import LossConfig, SegmentationConfig
from spectralvision.tasks.segmentation.data import compute_class_weights
from spectralvision.tasks.segmentation.metrics import ConfusionMetrics, class_metrics
from spectralvision.tasks.segmentation.model import assemble, build_model
from spectralvision.tasks.segmentation.module import SegmentationModule
from spectralvision.tasks.segmentation.task import SegmentationTask
from tests.helpers.scenes import mask_folder


def test_compile_reaches_the_auxiliary_head():
    """Both ways into the model run the compiled parts."""
    model = assemble("affnet_et", "deeplabv3", 4, 8, pretrained=False, auxiliary=True).eval()
    x = torch.randn(1, 3, 32, 32)
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    with torch.no_grad():
        plain = model.forward_auxiliary(x)
        model.compile(backend=backend)
        for one, other in zip(model.forward_auxiliary(x), plain, strict=True):
            assert torch.allclose(one, other, atol=1e-5)
        number = len(compiled)
        assert number >= 3
        assert torch.allclose(model(x), plain[0], atol=1e-5)
    assert len(compiled) == number


def random_classes(*size, seed=0, number=4):
    rng = np.random.default_rng(seed)
    classes = torch.from_numpy(rng.integers(0, number, size))
    classes[torch.from_numpy(rng.random(size) < 0.1)] = IGNORED
    return classes


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    model = assemble("affnet_et", "deeplabv3", 4, 8, pretrained=False, auxiliary=True)
    model.pretrained_cfg |= {"input_size": (3, 32, 32)}
    return SegmentationModule(model)


def test_metrics_equal_those_of_scikit_learn():
    metric = ConfusionMetrics(4)
    truth, predicted = random_classes(3, 8, 9), random_classes(3, 8, 9, seed=1).clamp_min(0)
    for one, other in zip(predicted, truth, strict=True):
        metric.update(one, other)
    valid = truth != IGNORED
    true, found = truth[valid].numpy(), predicted[valid].numpy()
    result = metric.compute()
    assert np.array_equal(metric.confusion.numpy(), confusion_matrix(true, found))
    assert float(result["miou"]) == pytest.approx(jaccard_score(true, found, average="macro"))
    assert float(result["pixel_accuracy"]) == pytest.approx((true == found).mean())
    recalls = [(found[true == number] == number).mean() for number in range(4)]
    assert float(result["mean_accuracy"]) == pytest.approx(np.mean(recalls))


def test_classes_that_do_not_occur_are_left_out():
    metric = ConfusionMetrics(4)
    metric.update(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    assert float(metric.compute()["miou"]) == pytest.approx(0.5)
    iou, accuracy = class_metrics(metric.confusion)
    assert iou.isnan().tolist() == accuracy.isnan().tolist() == [False, False, True, True]


def test_a_hand_made_map_has_the_known_iou(module):
    """A square of 4 x 4 pixels predicted one column to the right: 12 of 20 pixels are shared."""
    truth = torch.zeros(8, 8, dtype=torch.int64)
    truth[2:6, 2:6] = 1
    scores = torch.zeros(2, 8, 8)
    scores[1, 2:6, 3:7] = 1.0
    module.metrics.reset()
    module.update_metrics([scores], [truth])
    result = module.metrics.compute()
    assert float(result["miou"]) == pytest.approx((12 / 20 + 44 / 52) / 2)
    module.metrics.reset()


def test_the_pixel_loss_equals_a_plain_sum(module):
    logits, classes = torch.randn(2, 4, 6, 7), random_classes(2, 6, 7)
    total = sum(
        cross_entropy(logits[i, :, y, x][None], classes[i, y, x][None])
        for i in range(2)
        for y in range(6)
        for x in range(7)
        if classes[i, y, x] != IGNORED
    )
    torch.testing.assert_close(module.pixel_loss(logits, classes), total / (2 * 6 * 7))


@pytest.mark.parametrize("loss", [LossConfig(), LossConfig(dice=0.5, lovasz=0.5)])
def test_a_batch_in_two_parts_has_the_same_gradient(module, loss):
    """In evaluation mode, as batch norm and dropout depend on the batch."""
    whole = SegmentationModule(module.model, loss).eval()
    images, classes = torch.randn(4, 3, 32, 32), random_classes(4, 32, 32)
    step = Step(0, 0, 0, 0, 4)

    def gradient(*parts):
        whole.zero_grad()
        for part in parts:
            value = whole.training_step((images[part], classes[part]), step)["loss"]
            (value * len(images[part]) / 4).backward()
        return [p.grad.clone() for p in whole.model.parameters() if p.grad is not None]

    one, other = gradient(slice(0, 4)), gradient(slice(0, 1), slice(1, 4))
    assert one
    for first, second in zip(one, other, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)


def test_a_batch_without_any_annotation_has_a_loss_of_zero(module):
    for loss in (LossConfig(), LossConfig(dice=1.0, lovasz=1.0)):
        one = SegmentationModule(module.model, loss)
        batch = torch.randn(2, 3, 32, 32), torch.full((2, 32, 32), IGNORED)
        values = one.training_step(batch, Step(0, 0, 0, 0, 2))
        assert float(values["loss"].detach()) == 0.0
        values["loss"].backward()


def test_class_weights_are_one_on_average_over_the_pixels():
    data = Data("a", ("x", "y", "z"), {}, facts={"train_pixels": [900, 100, 0, 50]})
    weights = np.array(compute_class_weights(1.0, data))
    assert weights[1] / weights[0] == pytest.approx(9)
    assert (weights * [900, 100, 0]).sum() == pytest.approx(1000)
    assert weights[2] == 1.0
    assert compute_class_weights(0.0, data) is None


def test_dropout_depends_on_the_step_alone(module):
    batch = module.train().example_batch(2)
    steps = (Step(0, 3, 0, 0, 2), Step(0, 4, 0, 0, 2), Step(0, 3, 0, 0, 2))
    state = {name: value.clone() for name, value in module.state_dict().items()}
    losses = []
    for step in steps:
        torch.rand(5)
        module.load_state_dict(state)
        losses.append(float(module.training_step(batch, step)["loss"].detach()))
    assert losses[0] == losses[2] != losses[1]


@pytest.mark.parametrize(
    "decoder",
    [
        "deeplabv3",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("pspnet", "unet", "fpn", "deeplabv3plus", "segformer")
        ),
    ],
)
def test_eight_images_are_learned_by_heart(decoder, tmp_path):
    folder = mask_folder(tmp_path / "scenes", 8, 1, size=(96, 128))
    data = open_masks(str(folder))
    config = SegmentationConfig(
        data=str(folder), model="affnet_et", decoder=decoder, input_size=128, short_side=None
    )
    model, config = build_model(config, data)
    task, module = SegmentationTask(), SegmentationModule(model, config.loss)
    transform, images = task.transform(config, model, train=False), data.split("train")
    samples = [transform(images.image(index), images.target(index)) for index in range(8)]
    inputs, targets = task.collate(samples)
    batch = torch.stack([one.pixels for one in inputs]), torch.stack(targets)
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    module.train()
    for update in range(90):
        module.training_step(batch, Step(0, update, 0, 0, 8))["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    module.eval()
    with torch.no_grad():
        module.eval_step((inputs, targets))
    assert float(module.metrics.compute()["miou"]) > 0.93
