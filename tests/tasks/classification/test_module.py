"""The classifier and its training against the same arithmetic written out."""

import csv
import signal

import pytest
import timm
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from spectralvision.engine.devices import Device, choose_device
from spectralvision.engine.fit import fit
from spectralvision.engine.model_io import describe, load_model, save_model
from spectralvision.engine.optimizer import build_optimizer
from spectralvision.engine.optimizer_config import OptimizerConfig
from spectralvision.engine.train_module import FitConfig, Step
from spectralvision.engine.trainer_config import TrainerConfig
from spectralvision.engine.training_loop import TrainingLoop
from spectralvision.runs import UserError
from spectralvision.tasks.classification.config import LossConfig
from spectralvision.tasks.classification.data import compute_class_weights
from spectralvision.tasks.classification.module import Classifier
from spectralvision.tasks.classification.predict import ClassPredictor
from spectralvision.tasks.classification.task import ClassificationTask
from tests.helpers.classifiers import batches, classifier
from tests.helpers.training import interrupted_at

FIRST_STEP = Step(epoch=0, update=0, batch=0, rank=0, total_images=4)


def ignore(line):
    """Take a message for the user."""


def fit_config(epochs=2, **optimizer):
    return FitConfig(
        epochs=epochs,
        optimizer=OptimizerConfig(**({"lr": 1e-3, "warmup_epochs": 0.5} | optimizer)),
        trainer=TrainerConfig().resolve(),
        device=Device("cpu", "32-true"),
        monitor=ClassificationTask.monitor,
        save=save_model,
    )


def train(module, run, val=None, **fields):
    """Train on 12 images in 3 updates per epoch; return all rows of metrics.csv, and the best."""
    run.mkdir(exist_ok=True)
    loop = fit(module, batches(), val or batches(), run, fit_config(**fields), ignore)
    rows = read_rows(run)
    assert loop.state.log.rows == [pytest.approx(row) for row in rows]
    return rows, loop.state.log.best


def read_rows(run):
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@torch.no_grad()
def evaluate(module, loader):
    """Return the metrics of a module over all batches."""
    module.eval()
    module.metrics.reset()
    for batch in loader:
        module.eval_step(batch)
    return {name: float(value) for name, value in module.metrics.compute().items()}


def test_metrics_are_those_of_the_logits():
    module, loader = classifier(classes=7), batches(14, 7)
    module.model.eval()
    with torch.no_grad():
        logits = torch.cat([module.model(images) for images, _ in loader])
        probabilities = torch.cat([ClassPredictor(module.model)(images) for images, _ in loader])
    labels = torch.cat([labels for _, labels in loader])
    metrics = evaluate(module, loader)
    among_five = (logits.topk(5).indices == labels[:, None]).any(1)
    assert len(labels) == 14
    assert set(metrics) == {"loss", "top1", "top5"}
    assert metrics["top1"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert metrics["top5"] == pytest.approx(among_five.float().mean().item())
    assert metrics["loss"] == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-5)
    assert torch.allclose(probabilities, logits.softmax(1), atol=1e-6)


def test_top5_is_left_out_with_five_classes():
    assert set(evaluate(classifier(classes=5), batches(10, 5))) == {"loss", "top1"}


def test_warm_up_then_cosine_at_each_update(tmp_path, monkeypatch):
    seen = []
    training_step = Classifier.training_step

    def record_rate(module, batch, step):
        seen.append(loop.state.optimizer.param_groups[0]["lr"])
        return training_step(module, batch, step)

    monkeypatch.setattr(Classifier, "training_step", record_rate)
    config = fit_config(epochs=4, warmup_epochs=1, lr=1e-3, min_lr=0.1)  # 3 updates per epoch
    loop = TrainingLoop(classifier(), batches(), batches(), tmp_path, config, ignore)
    loop.run_epochs(resume=False)
    assert len(seen) == 12
    assert seen[0] == pytest.approx(1e-5)
    assert seen[:3] == sorted(seen[:3])
    assert seen[3:] == sorted(seen[3:], reverse=True)
    assert max(seen) < 1e-3
    assert 1e-4 < seen[-1] < 2e-4


def test_weight_decay_and_layer_decay_reach_the_optimizer():
    config = OptimizerConfig(lr=1e-3, layer_decay=0.5, weight_decay=0.1)
    groups = build_optimizer(classifier().model, config).param_groups
    assert {group["weight_decay"] for group in groups} == {0.0, 0.1}
    scales = sorted({group["lr_scale"] for group in groups})
    assert len(scales) > 2
    assert scales[-1] == 1.0


