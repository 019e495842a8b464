"""The task of semantic segmentation: what the files beside this one add to the contract."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor, nn

from spectralvision.data import loaders
from spectralvision.data.images import Images, Stream
from spectralvision.data.open_masks import open_masks
from spectralvision.data.shard_columns import Columns
from spectralvision.data.splits import Data
from spectralvision.engine.model_io import data_config, label_titles
from spectralvision.engine.train_module import Monitor, TrainModule
from spectralvision.export.deployment import Deployable, Output
from spectralvision.report import Findings
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
from spectralvision.tasks.segmentation import deploy, evaluate, predict
from spectralvision.tasks.segmentation.config import SegmentationConfig
from spectralvision.tasks.segmentation.data import (
    check_data,
    compute_class_weights,
    match_classes,
)
from spectralvision.tasks.segmentation.drawing import draw_prediction
from spectralvision.tasks.segmentation.model import build_model, load_model, save_model
from spectralvision.tasks.segmentation.module import SegmentationModule
from spectralvision.tasks.segmentation.options import EvaluateOptions, PredictOptions
from spectralvision.tasks.segmentation.report import build_findings
from spectralvision.tasks.segmentation.transforms import EvalTransform, TrainTransform


class SegmentationTask(Task):
    """Predict the class of each pixel."""

    name = "segmentation"
    config = SegmentationConfig
    evaluate_options = EvaluateOptions
    predict_options = PredictOptions
    monitor = Monitor("val_miou", "max", tie="val_loss", title="val mIoU")
    card = CardKind(
        pipeline_tag="image-segmentation",
        verb="Segments",
        metric="val_miou",
        metric_title="mean IoU",
        metric_type="mean_iou",
    )
    batch_limits = (4, 16)
    inference_batch = 8
    smallest_sizes = (128, 128)
    small_model = "--model mobilenetv3_small_100 --pretrained published"

    def open(
        self,
        spec: str,
        data_dir: str | None = None,
        num_classes: int | None = None,
        columns: Columns | None = None,
    ) -> Data:
        require_no_reader(data_dir, num_classes)
        return open_masks(spec, columns)

    def check(self, data: Data, config: Any) -> tuple[Data, list[str]]:
        return check_data(data)

    def build(self, config: Any, data: Data, is_new: bool = True) -> tuple[nn.Module, Any]:
        return build_model(config, data, is_new)

    def transform(self, config: Any, model: Any, train: bool) -> Transform:
        preprocessing, short_side = data_config(model), model.settings["short_side"]
        if not train:
            return EvalTransform(short_side, preprocessing)
        return TrainTransform(config.augmentation, config.input_size, short_side, preprocessing)

    def collate(self, samples: list[Sample]) -> tuple[Any, Any]:
        """Return stacked crops for training; for evaluation lists, as images have many sizes."""
        if isinstance(samples[0][0], Tensor):
            return super().collate(samples)
        return loaders.collate_lists(samples)

    def module(self, model: Any, config: Any, data: Data) -> TrainModule:
        weights = compute_class_weights(config.loss.class_weights, data)
        return SegmentationModule(model, config.loss, config.seed, weights)

    def save(self, model: Any, run: Path) -> None:
        save_model(model, run)

    def load(self, name: str) -> nn.Module:
        return load_model(name)

    # Evaluation

    def match(self, data: Data, model: nn.Module, name: str) -> Data:
        return match_classes(data, label_titles(model), name)

    def evaluator(self, model: Any, options: EvaluateOptions) -> TrainModule:
        options.check()
        return SegmentationModule(model, views=options)

    def results(
        self, module: Any, data: Data, num_images: int, options: EvaluateOptions
    ) -> dict[str, Any]:
        return evaluate.collect_results(module, data, options.per_class)

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
        options.check()

    def predictor(self, model: nn.Module, options: PredictOptions) -> nn.Module:
        return predict.MapPredictor(model, options)

    def columns(self, options: PredictOptions) -> list[str]:
        return list(predict.COLUMNS)

    def rows(self, model: nn.Module, outputs: Any, options: PredictOptions) -> list[Row]:
        return predict.build_rows(model, outputs)

    def label(self, data: Data, images: Images | Stream, index: int) -> str | None:
        assert isinstance(images, Images)  # no reader of masks is a stream
        classes = images.target(index).classes
        return predict.describe_fractions(predict.find_fractions(classes, data.classes))

    def draw(self, model: nn.Module, image: Image.Image, prediction: Any) -> Image.Image | None:
        return draw_prediction(image, prediction, label_titles(model))

    def file_writer(self, model: Any, options: PredictOptions) -> FileWriter | None:
        return predict.file_writer(model, options)

    # Export

    def deployable(self, model: Any, size: tuple[int, int] | None, output: Output) -> Deployable:
        return deploy.build_deployable(model, size, output)

    # Report

    def findings(self, run: Path, data: Data) -> Findings:
        return build_findings(run, data)
