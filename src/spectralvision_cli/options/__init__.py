"""The options of every verb, one file each. `VERBS` is the only list of verbs."""

from spectralvision_cli.options.analyze import AnalyzeOptions
from spectralvision_cli.options.benchmark import BenchmarkOptions
from spectralvision_cli.options.common import VerbOptions
from spectralvision_cli.options.compare import CompareOptions
from spectralvision_cli.options.convert import ConvertOptions
from spectralvision_cli.options.demo import DemoOptions
from spectralvision_cli.options.evaluate import EvaluateOptions
from spectralvision_cli.options.export import ExportOptions
from spectralvision_cli.options.models import ModelsOptions
from spectralvision_cli.options.predict import PredictOptions
from spectralvision_cli.options.push import PushOptions
from spectralvision_cli.options.token_labels import TokenLabelsOptions
from spectralvision_cli.options.train import TrainOptions

VERBS: dict[str, type[VerbOptions]] = {
    "models": ModelsOptions,
    "train": TrainOptions,
    "evaluate": EvaluateOptions,
    "predict": PredictOptions,
    "convert": ConvertOptions,
    "export": ExportOptions,
    "benchmark": BenchmarkOptions,
    "analyze": AnalyzeOptions,
    "compare": CompareOptions,
    "demo": DemoOptions,
    "token-labels": TokenLabelsOptions,
    "push": PushOptions,
}
