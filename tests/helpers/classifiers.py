"""A small classifier, and batches that it can learn."""

import timm
import torch
from torch.utils.data import DataLoader, TensorDataset

from spectralvision.engine.model_io import describe
from spectralvision.tasks.classification.config import LossConfig
from spectralvision.tasks.classification.module import Classifier


def classifier(classes=3, **loss):
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=classes)
    describe(model, [str(number) for number in range(classes)], 32)
    return Classifier(model, LossConfig(**loss))


def batches(num=12, classes=3):
    """`num` images of noise, brighter the larger their label."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(num, 3, 32, 32, generator=generator)
    labels = torch.arange(num) % classes
    images += labels.view(-1, 1, 1, 1) / 2
    return DataLoader(TensorDataset(images, labels), batch_size=4)
