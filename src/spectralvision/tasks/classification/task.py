"""The task of image classification: what the files beside this one add to the contract."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from spectralvision.data.images import Images, Stream
from spectralvision.data.loaders import build_eval_loader, build_train_loader
from spectralvision.data.samplers import Partition
from spectralvision.data.splits import Data
from spectralvision.data.thresholds import is_imbalanced
from spectralvision.data.transforms import (
    ImageTransform,
    build_eval_transform,
    build_train_transform,
)
from spectralvision.data.workers import choose_num_workers
from spectralvision.engine.model_io import data_config
from spectralvision.engine.processes import rank
from spectralvision.engine.starting_weights import is_bundled
from spectralvision.engine.train_module import Monitor, TrainModule
from spectralvision.export.deployment import Deployable, Output
from spectralvision.report import Findings
from spectralvision.sharing.model_card import CLASSIFIER
from spectralvision.tasks.base import Row, Table, Task, Transform
from spectralvision.tasks.classification import deploy, evaluate, predict
from spectralvision.tasks.classification.class_tables import write_class_tables
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.classification.data import (
    check_data,
    compute_class_weights,
    count_train_images,
)
from spectralvision.tasks.classification.distillation import (
    CachedDistillingClassifier,
    DistillingClassifier,
    load_teacher,
)
from spectralvision.tasks.classification.model import build_model, match_classes
from spectralvision.tasks.classification.module import Classifier
from spectralvision.tasks.classification.options import EvaluateOptions, PredictOptions
from spectralvision.tasks.classification.report import build_findings
from spectralvision.tasks.classification.report_data import collect_report_data
from spectralvision.tasks.classification.statistics import wilson_interval
from spectralvision.tasks.classification.teacher_cache import write_teacher_cache
from spectralvision.tasks.classification.token_labels.label_map_data import find_label_maps
from spectralvision.tasks.classification.token_labels.module import TokenLabelClassifier
from spectralvision.tasks.classification.token_labels.targets import TokenLabelTransform

EPOCHS_FROM_SCRATCH = (50, 200)
EPOCHS_OF_DIGITS = (15, 15)


class ClassificationTask(Task):
    """Classify images into the classes of a data set."""

    name = "classification"
    is_classifier = True
    config = ClassificationConfig
    evaluate_options = EvaluateOptions
    predict_options = PredictOptions
    card = CLASSIFIER
    small_network = 8_000_000  # benchmarks/results/transfer.json
    monitor = Monitor("val_top1", "max", tie="val_loss", title="val top-1")

    def check(self, data: Data, config: Any) -> tuple[Data, list[str]]:
        return check_data(data, config)

    def prepare(self, config: Any, say: Callable[[str], None]) -> None:
        if config.distillation.teacher_cache is not None:
            write_teacher_cache(config, say)

    def epoch_limits(self, config: Any, data: Data, is_pretrained: bool) -> tuple[int, int]:
        if not data.photographs:
            return EPOCHS_OF_DIGITS
        return config.PRETRAINED_EPOCHS if is_pretrained else EPOCHS_FROM_SCRATCH

    def resolve(self, config: Any, data: Data) -> Any:
        loss = config.loss
        if loss.class_weights == "auto":
            exponent = 1.0 if is_imbalanced(count_train_images(data)) else 0.0
            loss = replace(loss, class_weights=exponent)
        return replace(config, loss=loss, augmentation=config.augmentation.resolve(data))

    def build(self, config: Any, data: Data, is_new: bool = True) -> tuple[nn.Module, Any]:
        return build_model(config, data, is_new)

    def transform(self, config: Any, model: nn.Module, train: bool) -> Transform:
        preprocessing = data_config(model)
        if not train:
            return ImageTransform(build_eval_transform(preprocessing))
        return self._train_transform(config, preprocessing, config.label_maps is not None)

    def _train_transform(
        self, config: Any, preprocessing: dict[str, Any], has_label_maps: bool
    ) -> Transform:
        if has_label_maps:
            return TokenLabelTransform(config.augmentation, preprocessing)
        return ImageTransform(build_train_transform(config.augmentation, preprocessing))

    def loaders(
        self, config: Any, data: Data, model: nn.Module
    ) -> tuple[DataLoader[Any], DataLoader[Any]]:
        """Return the batches to train on, with repeats and several sizes, and to validate on."""
        trainer, augmentation = config.trainer, config.augmentation
        train, val = data.split("train"), data.split("val")
        workers = choose_num_workers(train, config.workers, int(trainer.devices))
        partition = Partition(rank(), trainer.world_size, trainer.accumulate)
        preprocessing = data_config(model)
        has_label_maps = find_label_maps(data) is not None
        size_range = augmentation.size_range(int(config.input_size))
        train_loader = build_train_loader(
            train,
            self._train_transform(config, preprocessing, has_label_maps),
            config.batch_size,
            config.seed,
            workers,
            partition,
            repeats=augmentation.repeats,
            size_range=size_range,
            sized_transforms={
                size: self._train_transform(
                    config, preprocessing | {"input_size": (3, size, size)}, has_label_maps
                )
                for size in (size_range.sizes() if size_range else [])
            },
        )
        val_loader = build_eval_loader(
            val,
            self.transform(config, model, train=False),
            config.batch_size // trainer.parts_per_batch,
            workers,
            partition,
        )
        return train_loader, val_loader

    def module(self, model: nn.Module, config: Any, data: Data) -> TrainModule:
        weights = compute_class_weights(config.loss.class_weights, count_train_images(data))
        arguments = (model, config.loss, config.seed, weights)
        maps, distillation = find_label_maps(data), config.distillation
        if maps is not None and distillation.teacher_cache is not None:
            return CachedDistillingClassifier(
                *arguments, distillation=distillation, logits=maps.logits
            )
        if maps is not None:
            return TokenLabelClassifier(*arguments, logits=maps.logits)
        teacher = load_teacher(distillation, data, model)
        if teacher is not None:
            return DistillingClassifier(*arguments, teacher=teacher, distillation=distillation)
        return Classifier(*arguments)

    def combine_folds(self, folds: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return top-1 over the images of all folds, with its 95 % interval."""
        images = sum(one["images"] for one in folds)
        correct = sum(round(one["val_top1"] * one["images"]) for one in folds)
        interval = wilson_interval(correct, images)
        return {"val_top1": correct / images, "val_top1_interval": interval}

    # Evaluation

    def match(self, data: Data, model: nn.Module, name: str) -> Data:
        return match_classes(data, model, name)

    def evaluator(self, model: nn.Module, options: EvaluateOptions) -> TrainModule:
        return evaluate.CalibratedClassifier(model)

    def results(
        self, module: Any, data: Data, num_images: int, options: EvaluateOptions
    ) -> dict[str, Any]:
        return evaluate.collect_results(module, data, num_images, options.per_class)

    def format_result(
        self, result: dict[str, Any], options: EvaluateOptions
    ) -> list[tuple[str, str]]:
        return evaluate.format_result(result)

    def format_comparison(
        self, results: Sequence[dict[str, Any]], options: EvaluateOptions
    ) -> Table:
        return evaluate.format_comparison(results)

    def format_details(
        self, results: Sequence[dict[str, Any]], options: EvaluateOptions
    ) -> Table | None:
        return evaluate.format_classes(results) if options.per_class else None

    # Prediction

    def check_predict(self, model: nn.Module, options: PredictOptions) -> None:
        predict.check_top_k(model, options.top_k)

    def predictor(self, model: nn.Module, options: PredictOptions) -> nn.Module:
        return predict.ClassPredictor(model, options.flip)

    def columns(self, options: PredictOptions) -> list[str]:
        return predict.column_names(options)

    def rows(self, model: nn.Module, outputs: Any, options: PredictOptions) -> list[Row]:
        return predict.build_rows(model, outputs, options)

    def label(self, data: Data, images: Images | Stream, index: int) -> str | None:
        return data.classes[int(images.labels[index])] if isinstance(images, Images) else None

    def prediction_note(self, name: str) -> str | None:
        if not is_bundled(name):
            return None
        return (
            f"{name} is a small bundled model that knows {predict.list_classes(name)}; see --model"
        )

    # Export

    def deployable(self, model: Any, size: tuple[int, int] | None, output: Output) -> Deployable:
        return deploy.build_deployable(model, size, output)

    # Report

    def findings(self, run: Path, data: Data) -> Findings:
        found = collect_report_data(run, data)
        write_class_tables(run, found.results, found.classes, found.train_counts)
        return build_findings(found)
