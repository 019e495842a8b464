"""A task that is not in the package: predict the mean color of an image. As a script, the command
with this task:

    python -m tests.helpers.toy_task train mean-color --data PHOTOS ...
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torchmetrics import MeanMetric, MeanSquaredError, MetricCollection

from spectralvision.cli import main
from spectralvision.data.splits import Data
from spectralvision.data.validate_images import validate_images
from spectralvision.engine.model_io import describe
from spectralvision.engine.train_module import Monitor, Step, TrainModule
from spectralvision.report import Card, Findings, Section
from spectralvision.tasks.base import Row, Task, Transform
from spectralvision.tasks.registry import register_task
from spectralvision.tasks.train_config import TrainConfig

SIZE = 32
CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True, kw_only=True)
class MeanColorConfig(TrainConfig):
    """Train a model that predicts the mean color of an image."""

    task: ClassVar[str] = "mean-color"
    recipe: ClassVar[str] = "mean-color"

    model: str = "test_resnet"
    """A model of timm."""
    brightness: float = 1.0
    """Factor on all colors."""


@dataclass(frozen=True, kw_only=True)
class MeanColorPredictOptions:
    """Options of `predict`."""

    percent: bool = False
    """Print colors in per cent."""


class MeanColorModule(TrainModule):
    """Mean squared error between predicted and true color."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        metrics: dict[str, Any] = {"loss": MeanMetric(), "error": MeanSquaredError(squared=False)}
        self.metrics = MetricCollection(metrics, compute_groups=False)

    def training_step(self, batch: Any, step: Step) -> dict[str, Tensor]:
        images, colors = batch
        return {"loss": mse_loss(self.model(images), colors)}

    def update_metrics(self, outputs: Tensor, targets: Tensor) -> None:
        self.metrics["loss"].update(mse_loss(outputs, targets), weight=len(targets))
        self.metrics["error"].update(outputs, targets)

    def example_batch(self, count: int) -> Any:
        return torch.rand(count, 3, SIZE, SIZE), torch.rand(count, 3)


class MeanColorTask(Task):
    """Regression of three numbers."""

    name = "mean-color"
    config = MeanColorConfig
    predict_options = MeanColorPredictOptions
    monitor = Monitor("val_error", "min", title="val error", is_fraction=False)

    def check(self, data: Data, config: Any) -> tuple[Data, list[str]]:
        data, unreadable, _ = validate_images(data)
        return data, [f"toy    {len(unreadable)} unreadable images"]

    def build(self, config: Any, data: Data, is_new: bool = True) -> tuple[nn.Module, Any]:
        torch.manual_seed(config.seed)
        model = timm.create_model(config.model, num_classes=3)
        describe(model, CHANNELS, SIZE)
        return model, config

    def transform(self, config: Any, model: nn.Module, train: bool) -> Transform:
        factor = 1.0 if config is None else config.brightness

        def transform(image: Any, target: Any) -> tuple[Tensor, Tensor]:
            pixels = np.asarray(image.resize((SIZE, SIZE)), dtype=np.float32) / 255 * factor
            if train:
                pixels = np.roll(pixels, int(torch.randint(SIZE, ())), axis=1)
            tensor = torch.from_numpy(pixels).permute(2, 0, 1)
            return tensor, tensor.mean(dim=(1, 2))

        return transform

    def module(self, model: nn.Module, config: Any, data: Data) -> TrainModule:
        return MeanColorModule(model)

    def evaluator(self, model: nn.Module, options: Any) -> TrainModule:
        return MeanColorModule(model)

    def predictor(self, model: nn.Module, options: Any) -> nn.Module:
        return model

    def columns(self, options: Any) -> list[str]:
        return [f"score_{channel}" for channel in CHANNELS]

    def rows(self, model: nn.Module, outputs: Tensor, options: Any) -> list[Row]:
        factor = 100 if options.percent else 1
        colors = (outputs.float().cpu() * factor).tolist()
        return [Row(dict(zip(CHANNELS, color, strict=True)), color) for color in colors]

    def findings(self, run: Path, data: Data) -> Findings:
        number = len(data.split("val"))
        section = Section("toy", "Colors", "<p>three numbers per image</p>")
        return Findings(title="Mean color", cards=[Card(str(number), "images")], sections=[section])


if __name__ == "__main__":
    register_task(MeanColorTask.name, MeanColorTask)
    sys.exit(main())
