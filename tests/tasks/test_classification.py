"""The Lightning module against the same arithmetic written out."""

import pytest
import timm
import torch
from torch.utils.data import DataLoader, TensorDataset

from spectralvision.runs import UserError
from spectralvision.tasks.classification import Classifier, evaluate, predict
from spectralvision.tasks.fitting import choose_device, fit
from spectralvision.tasks.loading import describe, load_model
from spectralvision.tasks.optimisation import Optimisation

CPU = {"accelerator": "cpu", "precision": "32-true"}


def classifier(epochs=2, classes=3, **fields):
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=classes)
    describe(model, [str(i) for i in range(classes)], 32)
    return Classifier(model, Optimisation(**({"lr": 1e-3, "warmup_epochs": 0.5} | fields)), epochs, seed=0)


def batches(num=12, classes=3):
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.rand(num, 3, 32, 32, generator=generator), torch.arange(num) % classes
    images += labels.view(-1, 1, 1, 1) / 2
    return DataLoader(TensorDataset(images, labels), batch_size=4)


def rates(module, loader, tmp_path):
    """The learning rate of each update."""
    seen = []
    step = module.training_step

    def spy(batch):
        seen.append(module.optimizers().param_groups[0]["lr"])
        return step(batch)

    module.training_step = spy
    fit(module, loader, loader, tmp_path, CPU, print)
    return seen


