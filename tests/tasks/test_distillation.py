"""Distillation: the loss against its slow obvious twin, the teacher's own view of the images, whole runs."""

import json
import math

import numpy as np
import pytest
import timm
import torch

from spectralvision.cli import main
from spectralvision.data.opening import open_data
from spectralvision.data.transforms import eval_transform
from spectralvision.runs import UserError
from spectralvision.tasks.distillation import DistillingClassifier, Teacher, teacher_loss, teacher_of
from spectralvision.tasks.loading import data_config, describe, load_model
from spectralvision.tasks.optimisation import Optimisation
from spectralvision.tasks.teaching import Teaching
from tests.label_maps import stored, teacher
from tests.pictures import COLOURS, image_folder
from tests.recipes.test_resume import what_came_out


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("taught")
    image_folder(root / "photos", 10)
    teacher(root / "teacher", classes=("red", "yellow", "green", "blue"), size=48)
    return root


def twin(logits, other, kind, temperature):
    """In words: for each image, what the student's distribution lacks of the teacher's."""

    def distribution(row):
        powers = [math.exp(value / temperature) for value in row]
        return [power / sum(powers) for power in powers]

    total = 0.0
    for ours, theirs in zip(logits.tolist(), other.tolist(), strict=True):
        if kind == "hard":
            temperature = 1
            total -= math.log(distribution(ours)[int(np.argmax(theirs))])
        else:
            pairs = zip(distribution(ours), distribution(theirs), strict=True)
            total += temperature**2 * sum(q * (math.log(q) - math.log(p)) for p, q in pairs)
    return total


@pytest.mark.parametrize(("kind", "temperature"), [("soft", 1.0), ("soft", 3.0), ("hard", 2.0)])
def test_the_loss_is_its_twin(kind, temperature):
    logits, other = torch.randn(2, 5, 7, dtype=torch.float64)
    found = teacher_loss(logits, other, kind, temperature)
    assert float(found) == pytest.approx(twin(logits, other, kind, temperature), rel=1e-5)
    if kind == "soft":
        assert float(teacher_loss(other, other, kind, temperature)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_is_shared_between_labels_and_teacher(weight):
    model, other = (timm.create_model("test_resnet", num_classes=3) for _ in range(2))
    kind = Teaching(teacher="t", distillation_weight=weight, temperature=2)
    made = Teacher(other, data_config(model))
    module = DistillingClassifier(model, Optimisation(lr=0.1), teacher=made, teaching=kind)
    images, targets = torch.rand(4, 3, 160, 160), torch.tensor([0, 1, 2, 0])
    logits = torch.randn(4, 3)
    found = module.total_loss(images, logits, targets, 0.1)
    labels = torch.nn.functional.cross_entropy(logits, targets, label_smoothing=0.1, reduction="sum")
    theirs = teacher_loss(logits, other.eval()(images), "soft", 2)
    torch.testing.assert_close(found, (1 - weight) * labels + weight * theirs)
    assert not any(name.startswith("teacher") for name in module.state_dict())
    module.train()
    assert not other.training


def test_a_teacher_sees_images_as_it_expects_them(root):
    """Of the same picture, prepared for the student, it says what it says of one prepared for itself."""
    data = open_data(str(root / "photos"))
    student = timm.create_model("affnet_et", num_classes=3, dims=(8, 8, 8, 8, 8), depths=(1, 1, 1, 1, 1))
    describe(student, data.classes, 48)
    made = teacher_of(Teaching(teacher=str(root / "teacher")), data, student)
    other = load_model(str(root / "teacher")).eval()
    own, config = data_config(other), data_config(student)
    assert own["mean"] != config["mean"]
    ours, theirs = (
        torch.stack(
            [
                eval_transform(own | {"mean": one["mean"], "std": one["std"]})(data.splits["all"].image(i))
                for i in range(3)
            ]
        )
        for one in (config, own)
    )
    expected = other(theirs)[:, [3, 2, 0]]
    torch.testing.assert_close(made(ours), expected, atol=1e-4, rtol=1e-4)
    large = torch.nn.functional.interpolate(ours, (96, 96), mode="nearest")
    assert made(large).shape == (3, 3)


def words(root, out, *more):
    return [str(word) for word in (
        "train", "--data", root / "photos", "--model", "test_resnet", "--epochs", "2", "--batch-size", "8", "--workers",
        "0", "--input-size", "64", "--mixup", "0.5", "--ema", "0.5", "--out", out, "--teacher", root / "teacher", *more
    )]  # fmt: skip


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_a_run_with_a_teacher(root, tmp_path, kind, capsys):
    assert main(words(root, tmp_path / "a", "--distillation", kind, "--json")) == 0
    assert f"taught by {root / 'teacher'}" in capsys.readouterr().err
    assert main(words(root, tmp_path / "b", "--distillation", kind, "--accumulate", "2")) == 0
    assert main(words(root, tmp_path / "c", "--distillation", kind, "--distillation-weight", "0")) == 0
    first, parts, alone = (what_came_out(tmp_path / name) for name in "abc")
    assert not all(torch.equal(first[0][name], alone[0][name]) for name in first[0])
    assert not any("teacher" in name for name in first[1]["state_dict"])
    assert parts[0].keys() == first[0].keys()
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["recipe"]["teaching"]["distillation"] == kind


def test_teachers_that_cannot_teach(root, tmp_path, capsys):
    image_folder(tmp_path / "photos", 4)
    (tmp_path / "photos" / "red").rename(tmp_path / "photos" / "pink")
    assert main(words(root, tmp_path / "run", "--data", tmp_path / "photos")) == 2
    assert "photos has 1 class that" in capsys.readouterr().err
    images = open_data(str(root / "photos")).split("all")
    stored(tmp_path / "maps", images, COLOURS)
    assert main(words(root, tmp_path / "run", "--label-maps", tmp_path / "maps")) == 2
    assert "--teacher does not go with --label-maps" in capsys.readouterr().err
    student = timm.create_model("test_resnet", num_classes=3)
    with pytest.raises(UserError, match="no_such is neither"):
        teacher_of(Teaching(teacher="no_such"), open_data(str(root / "photos")), student)
    assert not (tmp_path / "run").exists()
