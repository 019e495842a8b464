"""Distillation from stored predictions: the loss against its slow twin, whole runs, bad caches."""

import json
import shutil

import pytest
import timm
import torch
from torch.nn.functional import one_hot

from spectralvision.cli import main
from spectralvision.data.open_data import open_data
from spectralvision.engine.train_module import Step
from spectralvision.runs import UserError, read_json
from spectralvision.tasks.classification.config import LossConfig
from spectralvision.tasks.classification.distillation import CachedDistillingClassifier
from spectralvision.tasks.classification.distillation_config import DistillationConfig
from spectralvision.tasks.classification.token_labels.targets import Labels, TokenLabelTarget
from tests.helpers.label_maps import save_untrained, write_label_maps
from tests.helpers.pictures import COLOURS, image_folder
from tests.helpers.training import read_results

STEP = Step(epoch=0, update=3, batch=3, rank=0, total_images=6)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("cache")
    image_folder(root / "photos", 10)
    save_untrained(root / "teacher", size=48)
    return root


def words(root, out, *more):
    """Return the command that trains with a cached teacher, mixup and an average for two epochs."""
    paths = ["--data", root / "photos", "--teacher", root / "teacher", "--out", out]
    numbers = ["--epochs", 2, "--batch-size", 8, "--workers", 0, "--input-size", 64]
    mixing = ["--mixup", 0.5, "--ema", 0.5]
    return [
        str(word) for word in ("train", "--model", "test_resnet", *paths, *numbers, *mixing, *more)
    ]


def random_target(count, classes, grid=(3, 4), top=2):
    """Return labels with maps, views and flips at random."""
    values = torch.rand(count, top, *grid).softmax(dim=1).mul(0.9).half()
    indices = torch.stack([torch.randperm(classes)[:top] for _ in range(count)])
    indices = indices[:, :, None, None].expand(-1, -1, *grid).short()
    corner = torch.rand(count, 2) / 2
    box = torch.cat([corner, corner + 0.2 + torch.rand(count, 2) * 0.3], dim=1)
    labels = torch.arange(count) % classes
    return TokenLabelTarget(labels, Labels(values, indices, box, torch.rand(count) < 0.5))


def twin(logits, teacher, targets, config):
    """Return the loss, image by image and class by class, of targets that are mixed already."""
    total = 0.0
    for ours, theirs, label in zip(logits, teacher, targets, strict=True):
        scaled = [float(value) ** (1 / config.temperature) for value in theirs]
        scaled = [value / sum(scaled) for value in scaled]
        log_student = (ours / config.temperature).log_softmax(0).tolist()
        distance = sum(
            q * (torch.tensor(q).log().item() - p) for q, p in zip(scaled, log_student, strict=True)
        )
        if config.distillation == "hard":
            best = max(range(len(theirs)), key=lambda one: float(theirs[one]))
            distance = -ours.log_softmax(0)[best].item() / config.temperature**2
        entropy = -sum(
            float(t) * p for t, p in zip(label, ours.log_softmax(0).tolist(), strict=True)
        )
        weight = config.distillation_weight
        total += (1 - weight) * entropy + weight * config.temperature**2 * distance
    return total / len(logits)


def pixel_twin(maps, classes):
    """Return the mean of each map over its view, sampled at many points, the rest spread evenly."""
    count, top, height, width = maps.values.shape
    found = torch.zeros(count, classes)
    for i in range(count):
        dense = torch.zeros(classes, height, width)
        for k in range(top):
            for y in range(height):
                for x in range(width):
                    dense[int(maps.indices[i, k, y, x]), y, x] += float(maps.values[i, k, y, x])
        left, top_, right, bottom = (float(one) for one in maps.box[i])
        steps = 64
        for row in range(steps):
            for column in range(steps):
                y = (top_ + (bottom - top_) * (row + 0.5) / steps) * height - 0.5
                x = (left + (right - left) * (column + 0.5) / steps) * width - 0.5
                y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
                y0, x0 = int(y), int(x)
                y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
                a, b = y - y0, x - x0
                value = (1 - a) * ((1 - b) * dense[:, y0, x0] + b * dense[:, y0, x1])
                value += a * ((1 - b) * dense[:, y1, x0] + b * dense[:, y1, x1])
                found[i] += value / steps**2
    return found + (1 - found.sum(1, keepdim=True)) / classes


