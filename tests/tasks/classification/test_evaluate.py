"""Metrics of an evaluation against the same arithmetic written out."""

import numpy as np
import pytest
import timm
import torch
from torch.nn.functional import cross_entropy

from spectralvision.data.images import ArrayImages
from spectralvision.data.splits import Data
from spectralvision.data.transforms import build_eval_transform
from spectralvision.engine.infer import InferenceConfig
from spectralvision.engine.model_io import data_config, describe, load_model, save_model
from spectralvision.runs import UserError
from spectralvision.tasks.classification.options import EvaluateOptions
from spectralvision.tasks.classification.statistics import wilson_interval
from spectralvision.tasks.evaluation import evaluate

CPU = InferenceConfig(batch_size=16, workers=0, device="cpu", precision="32")


def save_run(folder, num_classes):
    """Write a model with large random weights in its head; return the folder as text."""
    torch.manual_seed(1)
    model = timm.create_model("test_resnet", num_classes=num_classes)
    torch.nn.init.normal_(model.get_classifier().weight, std=2.0)
    describe(model, [chr(ord("a") + number) for number in range(num_classes)], 32)
    save_model(model, folder)
    return str(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"), 3)


def noise(number=50, classes=("a", "b", "c")):
    """Return images of noise; the last class has none."""
    random = np.random.default_rng(0)
    labels = random.integers(0, len(classes) - 1, number)
    pixels = random.integers(0, 256, (number, 16, 16), np.uint8)
    return Data("noise", classes, {"all": ArrayImages(pixels, labels, "n")})


def predict_logits(run, images):
    model = load_model(run).eval()
    transform = build_eval_transform(data_config(model))
    with torch.no_grad():
        return model(torch.stack([transform(images.image(i)) for i in range(len(images))]))


@pytest.mark.parametrize("num_classes", [3, 7])
def test_accuracy_and_loss(tmp_path, num_classes):
    # 1. Labels: the most probable class of the first image, the second of the second, and so on
    run = save_run(tmp_path, num_classes)
    classes = tuple("abcdefg"[:num_classes])
    images = noise(60).split("all")
    logits = predict_logits(run, images)
    ranks = torch.arange(60) % num_classes
    labels = logits.argsort(1, descending=True)[torch.arange(60), ranks]
    data = Data("noise", classes, {"all": ArrayImages(images.pixels, labels.numpy(), "n")})

    # 2. Metrics
    result = evaluate(run, data, config=CPU)
    assert (result["images"], result["split"]) == (60, "all")
    correct = int((ranks == 0).sum())
    assert result["top1"] == pytest.approx(correct / 60)
    assert result["top1_interval"] == pytest.approx(wilson_interval(correct, 60))
    assert result["loss"] == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-5)
    if num_classes == 3:
        assert result["top5"] is None
    else:
        assert result["top5"] == pytest.approx(int((ranks < 5).sum()) / 60)


def test_calibration_and_metrics_per_class(run):
    images = noise().split("all")
    result = evaluate(run, noise(), config=CPU, options=EvaluateOptions(per_class=True))
    probabilities = predict_logits(run, images).softmax(-1).numpy()
    predicted = probabilities.argmax(1)
    confidence = probabilities.max(1)
    correct = predicted == images.labels

    # Expected calibration error over 15 bins
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = []
    for number in set(bins):
        inside = bins == number
        gaps.append(abs(confidence[inside].mean() - correct[inside].mean()) * inside.mean())
    assert result["calibration_error"] == pytest.approx(sum(gaps), abs=1e-5)
    assert result["top1"] == pytest.approx(correct.mean())

    # Recall and precision of the classes that have images
    assert [row["class"] for row in result["per_class"]] == ["a", "b"]
    for index, row in enumerate(result["per_class"]):
        of_class = images.labels == index
        as_class = predicted == index
        assert row["images"] == of_class.sum()
        assert row["recall"] == pytest.approx(correct[of_class].mean())
        precision = pytest.approx(correct[as_class].mean()) if as_class.any() else None
        assert row["precision"] == precision
    assert "per_class" not in evaluate(run, noise(), config=CPU)


def test_the_same_images_have_the_same_id(run):
    first, again, other = (evaluate(run, noise(number), config=CPU) for number in (50, 50, 49))
    assert first["images_id"] == again["images_id"]
    assert first["images_id"] != other["images_id"]


def test_a_folder_without_run_json_may_have_been_trained_on_the_images(run):
    assert evaluate(run, noise(), config=CPU)["seen_in_training"] == "unknown"


def test_an_unknown_class_is_rejected(run):
    with pytest.raises(UserError, match=r"1 class that .* does not know \(d\)"):
        evaluate(run, noise(classes=("a", "b", "d")), config=CPU)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
    ],
)
def test_wilson_interval(correct, total, low, high):
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)
