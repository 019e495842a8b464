"""Predictions for any images: their order, mirror images, and unreadable files."""

import pytest
import timm
import torch

from spectralvision.data.image_paths import image_paths
from spectralvision.data.transforms import build_eval_transform
from spectralvision.engine.infer import InferenceConfig
from spectralvision.engine.model_io import data_config, describe, load_model, save_model
from spectralvision.runs import UserError
from spectralvision.tasks.classification.options import PredictOptions
from spectralvision.tasks.prediction import Predictor, predict
from tests.helpers.pictures import encoded, picture

CLASSES = ["blue", "green", "red"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.manual_seed(1)
    model = timm.create_model("test_resnet", num_classes=3)
    torch.nn.init.normal_(model.get_classifier().weight)
    describe(model, CLASSES, 32)
    folder = tmp_path_factory.mktemp("run")
    save_model(model, folder)
    return str(folder)


@pytest.fixture
def photos(tmp_path):
    for number in range(7):
        picture("red", number).save(tmp_path / f"{number}.png")
    return tmp_path


def build_predictor(run, batch_size=2, workers=0, **options):
    config = InferenceConfig(batch_size=batch_size, workers=workers, device="cpu", precision="32")
    return Predictor(run, PredictOptions(**options), config)


def expected_probabilities(run, images, flip):
    model = load_model(run).eval()
    transform = build_eval_transform(data_config(model))
    x = torch.stack([transform(images.image(index)) for index in range(len(images))])
    with torch.no_grad():
        plain = model(x).softmax(-1)
        mirrored = model(x.flip(-1)).softmax(-1)
    return (plain + mirrored) / 2 if flip else plain


@pytest.mark.parametrize("flip", [False, True])
def test_probabilities_are_those_of_the_model(run, photos, flip):
    images = image_paths([str(photos)])
    predictor = build_predictor(run, batch_size=3, top_k=3, flip=flip)
    result = predict(predictor, images)
    assert result["unreadable"] == []
    assert result["images_per_second"] > 0
    expected = expected_probabilities(run, images, flip)
    assert len(expected) == 7
    for index, (one, row) in enumerate(zip(result["predictions"], expected, strict=True)):
        assert one["image"] == images.name(index)
        found = {entry["class"]: entry["probability"] for entry in one["classes"]}
        assert [found[name] for name in CLASSES] == pytest.approx(row.tolist(), abs=2e-6)
        values = [entry["probability"] for entry in one["classes"]]
        assert values == sorted(values, reverse=True)
    other = expected_probabilities(run, images, not flip)
    assert not torch.allclose(expected, other, atol=1e-4)


def test_columns_and_labels(run, photos):
    images = image_paths([str(photos)])
    result = predict(build_predictor(run, top_k=2), images, label=lambda index: f"label {index}")
    assert result["columns"] == [
        "image", "label", "prediction", "probability", "prediction_2", "probability_2"
    ]  # fmt: skip
    assert len(result["cells"]) == 7
    for index, (cells, record) in enumerate(
        zip(result["cells"], result["predictions"], strict=True)
    ):
        first, second = record["classes"]
        assert cells == [
            images.name(index), f"label {index}", first["class"], first["probability"],
            second["class"], second["probability"],
        ]  # fmt: skip


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_files_are_reported_and_the_others_predicted(run, photos, workers):
    whole = encoded(picture("blue", 1))
    (photos / "0.png").write_text("no image")  # the first batch has no readable image
    (photos / "1.png").write_bytes(b"")
    (photos / "4.png").write_bytes(whole[: len(whole) // 2])
    images = image_paths([str(photos)])
    result = predict(build_predictor(run, workers=workers), images)
    assert [one["image"][-5] for one in result["predictions"]] == ["2", "3", "5", "6"]
    assert [one["image"][-5] for one in result["unreadable"]] == ["0", "1", "4"]
    assert all(one["image"] in one["reason"] for one in result["unreadable"])
    third = image_paths([str(photos / "3.png")])
    best = float(expected_probabilities(run, third, False).max())
    found = result["predictions"][1]["classes"][0]["probability"]
    assert found == pytest.approx(best, abs=2e-6)


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (1, r"bad\.png cannot be read as an image \(no image format\)\.$"),
        (3, r"bad\.png cannot be read as an image \(no image format\) \(and 2 other images\)\.$"),
    ],
)
def test_no_readable_image_is_an_error(run, photos, count, sentence):
    path = photos / "bad.png"
    path.write_text("no image")
    with pytest.raises(UserError, match=sentence):
        predict(build_predictor(run), image_paths([str(path)] * count))


@pytest.mark.parametrize("top_k", [0, 4])
def test_more_classes_than_the_model_has_are_rejected(run, top_k):
    sentence = rf"--top-k {top_k} should be between 1 and 3, the number of classes\."
    with pytest.raises(UserError, match=sentence):
        build_predictor(run, top_k=top_k)
