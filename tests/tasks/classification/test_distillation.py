"""Distillation: the loss against its slow twin, the teacher's own preprocessing, whole runs."""

import json
import math

import numpy as np
import pytest
import timm
import torch
from torch.nn.functional import cross_entropy, interpolate

from spectralvision.cli import main
from spectralvision.data.open_data import open_data
from spectralvision.data.transforms import build_eval_transform
from spectralvision.engine.model_io import data_config, describe, load_model
from spectralvision.runs import UserError
from spectralvision.tasks.classification.distillation import (
    DistillingClassifier,
    Teacher,
    load_teacher,
    teacher_loss,
)
from spectralvision.tasks.classification.distillation_config import DistillationConfig
from tests.helpers.label_maps import save_untrained, write_label_maps
from tests.helpers.pictures import COLOURS, image_folder
from tests.helpers.training import read_results


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("distillation")
    image_folder(root / "photos", 10)
    save_untrained(root / "teacher", classes=("red", "yellow", "green", "blue"), size=48)
    return root


def softmax(row, temperature):
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def twin(student, teacher, kind, temperature):
    """Return the distance of logits from the teacher's, image by image and class by class."""
    total = 0.0
    for ours, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        if kind == "hard":
            total -= math.log(softmax(ours, 1)[int(np.argmax(theirs))])
        else:
            pairs = zip(softmax(ours, temperature), softmax(theirs, temperature), strict=True)
            total += temperature**2 * sum(q * (math.log(q) - math.log(p)) for p, q in pairs)
    return total


@pytest.mark.parametrize(("kind", "temperature"), [("soft", 1.0), ("soft", 3.0), ("hard", 2.0)])
def test_the_loss_equals_the_slow_twin(kind, temperature):
    student, teacher = torch.randn(2, 5, 7, dtype=torch.float64)
    found = teacher_loss(student, teacher, kind, temperature)
    assert float(found) == pytest.approx(twin(student, teacher, kind, temperature), rel=1e-5)
    if kind == "soft":
        assert float(teacher_loss(teacher, teacher, kind, temperature)) == pytest.approx(
            0, abs=1e-5
        )


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_is_a_weighted_sum_of_labels_and_teacher(weight):
    model, other = (timm.create_model("test_resnet", num_classes=3) for _ in range(2))
    module = DistillingClassifier(
        model,
        teacher=Teacher(other, data_config(model)),
        distillation=DistillationConfig(teacher="t", distillation_weight=weight, temperature=2),
    )
    images, targets = torch.rand(4, 3, 160, 160), torch.tensor([0, 1, 2, 0])
    logits = torch.randn(4, 3)
    found = module.total_loss(images, logits, targets, 0.1)
    of_labels = cross_entropy(logits, targets, label_smoothing=0.1, reduction="sum")
    of_teacher = teacher_loss(logits, other.eval()(images), "soft", 2)
    torch.testing.assert_close(found, (1 - weight) * of_labels + weight * of_teacher)
    assert module.state_dict()
    assert not any(name.startswith("teacher") for name in module.state_dict())
    module.train()
    assert not other.training


def test_the_teacher_gets_images_as_it_expects_them(root):
    """An image prepared for the student has the logits of one prepared for the teacher."""
    data = open_data(str(root / "photos"))
    narrow = {"dims": (8, 8, 8, 8, 8), "depths": (1, 1, 1, 1, 1)}
    student = timm.create_model("affnet_et", num_classes=3, **narrow)
    describe(student, data.classes, 48)
    teacher = load_teacher(DistillationConfig(teacher=str(root / "teacher")), data, student)
    other = load_model(str(root / "teacher")).eval()
    own, config = data_config(other), data_config(student)
    assert own["mean"] != config["mean"]

    def batch(normalization):
        mean_std = {"mean": normalization["mean"], "std": normalization["std"]}
        transform = build_eval_transform(own | mean_std)
        return torch.stack([transform(data.splits["all"].image(index)) for index in range(3)])

    expected = other(batch(own))[:, [3, 2, 0]]  # blue, green, red
    found = teacher(batch(config))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    large = interpolate(batch(config), (96, 96), mode="nearest")
    assert teacher(large).shape == (3, 3)


def words(root, out, *more):
    """Return the command that trains with a teacher, mixup and an average for two epochs."""
    paths = ["--data", root / "photos", "--teacher", root / "teacher", "--out", out]
    numbers = ["--epochs", "2", "--batch-size", "8", "--workers", "0", "--input-size", "64"]
    mixing = ["--mixup", "0.5", "--ema", "0.5"]
    return [
        str(word) for word in ("train", "--model", "test_resnet", *paths, *numbers, *mixing, *more)
    ]


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_a_run_with_a_teacher(root, tmp_path, kind, capsys):
    settings = ["--distillation", kind]
    assert main(words(root, tmp_path / "a", *settings, "--json")) == 0
    assert f"teacher {root / 'teacher'}, {kind} distillation" in capsys.readouterr().err
    assert main(words(root, tmp_path / "b", *settings, "--accumulate", "2")) == 0
    assert main(words(root, tmp_path / "c", *settings, "--distillation-weight", "0")) == 0
    first, accumulated, alone = (read_results(tmp_path / name) for name in "abc")
    assert not all(torch.equal(first[0][name], alone[0][name]) for name in first[0])
    assert first[1]["model"]
    assert not any("teacher" in name for name in first[1]["model"])
    assert accumulated[0].keys() == first[0].keys()
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["config"]["distillation"]["distillation"] == kind


def test_teachers_that_do_not_work_are_rejected(root, tmp_path, capsys):
    run = tmp_path / "run"
    image_folder(tmp_path / "photos", 4)
    (tmp_path / "photos" / "red").rename(tmp_path / "photos" / "pink")
    assert main(words(root, run, "--data", tmp_path / "photos")) == 2
    assert "photos has 1 class that" in capsys.readouterr().err
    data = open_data(str(root / "photos"))
    write_label_maps(tmp_path / "maps", data.split("all"), COLOURS)
    assert main(words(root, run, "--label-maps", tmp_path / "maps")) == 2
    assert "--teacher does not go with --label-maps" in capsys.readouterr().err
    student = timm.create_model("test_resnet", num_classes=3)
    with pytest.raises(UserError, match="no_such is neither"):
        load_teacher(DistillationConfig(teacher="no_such"), data, student)
    assert not run.exists()