def test_figures_are_those_of_the_logits():
    module, loader = classifier(classes=7), batches(14, 7)
    module.model.eval()
    with torch.no_grad():
        logits = torch.cat([module.model(images) for images, _ in loader])
    labels = torch.cat([labels for _, labels in loader])
    scores = evaluate(module, loader, CPU)
    assert scores["images"] == 14
    assert scores["top1"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert scores["top5"] == pytest.approx((logits.topk(5).indices == labels[:, None]).any(1).float().mean().item())
    assert scores["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert torch.allclose(predict(module, loader, CPU), logits.softmax(1), atol=1e-6)


def test_top5_is_left_out_where_it_says_nothing():
    assert evaluate(classifier(classes=5), batches(10, 5), CPU)["top5"] is None


def test_warm_up_then_cosine_at_each_update(tmp_path):
    seen = rates(classifier(epochs=4, warmup_epochs=1, lr=1e-3, min_lr=0.1), batches(), tmp_path)  # 3 updates an epoch
    assert len(seen) == 12
    assert seen[0] == pytest.approx(1e-5)
    assert seen[:3] == sorted(seen[:3])
    assert seen[3:] == sorted(seen[3:], reverse=True)
    assert max(seen) < 1e-3
    assert seen[-1] < 2e-4
    assert seen[-1] > 1e-4


def test_weight_decay_and_layer_decay_reach_the_optimiser():
    from lightning.pytorch import Trainer

    module = classifier(layer_decay=0.5, weight_decay=0.1)
    module.trainer = Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False)
    module.trainer.fit_loop.setup_data = lambda: None
    module.trainer.fit_loop.max_batches = 3
    module.trainer.fit_loop.max_epochs = 2
    groups = module.configure_optimizers()["optimizer"].param_groups
    assert {group["weight_decay"] for group in groups} == {0.0, 0.1}
    scales = sorted({group["lr_scale"] for group in groups})
    assert len(scales) > 2
    assert scales[-1] == 1.0


@pytest.mark.parametrize("fields", [{}, {"mixup": 0.5, "cutmix": 1.0}, {"ema": 0.5}, {"drop_path": 0.1}])
def test_training_repeats_itself(tmp_path, fields):
    def train(name):
        module = classifier(**fields)
        (tmp_path / name).mkdir()
        keep = fit(module, batches(), batches(), tmp_path / name, CPU, print)
        return keep, load_model(str(tmp_path / name)).state_dict()

    (keep, first), (_, second) = train("a"), train("b")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert len(keep.rows) == 2
    assert keep.rows[-1]["step"] == 6
    assert (tmp_path / "a" / "checkpoints" / "last.ckpt").exists()


def test_the_average_is_what_is_validated_and_saved(tmp_path):
    plain, averaged = classifier(epochs=1), classifier(epochs=1, ema=0.9)
    for name, module in (("plain", plain), ("averaged", averaged)):
        (tmp_path / name).mkdir()
        fit(module, batches(), batches(), tmp_path / name, CPU, print)
    saved = load_model(str(tmp_path / "averaged"))
    assert not torch.equal(saved.get_classifier().weight, load_model(str(tmp_path / "plain")).get_classifier().weight)
    scores = evaluate(Classifier(saved), batches(), CPU)
    rows = (tmp_path / "averaged" / "metrics.csv").read_text().splitlines()
    row = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    assert float(row["val_loss"]) == pytest.approx(scores["loss"], rel=1e-5)


def test_the_best_epoch_is_kept_not_the_last(tmp_path):
    module = classifier(epochs=3)
    loader = batches()
    keep = fit(module, loader, loader, tmp_path, CPU, print)
    best = max(keep.rows, key=lambda row: (row["val_top1"], -row["val_loss"]))
    assert keep.best == best
    scores = evaluate(Classifier(load_model(str(tmp_path))), loader, CPU)
    assert scores["top1"] == pytest.approx(best["val_top1"])
    assert scores["loss"] == pytest.approx(best["val_loss"], rel=1e-5)


def test_ctrl_c_closes_down_and_keeps_the_best(tmp_path):
    module = classifier(epochs=5)
    step = module.training_step

    def interrupted(batch):
        if module.current_epoch == 1:
            raise KeyboardInterrupt
        return step(batch)

    module.training_step = interrupted
    with pytest.raises(KeyboardInterrupt):
        fit(module, batches(), batches(), tmp_path, CPU, print)
    assert load_model(str(tmp_path)).num_classes == 3
    import signal

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_device_and_precision(monkeypatch):
    assert choose_device("cpu", "auto") == ("cpu", "32-true")
    assert choose_device("cpu", "32") == ("cpu", "32-true")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device cuda: this machine has none"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("cuda", "16-mixed") == ("cuda", "16-mixed")


def test_images_of_rare_classes_weigh_more_in_the_loss():
    from spectralvision.recipes.settling import class_weights

    weights = class_weights(0.5, [40, 10, 10])
    assert weights[1] == weights[2] == pytest.approx(2 * weights[0])
    assert sum(w * n for w, n in zip(weights, [40, 10, 10], strict=True)) == pytest.approx(60)
    assert class_weights(1.0, [40, 10, 10])[1] == pytest.approx(2.0)  # N / (K n): all classes alike
    assert class_weights(0.0, [40, 10, 10]) is None
    plain, weighted = (
        Classifier(classifier().model, Optimisation(lr=1e-3, label_smoothing=0.1), class_weights=w)
        for w in (None, [0.5, 1.0, 1.0])
    )
    images, labels = next(iter(batches()))
    losses = []
    for module in (plain, weighted):
        module.log = lambda *args, **options: None
        module.trainer = type("Trainer", (), {"global_step": 0, "current_epoch": 0, "global_rank": 0})()
        losses.append(module.training_step((images, labels)))
    module.model.load_state_dict(classifier().model.state_dict())  # as before the two steps' batch statistics
    logits = module.model.train()(images)
    by_hand = torch.nn.functional.cross_entropy(
        logits, labels, torch.tensor([0.5, 1.0, 1.0]), label_smoothing=0.1, reduction="sum"
    ) / len(images)  # not by the sum of the weights, which would depend on how a batch is cut
    assert losses[1].item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert losses[0].item() != pytest.approx(losses[1].item())
    assert "class_weights" not in weighted.state_dict()  # checkpoints are as before