def droppable_classifier():
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=3, img_size=32, drop_path_rate=0.5)
    describe(model, ["a", "b", "c"], 32)
    return Classifier(model)


@pytest.mark.parametrize(
    ("build", "optimizer"),
    [
        (classifier, {}),
        (lambda: classifier(mixup=0.5, cutmix=1.0), {}),
        (classifier, {"ema": 0.5}),
        (droppable_classifier, {}),
    ],
    ids=["plain", "mixing", "average", "stochastic depth"],
)
def test_training_is_reproducible(tmp_path, build, optimizer):
    rows, _ = train(build(), tmp_path / "a", **optimizer)
    torch.rand(7)  # other random draws in between
    again, _ = train(build(), tmp_path / "b", **optimizer)
    assert [row["train_loss"] for row in again] == [row["train_loss"] for row in rows]
    first, second = (load_model(str(tmp_path / name)).state_dict() for name in "ab")
    assert first
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [row["step"] for row in rows] == [3, 6]
    assert (tmp_path / "a" / "checkpoints" / "last.ckpt").exists()


def test_the_average_is_validated_and_saved(tmp_path):
    train(classifier(), tmp_path / "plain", epochs=1)
    (row,), _ = train(classifier(), tmp_path / "averaged", epochs=1, ema=0.9)
    plain, averaged = (load_model(str(tmp_path / name)) for name in ("plain", "averaged"))
    assert not torch.equal(averaged.get_classifier().weight, plain.get_classifier().weight)
    metrics = evaluate(Classifier(averaged), batches())
    assert row["val_loss"] == pytest.approx(metrics["loss"], rel=1e-5)


def test_the_best_epoch_is_kept_not_the_last(tmp_path):
    """Validation labels that contradict those of training make later epochs worse."""
    images, labels = batches().dataset.tensors
    val = DataLoader(TensorDataset(images, (labels + 1) % 3), batch_size=4)
    rows, kept = train(classifier(), tmp_path, val=val, epochs=4, lr=0.01, warmup_epochs=0)
    assert len(rows) == 4
    best = max(rows, key=lambda row: (row["val_top1"], -row["val_loss"]))
    assert best["epoch"] < 4
    assert kept == pytest.approx(best)
    metrics = evaluate(Classifier(load_model(str(tmp_path))), val)
    assert metrics["top1"] == pytest.approx(best["val_top1"])
    assert metrics["loss"] == pytest.approx(best["val_loss"], rel=1e-5)


def test_ctrl_c_keeps_the_best_weights(tmp_path):
    with interrupted_at(Classifier, update=3), pytest.raises(KeyboardInterrupt):
        train(classifier(), tmp_path, epochs=5)  # in the second epoch
    assert load_model(str(tmp_path)).num_classes == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_device_and_precision(monkeypatch):
    assert choose_device("cpu", "auto") == ("cpu", "32-true")
    assert choose_device("cpu", "32") == ("cpu", "32-true")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device cuda: this machine has no such device"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("cuda", "16-mixed") == ("cuda", "16-mixed")


def test_class_weights_by_hand():
    counts = [40, 10, 10]
    weights = compute_class_weights(0.5, counts)
    assert weights[1] == weights[2] == pytest.approx(2 * weights[0])
    assert sum(w * n for w, n in zip(weights, counts, strict=True)) == pytest.approx(60)
    assert compute_class_weights(1.0, counts)[1] == pytest.approx(2.0)  # N / (K n): all alike
    assert compute_class_weights(0.0, counts) is None


def test_rare_classes_are_up_weighted_in_the_loss():
    weights = [0.5, 1.0, 1.0]
    images, labels = next(iter(batches()))
    smoothed = LossConfig(label_smoothing=0.1)
    plain = Classifier(classifier().model, smoothed)
    weighted = Classifier(classifier().model, smoothed, class_weights=weights)
    losses = [
        module.train().training_step((images, labels), FIRST_STEP)["loss"].item()
        for module in (plain, weighted)
    ]
    logits = classifier().model.train()(images)
    total = cross_entropy(
        logits, labels, torch.tensor(weights), label_smoothing=0.1, reduction="sum"
    )
    # Not divided by the sum of the weights, which depends on how a batch is divided
    by_hand = total / len(images)
    assert losses[1] == pytest.approx(by_hand.item(), rel=1e-5)
    assert losses[0] != pytest.approx(losses[1])
    assert weighted.state_dict()
    assert "class_weights" not in weighted.state_dict()  # checkpoints do not depend on them
