"""The task of detection: what the files beside this one add to the contract."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from PIL import Image
from torch import nn

from spectralvision.data import loaders
from spectralvision.data.images import Images, Stream
from spectralvision.data.open_objects import open_objects
from spectralvision.data.shard_columns import Columns
from spectralvision.data.splits import Data
from spectralvision.engine.model_io import data_config, label_titles
from spectralvision.engine.train_module import Monitor, TrainModule
from spectralvision.export.deployment import Deployable, Output
from spectralvision.report import Findings
from spectralvision.runs import UserError, require_extra
from spectralvision.sharing.model_card import CardKind
from spectralvision.tasks.base import (
    FileWriter,
    Row,
    Sample,
    Table,
    Task,
    Transform,
    require_no_reader,
)
from spectralvision.tasks.detection import deploy, evaluate, predict
from spectralvision.tasks.detection.config import DetectionConfig
from spectralvision.tasks.detection.data import (
    check_data,
    describe_target,
    find_scale,
    match_classes,
)
from spectralvision.tasks.detection.draw import draw_objects
from spectralvision.tasks.detection.model import build_model, load_model, save_model
from spectralvision.tasks.detection.module import DetectionModule
from spectralvision.tasks.detection.options import EvaluateOptions, PredictOptions
from spectralvision.tasks.detection.report import build_findings
from spectralvision.tasks.detection.transforms import EvalTransform, TrainTransform

EPOCHS_FROM_SCRATCH = (50, 150)
EPOCHS_PRETRAINED = (12, 50)


class DetectionTask(Task):
    """Find the objects of some classes in images."""

    name = "detection"
    config = DetectionConfig
    evaluate_options = EvaluateOptions
    predict_options = PredictOptions
    monitor = Monitor("val_map", "max", title="val AP")
    card = CardKind(
        pipeline_tag="object-detection",
        verb="Detects",
        metric="val_map",
        metric_title="box AP",
        metric_type="mAP",
    )
    file_columns = ("boxes",)
    batch_limits = (4, 16)
    inference_batch = 8
    small_model = "`spectralvision train detection --detector ssdlite`"

    # Data

    def open(
        self,
        spec: str,
        data_dir: str | None = None,
        num_classes: int | None = None,
        columns: Columns | None = None,
    ) -> Data:
        require_extra("dense", "faster_coco_eval")
        require_no_reader(data_dir, num_classes)
        if columns is not None and columns.is_given():
            raise UserError(
                f"annotations of objects have no columns: remove {columns.options()[0]}."
            )
        return open_objects(spec)

    def check(self, data: Data, config: Any) -> tuple[Data, list[str]]:
        return check_data(data, config)

    # Training

    def epoch_limits(self, config: Any, data: Data, is_pretrained: bool) -> tuple[int, int]:
        return EPOCHS_PRETRAINED if is_pretrained else EPOCHS_FROM_SCRATCH

    def resolve(self, config: Any, data: Data) -> Any:
        return replace(config, augmentation=config.augmentation.resolve(data))

    def build(self, config: Any, data: Data, is_new: bool = True) -> tuple[nn.Module, Any]:
        return build_model(config, data, is_new)

    def transform(self, config: Any, model: Any, train: bool) -> Transform:
        preprocessing = data_config(model)
        if not train:
            return EvalTransform(model.settings, preprocessing)
        return TrainTransform(model.settings, preprocessing, config.augmentation, model.has_masks)

    def collate(self, samples: list[Sample]) -> tuple[Any, Any]:
        """Return a batch as two lists: images have different sizes."""
        return loaders.collate_lists(samples)

    def module(self, model: Any, config: Any, data: Data) -> TrainModule:
        return DetectionModule(model, config.seed, scale=find_scale(data.split("train")))

    def describe_input(self, config: Any) -> str:
        if config.is_square:
            return f"{config.input_size} x {config.input_size} pixels"
        return f"shorter side {config.input_size}, longer at most {config.max_size} pixels"

    def save(self, model: Any, run: Path) -> None:
        save_model(model, run)

    def load(self, name: str) -> nn.Module:
        return load_model(name)

    # Evaluation

    def match(self, data: Data, model: Any, name: str) -> Data:
        return match_classes(data, model, name)

    def evaluator(self, model: Any, options: EvaluateOptions) -> TrainModule:
        options.check()
        return DetectionModule(model, max_dets=options.max_dets)

    def results(
        self, module: Any, data: Data, num_images: int, options: EvaluateOptions
    ) -> dict[str, Any]:
        return evaluate.collect_results(module, options.per_class)

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

    def check_predict(self, model: Any, options: PredictOptions) -> None:
        predict.check_options(model, options)

    def predictor(self, model: Any, options: PredictOptions) -> nn.Module:
        return predict.ObjectPredictor(model, options.min_score)

    def columns(self, options: PredictOptions) -> list[str]:
        return [*predict.COLUMNS, *self.file_columns]

    def rows(self, model: Any, outputs: Any, options: PredictOptions) -> list[Row]:
        return predict.build_rows(model, outputs)

    def draw(self, model: nn.Module, image: Image.Image, prediction: Any) -> Image.Image | None:
        return draw_objects(image, prediction, label_titles(model))

    def file_writer(self, model: Any, options: PredictOptions) -> FileWriter | None:
        return predict.file_writer(model, options)

    def write_json(
        self, records: Callable[[], Iterable[dict[str, Any]]], model: Any, file: TextIO
    ) -> None:
        predict.write_coco(records, model, file)

    def label(self, data: Data, images: Images | Stream, index: int) -> str | None:
        assert isinstance(images, Images)  # no reader of objects is a stream
        return describe_target(images.target(index), data.classes)

    # Export

    def deployable(self, model: Any, size: tuple[int, int] | None, output: Output) -> Deployable:
        return deploy.build_deployable(model, size, output)

    # Report

    def findings(self, run: Path, data: Data) -> Findings:
        return build_findings(run, data)