@pytest.mark.parametrize(("kind", "temperature"), [("soft", 1.0), ("soft", 2.0), ("hard", 1.0)])
@pytest.mark.parametrize("mixing", [{}, {"mixup": 1.0}, {"cutmix": 1.0}])
def test_the_loss_equals_the_slow_twin(kind, temperature, mixing):
    torch.manual_seed(0)
    config = DistillationConfig(
        teacher="t", teacher_cache="c", distillation=kind, distillation_weight=0.3,
        temperature=temperature,
    )  # fmt: skip
    model = timm.create_model("test_resnet", num_classes=5)
    module = CachedDistillingClassifier(
        model, LossConfig(label_smoothing=0.0, **mixing), distillation=config
    ).eval()
    images, target = torch.rand(6, 3, 64, 64), random_target(6, 5)
    seen, logits = [], []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.register_forward_hook(lambda _, inputs, out: logits.append(out))
    found = module.training_step((images.clone(), target), STEP)
    teacher, labels = pixel_twin(target.maps, 5), one_hot(target.label, 5).float()
    if mixing:
        share = mixed_share(images, seen[0])
        assert 0 < share < 1
        teacher = share * teacher + (1 - share) * teacher.flip(0)
        labels = share * labels + (1 - share) * labels.flip(0)
    expected = twin(logits[0].detach(), teacher, labels, config)
    assert float(found["loss"].detach()) == pytest.approx(expected, rel=2e-3)


def mixed_share(images, mixed):
    """Return the part of each mixed image that is the image itself; the rest is its partner."""
    partner = images.flip(0)
    return float(((mixed - partner) * (images - partner)).sum() / ((images - partner) ** 2).sum())


def test_a_run_computes_the_cache_once(root, tmp_path, capsys):
    cache = tmp_path / "cache"
    assert main(words(root, tmp_path / "a", "--teacher-cache", cache)) == 0
    said = capsys.readouterr().err
    assert f"computing the predictions of {root / 'teacher'}, once, into {cache}" in said
    assert "cache  30 images in" in said
    before = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert main(words(root, tmp_path / "b", "--teacher-cache", cache, "--accumulate", 2)) == 0
    assert "computing the predictions" not in capsys.readouterr().err
    assert before == {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    first, second = (read_results(tmp_path / name) for name in "ab")
    assert first[0].keys() == second[0].keys()
    record = read_json(tmp_path / "a" / "run.json")
    assert record["data"]["label_maps"]["teacher"] == str(root / "teacher")


def test_repeated_and_resumed_runs_are_equal(root, tmp_path):
    """Also where the cache lost a shard between them."""
    more = ("--teacher-cache", tmp_path / "cache", "--workers", 2, "--cutmix", 1)
    assert main(words(root, tmp_path / "a", *more)) == 0
    next((tmp_path / "cache").glob("*.safetensors")).unlink()
    assert main(words(root, tmp_path / "b", *more)) == 0
    first, second = (read_results(tmp_path / name) for name in "ab")
    assert all(torch.equal(first[0][name], second[0][name]) for name in first[0])


def test_a_dry_run_writes_no_cache(root, tmp_path, capsys):
    cache = tmp_path / "cache"
    assert main(words(root, tmp_path / "run", "--teacher-cache", cache, "--dry-run")) == 0
    assert "its predictions are computed first" in capsys.readouterr().err
    assert not cache.exists()


def test_caches_that_do_not_fit_are_rejected(root, tmp_path, capsys, monkeypatch):
    cache, run = tmp_path / "cache", tmp_path / "run"
    without = [
        word for word in words(root, run) if word not in ("--teacher", str(root / "teacher"))
    ]
    assert main([*without, "--teacher-cache", str(cache)]) == 2
    assert f"--teacher-cache {cache} needs the --teacher" in capsys.readouterr().err

    # Another teacher
    data = open_data(str(root / "photos"))
    write_label_maps(cache, data.split("all"), COLOURS, weights="0123")
    assert main(words(root, run, "--teacher-cache", cache)) == 2
    assert "has predictions of T with other weights than those of" in capsys.readouterr().err

    # Other images
    shutil.rmtree(cache)
    image_folder(tmp_path / "photos", 4)
    assert main(words(root, run, "--teacher-cache", cache)) == 0
    other = words(root, tmp_path / "other", "--teacher-cache", cache)
    other[other.index(str(root / "photos"))] = str(tmp_path / "photos")
    assert main(other) == 2
    assert "label maps of other images" in capsys.readouterr().err

    # One of several processes
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert main(words(root, tmp_path / "ranks", "--teacher-cache", tmp_path / "none")) == 2
    said = capsys.readouterr().err
    assert "spectralvision token-labels --teacher" in said
    assert not (tmp_path / "none").exists()


def test_unreadable_images_are_named(root, tmp_path, capsys):
    """They are left out of training; the cache has no predictions for them."""
    photos = shutil.copytree(root / "photos", tmp_path / "photos")
    broken = sorted(photos.rglob("*.png"))[0]
    broken.write_bytes(b"no image")
    line = words(root, tmp_path / "run", "--teacher-cache", tmp_path / "cache", "--json")
    line[line.index(str(root / "photos"))] = str(photos)
    assert main(line) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)["epochs"] == 2
    assert broken.name in found.err


def test_the_settings_need_a_teacher():
    with pytest.raises(UserError, match="needs the --teacher"):
        DistillationConfig(teacher_cache="cache").check()
