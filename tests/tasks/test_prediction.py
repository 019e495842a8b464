"""Answers on any images: order, mirror images, and files that cannot be read."""

import pytest
import timm
import torch

from spectralvision.data.named import named_images
from spectralvision.data.transforms import eval_transform
from spectralvision.runs import UserError
from spectralvision.tasks.inference import Inference
from spectralvision.tasks.loading import data_config, describe, load_model, save_model
from spectralvision.tasks.prediction import Predictor, predict
from tests.pictures import encoded, picture

CPU = {"device": "cpu", "precision": "32"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.manual_seed(1)
    model = timm.create_model("test_resnet", num_classes=3)
    torch.nn.init.normal_(model.get_classifier().weight)
    describe(model, ["blue", "green", "red"], 32)
    save_model(model, folder := tmp_path_factory.mktemp("run"))
    return str(folder)


@pytest.fixture
def photos(tmp_path):
    for number in range(7):
        picture("red", number).save(tmp_path / f"{number}.png")
    return tmp_path


def expected(run, images, flip):
    model = load_model(run).eval()
    transform = eval_transform(data_config(model))
    x = torch.stack([transform(images.image(index)) for index in range(len(images))])
    with torch.no_grad():
        plain, mirrored = model(x).softmax(-1), model(x.flip(-1)).softmax(-1)
    return (plain + mirrored) / 2 if flip else plain


@pytest.mark.parametrize("flip", [False, True])
def test_probabilities_are_the_models_own(run, photos, flip):
    images = named_images([str(photos)])
    result = predict(Predictor(run, top_k=3, flip=flip, engine=Inference(batch_size=3, workers=0, **CPU)), images)
    assert result["unreadable"] == []
    assert result["images_per_second"] > 0
    for answer, row, index in zip(result["predictions"], expected(run, images, flip), range(7), strict=True):
        assert answer["image"] == images.name(index)
        given = {one["class"]: one["probability"] for one in answer["classes"]}
        assert [given[name] for name in ("blue", "green", "red")] == pytest.approx(row.tolist(), abs=2e-6)
    assert not torch.allclose(expected(run, images, True), expected(run, images, False), atol=1e-4)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_is_told_and_the_others_answered(run, photos, workers):
    whole = encoded(picture("blue", 1))
    (photos / "0.png").write_text("no image")  # the first batch holds nothing else
    (photos / "1.png").write_bytes(b"")
    (photos / "4.png").write_bytes(whole[: len(whole) // 2])
    images = named_images([str(photos)])
    result = predict(Predictor(run, engine=Inference(batch_size=2, workers=workers, **CPU)), images)
    stems = [answer["image"][-5] for answer in result["predictions"]]
    assert stems == ["2", "3", "5", "6"]
    assert [one["image"][-5] for one in result["unreadable"]] == ["0", "1", "4"]
    assert all(one["image"] in one["reason"] for one in result["unreadable"])
    best = expected(run, named_images([str(photos / "3.png")]), False).max()
    assert result["predictions"][1]["classes"][0]["probability"] == pytest.approx(float(best), abs=2e-6)


def test_nothing_that_can_be_read_is_an_error(run, photos):
    (photos / "bad.png").write_text("no image")
    alone = r"bad\.png is not an image that can be read \(no image format\)\.$"
    for words, sentence in [(1, alone), (3, r"\(nor can the other 2\)\.$")]:
        with pytest.raises(UserError, match=sentence):
            predict(Predictor(run, engine=Inference(**CPU)), named_images([str(photos / "bad.png")] * words))
