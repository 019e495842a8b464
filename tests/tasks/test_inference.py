"""Figures of a model against the same arithmetic written out."""

import numpy as np
import pytest
import timm
import torch

from spectralvision.data.datasets import ArrayImages, Data
from spectralvision.data.transforms import eval_transform
from spectralvision.runs import UserError
from spectralvision.tasks.inference import Inference, evaluate, interval
from spectralvision.tasks.loading import data_config, describe, load_model, save_model

CPU = Inference(batch_size=16, workers=0, device="cpu", precision="32")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.manual_seed(1)
    model = timm.create_model("test_resnet", num_classes=3)
    torch.nn.init.normal_(model.get_classifier().weight, std=2.0)
    describe(model, ["a", "b", "c"], 32)
    save_model(model, folder := tmp_path_factory.mktemp("run"))
    return str(folder)


def data(number=50, classes=("a", "b", "c")):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, number)  # none of the last class
    return Data(
        "noise", classes, {"all": ArrayImages(random.integers(0, 256, (number, 16, 16), np.uint8), labels, "n")}
    )


def probabilities(run, images):
    model = load_model(run).eval()
    transform = eval_transform(data_config(model))
    with torch.no_grad():
        return model(torch.stack([transform(images.image(i)) for i in range(len(images))])).softmax(-1).numpy()


def test_calibration_and_classes(run):
    images = data().split("all")
    result, p = evaluate(run, data(), engine=CPU, per_class=True), probabilities(run, data().split("all"))
    best, sure = p.argmax(1), p.max(1)
    right = best == images.labels
    bins = np.minimum((sure * 15).astype(int), 14)
    gaps = [abs(sure[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    assert result["calibration_error"] == pytest.approx(sum(gaps), abs=1e-5)
    assert result["top1"] == pytest.approx(right.mean())
    assert [row["class"] for row in result["per_class"]] == ["a", "b"]
    for index, row in enumerate(result["per_class"]):
        of_class, said = images.labels == index, best == index
        assert row["images"] == of_class.sum()
        assert row["recall"] == pytest.approx(right[of_class].mean())
        assert row["precision"] == (pytest.approx(right[said].mean()) if said.any() else None)
    assert "per_class" not in evaluate(run, data(), engine=CPU)


def test_the_same_images_have_the_same_id(run):
    first, other = evaluate(run, data(), engine=CPU), evaluate(run, data(49), engine=CPU)
    assert first["images_id"] == evaluate(run, data(), engine=CPU)["images_id"] != other["images_id"]


def test_another_number_of_classes_is_refused(run):
    with pytest.raises(UserError, match=r"1 class that .* does not know \(d\)"):
        evaluate(run, data(classes=("a", "b", "d")), engine=CPU)


@pytest.mark.parametrize(
    ("right", "number", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],  # the last: Newcombe 1998, table I
)
def test_interval(right, number, low, high):
    assert interval(right, number) == pytest.approx((low, high), abs=5e-5)
