"""timm's own training: the parts that its train.py is made of, and the script itself.

The script is not in timm's package: `TIMM_CHECKOUT` names a checkout of timm's repository.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from timm.data import Mixup, create_dataset, create_loader
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.task import (
    ClassificationTask,
    FeatureDistillationTask,
    LogitDistillationTask,
    resume_task_checkpoint,
)
from timm.utils import CheckpointSaver, NativeScaler

from spectralvision.cli import main
from tests.helpers.pictures import image_folder
from tests.helpers.tolerances import SINGLE
from tests.helpers.twins import OF_EACH_FAMILY, SIZE, twin

CHECKOUT = os.environ.get("TIMM_CHECKOUT")
EPOCHS = 3


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "photos"
    for split, count in (("train", 8), ("validation", 4)):
        image_folder(root / split, count)
    return root


def build_task(model):
    """Return the task, the optimizer and the schedule that train.py would build."""
    task = ClassificationTask(model, SoftTargetCrossEntropy(), verbose=False)
    optimizer = create_optimizer_v2(
        task.get_trainable_module(), opt="adamw", lr=2e-3, weight_decay=0.05, layer_decay=0.9
    )
    schedule, _ = create_scheduler_v2(optimizer, num_epochs=EPOCHS, warmup_epochs=1)
    return task, optimizer, schedule


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # timm's reader
@pytest.mark.parametrize("name", OF_EACH_FAMILY)
def test_the_parts_of_the_script(name, photos, tmp_path):
    """Loader, mixup, layer decay, schedule, bfloat16, clipping, averages, checkpoint, resume."""
    torch.manual_seed(0)
    loader = create_loader(
        create_dataset("", root=photos, split="train"), (3, SIZE, SIZE), 8, is_training=True,
        use_prefetcher=False, num_workers=0, hflip=0.5, auto_augment="rand-m5", device="cpu",
    )  # fmt: skip
    mixup = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, num_classes=3)
    model = twin(name, num_classes=3).to(memory_format=torch.channels_last)
    task, optimizer, schedule = build_task(model)
    task.setup_ema(decay=0.5)
    scaler = NativeScaler(device="cpu")
    saver = CheckpointSaver(model, optimizer, checkpoint_dir=str(tmp_path), task=task)

    # 1. Train
    task.train()
    for epoch in range(EPOCHS):
        losses = []
        for images, labels in loader:
            images, targets = mixup(images.contiguous(memory_format=torch.channels_last), labels)
            with torch.autocast("cpu", torch.bfloat16):
                loss = task(images, targets)["loss"]
            scaler(loss, optimizer, clip_grad=1.0, parameters=model.parameters())
            optimizer.zero_grad()
            task.update_ema()
            losses.append(loss.item())
        schedule.step(epoch + 1)
        assert all(torch.isfinite(torch.tensor(losses)))
        saver.save_checkpoint(epoch, metric=-sum(losses))

    # 2. Resume
    last = tmp_path / "last.pth.tar"
    again, optimizer, _ = build_task(twin(name, num_classes=3))
    assert resume_task_checkpoint(again, str(last), optimizer, log_info=False) == EPOCHS
    x = torch.rand(2, 3, SIZE, SIZE)
    resumed = again.get_eval_model().eval()(x)
    torch.testing.assert_close(resumed, model.eval()(x), rtol=0, atol=SINGLE)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_EACH_FAMILY)
@pytest.mark.parametrize("kind", [LogitDistillationTask, FeatureDistillationTask])
def test_distillation_in_both_roles(name, kind):
    """Our models teach timm's, and learn from them; with features where heads differ in width."""
    ours, theirs = twin(name, num_classes=3), timm.create_model("test_resnet", num_classes=3)
    x, y = torch.rand(4, 3, SIZE, SIZE), torch.tensor([0, 1, 2, 0])
    for student, teacher in ((ours, theirs), (theirs, ours)):
        task = kind(student, teacher, verbose=False)
        task.train()
        task(x, y)["loss"].backward()
        assert any(one.grad is not None and one.grad.any() for one in student.parameters())


@pytest.mark.slow
@pytest.mark.skipif(CHECKOUT is None, reason="TIMM_CHECKOUT names no checkout of timm")
@pytest.mark.parametrize(
    "name", ["affnet_et", "svt_h_s", "gfnet_h_ti", "dfformer_s18", "vheat_t", "svt_v_t"]
)
def test_the_script_itself(name, photos, tmp_path, monkeypatch, capsys):
    """Its checkpoint, converted, has the accuracy that it reported."""
    words = (
        f"--device-modules spectralvision --data-dir {photos} --model {name} --num-classes 3 "
        f"--img-size {SIZE} -b 8 --epochs 2 --warmup-epochs 0 --opt adamw --lr 1e-3 --device cpu "
        "--workers 0 --mixup 0.2 --layer-decay 0.8 --clip-grad 1 --drop-path 0.1 --channels-last "
        f"--amp --amp-dtype bfloat16 --output {tmp_path} --experiment timm --crop-pct 1"
    )
    script = Path(str(CHECKOUT)) / "train.py"
    subprocess.run([sys.executable, script, *words.split()], check=True, capture_output=True)
    with (tmp_path / "timm/summary.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 2

    monkeypatch.chdir(tmp_path)
    assert main(["convert", "timm/last.pth.tar", "--model", name, "--out", "run"]) == 0
    capsys.readouterr()
    evaluate = ["evaluate", "--model", "run", "--data", str(photos), "--split", "val", "--json"]
    assert main([*evaluate, "--precision", "bf16-mixed"]) == 0
    top1 = 100 * json.loads(capsys.readouterr().out)["top1"]
    assert top1 == pytest.approx(float(rows[-1]["eval_top1"]), abs=1e-3)
