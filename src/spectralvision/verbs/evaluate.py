"""`spectralvision evaluate`."""

import dataclasses
import math
import sys
from typing import Any

from spectralvision.runs import UserError, refuse_outside, require_extra
from spectralvision.verbs import BatchSize, Device, Json, Precision, Verb, Workers, engine, print_table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(Verb):
    """How good models are on held-out images: top-1 with its 95 % interval, top-5, calibration error, speed."""

    model: tuple[str, ...]
    """Run folders, hf_hub:OWNER/NAME, or models' names for their published weights; several are shown side by side."""
    data: str
    """digits, a folder of images, parquet shards, or a timm reader such as torch/cifar10."""
    data_dir: str | None = None
    """Where a timm reader finds its files."""
    num_classes: int | None = None
    """Number of classes, for streamed readers that do not say it."""
    split: str | None = None
    """Which images; default test, else val, else all."""
    per_class: bool = False
    """Also tell, of each class, how many of its images are recognised and how many answers naming it are right."""
    batch_size: BatchSize = 64
    workers: Workers = "auto"
    devices: int = 1
    """Processes, one a device, that share the images of one model; each image is judged once."""
    device: Device = "auto"
    precision: Precision = "auto"
    json: Json = False

    def run(self) -> dict[str, Any]:
        """The figures of one model, or those of several under "evaluations"."""
        if not self.model:
            raise UserError("evaluate needs a run folder, or a model's name, after --model.")
        refuse_outside({"devices": self.devices}, {"devices": (1, math.inf)})
        if self.devices > 1 and len(self.model) > 1:
            raise UserError("--devices is for one model at a time: name one after --model.")
        require_extra("train", "lightning", "torchmetrics", "rich", "scipy")
        from spectralvision.data.opening import open_data
        from spectralvision.tasks import inference
        from spectralvision.tasks.loading import find_model

        for name in self.model:
            find_model(name)  # a wrong name is told before the first model has run
        data = open_data(self.data, self.data_dir, self.num_classes)
        results = [inference.evaluate(name, data, self.split, engine(self), self.per_class) for name in self.model]
        return results[0] if len(results) == 1 else {"evaluations": results}

    def show(self, result: dict[str, Any]) -> None:
        """One figure a line, or a table with one model a line; then the classes."""
        results = result.get("evaluations", [result])
        if len(results) == 1:
            _show_one(result)
        else:
            print_table([_HEAD, *(_line(one) for one in results)])
        if self.per_class:
            print()
            print_table(_by_class(results))

    def conclude(self, result: dict[str, Any]) -> int:
        """Says so where models were not judged on the same images, or on images that they know."""
        for one in result.get("evaluations", [result]):
            if one["seen_in_training"]:
                print(f"{one['model']}: {KNOWN[one['seen_in_training']]}", file=sys.stderr)
        if len({one["images_id"] for one in result.get("evaluations", [])}) > 1:
            print("these models were judged on different images: their figures do not compare", file=sys.stderr)
        return 0


KNOWN = {
    "train": "was trained on these very images, so these figures say nothing of new ones",
    "val": "its best epoch was chosen by these images, so these figures are a little too good",
}
_HEAD = ["model", "top-1", "95 % interval", "top-5", "calibration error", "images", "images/s"]


def _interval(result: dict[str, Any]) -> str:
    low, high = result["top1_interval"]
    return f"{low:.1%} to {high:.1%}"


def _line(result: dict[str, Any]) -> list[str]:
    top5 = "-" if result["top5"] is None else f"{result['top5']:.2%}"
    images = f"{result['images']} ({result['split']})"
    speed = f"{result['images_per_second']:.0f}"
    error = f"{result['calibration_error']:.2%}"
    return [result["model"], f"{result['top1']:.2%}", _interval(result), top5, error, images, speed]


def _show_one(result: dict[str, Any]) -> None:
    top5 = "says nothing with 5 classes or fewer" if result["top5"] is None else f"{result['top5']:.2%}"
    print(f"top-1   {result['top1']:.2%} (95 % interval {_interval(result)})\ntop-5   {top5}")
    print(f"calib.  {result['calibration_error']:.2%} expected calibration error: how far its probabilities can be off")
    print(f"images  {result['images']} ({result['data']}, {result['split']})")
    print(f"speed   {result['images_per_second']:.0f} images/s")


def _by_class(results: list[dict[str, Any]]) -> list[list[str]]:
    """Head and rows: what of each class is recognised, and how often the answer is right, model by model."""
    figures = ["recognised", "answer right"]
    if len(results) == 1:
        head = ["class", "images", *figures]
    else:
        head = ["class", "images", *(f"{one['model']}: {figure}" for one in results for figure in figures)]
    tables = [{row["class"]: row for row in one["per_class"]} for one in results]
    rows = [head]
    for name, first in tables[0].items():
        cells = [_percent(table.get(name, {}).get(key)) for table in tables for key in ("recall", "precision")]
        rows.append([name, str(first["images"]), *cells])
    return rows


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
