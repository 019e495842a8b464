"""Eight scenes are learned by heart."""

import pytest
import torch

from spectralvision.engine.model_io import data_config
from spectralvision.engine.train_module import Step
from spectralvision.tasks.detection.average_precision import AveragePrecision
from spectralvision.tasks.detection.config import DetectionAugmentation
from spectralvision.tasks.detection.module import DetectionModule
from spectralvision.tasks.detection.transforms import EvalTransform, TrainTransform
from tests.helpers.detection import scene_images, tiny_detector

PLAIN = DetectionAugmentation(hflip=0.0, min_scale=1.0, max_scale=1.0, color_jitter=0.0)
STATISTICS_STEPS = 30
"""Forward passes for the batch norms, whose averages lag behind so short a training."""


def overfit(kind, updates, lr):
    """Return the metrics on the scenes that a detector was trained on."""
    module = DetectionModule(tiny_detector(kind, 96))
    model, preprocessing = module.model, data_config(module.model)
    images = scene_images(range(8))
    train = TrainTransform(model.settings, preprocessing, PLAIN, model.has_masks)
    samples = [train(images.image(index), images.target(index)) for index in range(8)]
    optimizer = torch.optim.AdamW(module.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=updates)
    module.train()
    for update in range(updates):
        half = samples[update % 2 :: 2]
        batch = ([image for image, _ in half], [target for _, target in half])
        loss = module.training_step(batch, Step(0, update, update, 0, 4))["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    pixels = torch.stack([image.pixels for image, _ in samples])
    with torch.no_grad():
        for _ in range(STATISTICS_STEPS):
            model.net.backbone(pixels)
    module.eval()
    transform = EvalTransform(model.settings, preprocessing)
    metric = AveragePrecision(model.has_masks)
    with torch.no_grad():
        for index in range(8):
            image, target = transform(images.image(index), images.target(index))
            metric.update(model([image]), [target])
    return {name: float(value) for name, value in metric.compute().items()}


def test_fcos():
    assert overfit("fcos", 80, 2e-3)["map_50"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "updates", "lr"),
    [
        ("ssdlite", 160, 2e-3),
        ("retinanet", 160, 1e-3),
        ("faster_rcnn", 40, 1e-3),
        ("mask_rcnn", 70, 1e-3),
    ],
)
def test_other_detectors(kind, updates, lr):
    found = overfit(kind, updates, lr)
    assert found["map_50"] > 0.9
    assert found.get("mask_map_50", 1.0) > 0.9
