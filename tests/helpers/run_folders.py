"""Write run folders of untrained models."""

import torch

import spectralvision as sv
from spectralvision.engine.model_io import describe, save_model
from spectralvision.runs import write_json

CLASSES = ["blue", "green", "red"]
FILES = ["README.md", "config.json", "model.safetensors"]
RECORD = {
    "status": "finished",
    "data": {"name": "torch/cifar10", "images": {"train": 24, "val": 6}},
    "results": {"val_top1": 0.83333, "best_epoch": 3},
}


def make_run(folder, name, record=RECORD, classes=CLASSES, **arguments):
    """Return a run folder of an untrained model, by default with three classes."""
    torch.manual_seed(1)
    model = sv.create_model(name, num_classes=len(classes), **arguments)
    torch.nn.init.normal_(model.get_classifier().weight)
    describe(model, classes, 32)
    folder.mkdir()
    save_model(model, folder)
    write_json(folder / "run.json", record)
    (folder / "metrics.csv").write_text("epoch\n")
    return folder
