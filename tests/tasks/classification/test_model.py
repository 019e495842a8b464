"""Which weights a training run starts from."""

import pytest
import timm
import torch

from spectralvision.runs import UserError
from spectralvision.tasks import training_run
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.training_run import train
from tests.helpers.pictures import image_folder


def start(monkeypatch, data, model):
    """Return the model before its first update, and what was said about it."""
    prepared = []
    announce = training_run.announce

    def record(run, projection, say):
        prepared.append(run)
        announce(run, projection, say)

    monkeypatch.setattr(training_run, "announce", record)
    lines = []
    config = ClassificationConfig(data=str(data), model=model, workers=0, device="cpu", epochs=1)
    train(config, lines.append, dry_run=True)
    return prepared[0].model, next(line for line in lines if line.startswith("model"))


@pytest.mark.parametrize("data", ["digits", "photos"])
def test_a_name_of_weights_starts_from_them(data, tmp_path, monkeypatch):
    """The classes are others: of the same number for digits, and of another for photos."""
    if data == "photos":
        data = image_folder(tmp_path / "photos", 6)
    published = timm.create_model("affnet_et.cifar10", pretrained=True).state_dict()
    model, line = start(monkeypatch, data, "affnet_et.cifar10")
    assert ", pretrained weights, " in line
    same = {name: torch.equal(value, published[name]) for name, value in model.state_dict().items()
            if not name.startswith("head.")}  # fmt: skip
    assert len(same) > 100
    assert all(same.values())
    head = model.state_dict()["head.fc.weight"]
    assert head.shape != published["head.fc.weight"].shape or not torch.equal(
        head, published["head.fc.weight"]
    )


def test_a_plain_name_starts_from_scratch(monkeypatch):
    published = timm.create_model("affnet_et.cifar10", pretrained=True).state_dict()
    model, line = start(monkeypatch, "digits", "affnet_et")
    assert ", from scratch, " in line
    name = "stages.0.0.expand.conv.weight"
    assert not torch.equal(model.state_dict()[name], published[name])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("affnet_et.cifar", "did you mean cifar10?"),
        ("affnet_et.in1k", "choose from cifar10, tiny_imagenet."),
        ("affnet_t.cifar10", "it has none, use affnet_t."),
    ],
)
def test_an_unknown_name_of_weights_is_rejected(name, hint):
    model, _, tag = name.partition(".")
    with pytest.raises(UserError) as error:
        train(ClassificationConfig(data="digits", model=name), dry_run=True)
    assert str(error.value) == f"{model} has no weights named {tag!r}: {hint}"
