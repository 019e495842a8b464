"""The contract of a task: what it adds to the engine to train, evaluate, predict and report.

A task is a folder beside this file and a line in `registry.py`. Nothing else in the package knows
which tasks exist.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TextIO

from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, default_collate

from spectralvision.data import loaders
from spectralvision.data.images import Images, Stream
from spectralvision.data.open_data import open_data
from spectralvision.data.samplers import Partition
from spectralvision.data.shard_columns import Columns
from spectralvision.data.splits import Data
from spectralvision.data.workers import choose_num_workers
from spectralvision.engine import model_io
from spectralvision.engine.output_shards import write_json_list
from spectralvision.engine.processes import rank
from spectralvision.engine.train_module import Monitor, TrainModule
from spectralvision.export.deployment import Deployable, Output
from spectralvision.report import Findings
from spectralvision.runs import UserError
from spectralvision.sharing.model_card import CardKind
from spectralvision.tasks.train_config import TrainConfig

Sample = tuple[Any, Any]
"""(input, target). In evaluation the input is a tensor (C, H, W), or a NamedTuple that has it as
`pixels`."""
Transform = Callable[[Any, Any], Sample]
"""(PIL image, target) -> sample."""
Table = list[list[str]]
"""A head and rows, as text."""
FileWriter = Callable[[Images, int, Any], None]
"""(images, index, prediction for the image) -> None. The prediction is `Row.prediction`."""


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """A task without options of its own."""


class Row(NamedTuple):
    """The prediction for one image."""

    record: dict[str, Any]
    """For JSON."""
    cells: list[Any]
    """For tables, one for each of `Task.columns`."""
    prediction: Any = None
    """For `Task.file_writer`."""


def require_no_reader(data_dir: str | None, num_classes: int | None) -> None:
    """Raise `UserError` for options of timm's readers, which are for classification."""
    for option, value in (("--data-dir", data_dir), ("--num-classes", num_classes)):
        if value is not None:
            raise UserError(f"{option} is for readers of classification: remove it.")


