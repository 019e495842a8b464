"""The memory of a training step at the size of COCO's recipes."""

import json
import subprocess
import sys

import pytest

STEP = """
import json, resource, sys
import torch
from spectralvision.engine.train_module import Step
from spectralvision.tasks.detection.detector import SizedImage
from spectralvision.tasks.detection.module import DetectionModule
from tests.helpers.detection import tiny_detector

sizes = json.loads(sys.argv[1])
model = tiny_detector("mask_rcnn", 800, "svt_h_s", fpn_channels=256, max_size=1333)
module = DetectionModule(model).train()
optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
losses = []
for height, width in sizes:
    image = SizedImage(torch.rand(3, height, width), (height, width))
    boxes = torch.tensor([[10.0, 20.0, 300.0, 400.0], [200.0, 100.0, 600.0, 500.0]])
    masks = torch.ones(2, height, width, dtype=torch.uint8)
    target = {"boxes": boxes, "labels": torch.tensor([0, 1]), "masks": masks}
    loss = module.training_step(([image], [target]), Step(0, 0, 0, 0, 1))["loss"]
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(float(loss.detach()))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([losses, peak * (1 if sys.platform == "darwin" else 1024)]))
"""


@pytest.mark.slow
def test_svt_trains_on_large_images_of_any_shape_within_7_gigabytes():
    """Two steps with one image: 800 x 1333 pixels, and an odd size that is padded."""
    sizes = [[800, 1333], [733, 1111]]
    line = [sys.executable, "-c", STEP, json.dumps(sizes)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    losses, peak = json.loads(done.stdout.splitlines()[-1])
    assert len(losses) == 2
    assert all(0 < loss < 100 for loss in losses)
    assert peak < 7e9