class Task(ABC):
    """What is put on a backbone."""

    name: ClassVar[str]
    """In the registry, in run.json, and of the recipe with the task's own settings."""
    config: ClassVar[type[TrainConfig]]
    """Options of `train`."""
    is_classifier: ClassVar[bool] = False
    """Whether its answer is the probability of each class for the whole image."""
    monitor: ClassVar[Monitor]
    """The metric that chooses the best epoch."""
    evaluate_options: ClassVar[type] = NoOptions
    """Options of `evaluate` besides the common ones."""
    predict_options: ClassVar[type] = NoOptions
    """Options of `predict` besides the common ones."""
    file_columns: ClassVar[tuple[str, ...]] = ()
    """The last of `columns`, if they are for files only, as too long for a terminal."""
    inference_batch: ClassVar[int] = 64
    """Images that `--batch-size auto` of `evaluate` and `predict` stands for."""
    batch_limits: ClassVar[tuple[int, int]] = (16, 128)
    """The least and the most images that `--batch-size auto` stands for."""
    smallest_sizes: ClassVar[tuple[int, int]] = (64, 128)
    """Input sizes that are reduced no further for a CPU, from scratch and from pretrained weights,
    which are for large images."""
    small_network: ClassVar[int] = 0
    """Parameters up to which pretrained weights are trained with the settings of new ones."""
    small_model: ClassVar[str] = "`spectralvision train finetune --model mobilenetv3_small_100`"
    """A model of timm with weights, that a CPU can fine-tune."""

    card: ClassVar[CardKind | None] = None
    """What `push` writes about a model; None: it rejects them."""

    # Data

    def open(
        self,
        spec: str,
        data_dir: str | None = None,
        num_classes: int | None = None,
        columns: Columns | None = None,
    ) -> Data:
        """Return the data set that `--data` stands for, without decoding it."""
        return open_data(spec, data_dir, num_classes, columns)

    @abstractmethod
    def check(self, data: Data, config: TrainConfig) -> tuple[Data, list[str]]:
        """Return the data without images that cannot be used, and notes about it for the user.

        A note is a line whose first word, padded to seven characters, is its title.
        """

    # Training

    def prepare(self, config: Any, say: Callable[[str], None]) -> None:
        """Write what training needs besides the data. It is called once, before any process.

        Args:
            config: The settings.
            say: Called with each message for the user.
        """
        return None

    def epoch_limits(self, config: Any, data: Data, is_pretrained: bool) -> tuple[int, int]:
        """Return the least and the most epochs that `--epochs auto` stands for."""
        return (15, 15) if is_pretrained else (50, 200)

    def resolve(self, config: Any, data: Data) -> Any:
        """Return the settings with every `auto` that is the task's own filled in."""
        return config

    @abstractmethod
    def build(self, config: Any, data: Data, is_new: bool = True) -> tuple[nn.Module, Any]:
        """Return the model, and the settings with its input size.

        Args:
            config: The settings.
            data: The images to train on.
            is_new: Whether the weights matter; those of a resumed run come from its checkpoint.
        """

    @abstractmethod
    def transform(self, config: Any, model: nn.Module, train: bool) -> Transform:
        """Return the transform of image and target, for training or for evaluation.

        Args:
            config: The settings of training; None outside of it.
            model: Brings its preprocessing.
            train: Whether to augment.
        """

    def collate(self, samples: list[Sample]) -> tuple[Any, Any]:
        """Return a batch (inputs, targets) of samples; `len` of the inputs is their number."""
        inputs, targets = default_collate(samples)
        return inputs, targets

    @abstractmethod
    def module(self, model: nn.Module, config: Any, data: Data) -> TrainModule:
        """Return the model with its loss and metrics."""

    def describe_input(self, config: Any) -> str:
        """Return the size of the model's input in words."""
        return f"{config.input_size} x {config.input_size} pixels"

    def loaders(
        self, config: Any, data: Data, model: nn.Module
    ) -> tuple[DataLoader[Any], DataLoader[Any]]:
        """Return the batches of this rank to train on, and to validate on."""
        trainer = config.trainer
        train, val = data.split("train"), data.split("val")
        workers = choose_num_workers(train, config.workers, int(trainer.devices))
        partition = Partition(rank(), trainer.world_size, trainer.accumulate)
        size = int(config.batch_size)
        transform = self.transform(config, model, train=True)
        eval_transform = self.transform(config, model, train=False)
        return (
            loaders.build_train_loader(
                train, transform, size, config.seed, workers, partition, collate=self.collate
            ),
            loaders.build_eval_loader(
                val,
                eval_transform,
                size // trainer.parts_per_batch,
                workers,
                partition,
                collate=self.collate,
            ),
        )

    def combine_folds(self, folds: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the monitored metric over all folds: its mean over the images."""
        metric = self.monitor.metric
        images = sum(one["images"] for one in folds)
        return {metric: sum(one[metric] * one["images"] for one in folds) / images}

    def save(self, model: nn.Module, run: Path) -> None:
        """Write the weights, and what is needed to load them, into a run folder."""
        model_io.save_model(model, run)

    def load(self, name: str) -> nn.Module:
        """Return the model of a run folder, a repository, or a name with published weights."""
        return model_io.load_model(name)

    # Evaluation

    def match(self, data: Data, model: nn.Module, name: str) -> Data:
        """Return the data with targets as the model counts them."""
        return data

    @abstractmethod
    def evaluator(self, model: nn.Module, options: Any) -> TrainModule:
        """Return the model with the metrics of `evaluate`."""

    def results(self, module: Any, data: Data, num_images: int, options: Any) -> dict[str, Any]:
        """Return the metrics of an evaluation, ready for JSON."""
        return {name: float(value) for name, value in module.metrics.compute().items()}

    def format_result(self, result: dict[str, Any], options: Any) -> list[tuple[str, str]]:
        """Return the lines (title, text) of an evaluation."""
        name = self.monitor.metric.removeprefix("val_")
        return [(name, self.monitor.format(result[name]))]

    def format_comparison(self, results: Sequence[dict[str, Any]], options: Any) -> Table:
        """Return a table with a row per model."""
        name = self.monitor.metric.removeprefix("val_")
        rows = [[one["model"], self.monitor.format(one[name])] for one in results]
        return [["model", name], *rows]

    def format_details(self, results: Sequence[dict[str, Any]], options: Any) -> Table | None:
        """Return a table below the results; None for none."""
        return None

    # Prediction

    @abstractmethod
    def predictor(self, model: nn.Module, options: Any) -> nn.Module:
        """Return a module from (B, 3, H, W) images to what `rows` takes."""

    @abstractmethod
    def columns(self, options: Any) -> list[str]:
        """Return the names of the cells of a row.

        Cells of `probability...` (shown in per cent) and `score...` are numbers, all others text.
        """

    @abstractmethod
    def rows(self, model: nn.Module, outputs: Any, options: Any) -> list[Row]:
        """Return a row for each image of a batch."""

    def file_writer(self, model: nn.Module, options: Any) -> FileWriter | None:
        """Return what writes the files of an image, such as a mask; None for none."""
        return None

    def draw(self, model: nn.Module, image: Image.Image, prediction: Any) -> Image.Image | None:
        """Return an image with what the model finds in it; None for tasks without a drawing.

        Args:
            model: The model.
            image: As it was predicted.
            prediction: `Row.prediction`.
        """
        return None

    def write_json(self, records: Callable[[], Iterable[dict[str, Any]]], model: nn.Module,
                   file: TextIO) -> None:  # fmt: skip
        """Write the predictions for all images as JSON; by default a list of their records.

        Args:
            records: Returns the records of `rows`, with the image's name, as often as it is called.
            model: The model.
            file: Where to write.
        """
        write_json_list(records(), file)

    def label(self, data: Data, images: Images | Stream, index: int) -> str | None:
        """Return the annotation of an image as text; None leaves its cell empty."""
        return None

    def check_predict(self, model: nn.Module, options: Any) -> None:
        """Raise `UserError` for options that do not suit the model."""
        return None

    def prediction_note(self, name: str) -> str | None:
        """Return a line for the user about the predictions of a model; None for none."""
        return None

    # Export

    def deployable(
        self, model: nn.Module, size: tuple[int, int] | None, output: Output
    ) -> Deployable:
        """Return a model with what a program needs to use it.

        Args:
            model: Of this task.
            size: (H, W) of the input; None: the model's own.
            output: What the exported file returns.

        Raises:
            UserError: The model cannot be exported, or has no such output.
        """
        raise UserError(f"models for {self.name} cannot be exported.")

    # Report

    def findings(self, run: Path, data: Data) -> Findings:
        """Return the task's part of report.html, and write the files beside it that it names."""
        return Findings(title=run.name)
