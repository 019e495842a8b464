"""`spectralvision predict`."""

import dataclasses
import sys
from typing import Any

import tyro

from spectralvision.runs import UserError, require_extra
from spectralvision.verbs import BatchSize, Device, Json, Precision, Verb, Workers, engine, print_csv, print_table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict(Verb):
    """Classify image files, or some images of a data set. Exit code 1: some of the images could not be read."""

    paths: tyro.conf.Positional[tuple[str, ...]] = ()
    """Image files, folders of them, patterns such as 'photos/*.jpg', or - for standard input: paths, or an image."""
    model: str | None = None
    """A run folder, or a model's name for its published weights."""
    data: str | None = None
    """Take images from this data set instead, and show their true label beside."""
    data_dir: str | None = None
    """Where a timm reader finds its files."""
    split: str | None = None
    """Which images of the data set; default test, else val, else all."""
    num_images: int = 8
    """How many images of the data set."""
    top_k: int = 1
    """Classes to name for each image."""
    flip: bool = False
    """Average the probabilities of each image and of its mirror image."""
    batch_size: BatchSize = 64
    workers: Workers = "auto"
    device: Device = "auto"
    precision: Precision = "auto"
    csv: bool = False
    """Print comma-separated values instead of a table."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        """The answers, the files that could not be read, and the speed."""
        if self.model is None:
            raise UserError("predict needs --model: a run folder that `spectralvision train` wrote, or a model's name.")
        if bool(self.paths) == bool(self.data):
            raise UserError("predict takes either image files and folders, or --data.")
        if self.csv and self.json:
            raise UserError("predict prints either --csv or --json.")
        require_extra("train", "lightning", "torchmetrics", "rich")
        from spectralvision.data.named import named_images
        from spectralvision.tasks import prediction

        truth = None
        if self.data:
            data, images = prediction.some_images(self.model, self.data, self.data_dir, self.split, self.num_images)
            truth = data.classes
        else:
            images = named_images(self.paths)
        return {
            "model": self.model,
            **prediction.predict(self.model, images, truth, self.top_k, self.flip, engine(self)),
        }

    def show(self, result: dict[str, Any]) -> None:
        """One image a line."""
        answers = result["predictions"]
        truth = ["label"] if "label" in answers[0] else []
        rows: list[list[Any]] = [["image", *truth, *self._columns()]]
        for answer in answers:
            pairs = [(one["class"], one["probability"]) for one in answer["classes"]]
            cells = [cell for name, value in pairs for cell in (name, value if self.csv else f"{value:.1%}")]
            rows.append([answer["image"], *([answer["label"]] if truth else []), *cells])
        print_csv(rows) if self.csv else print_table(rows)

    def conclude(self, result: dict[str, Any]) -> int:
        """The speed, and the files that could not be read."""
        sys.stdout.flush()
        number, unreadable = len(result["predictions"]), result["unreadable"]
        if number > 1:
            print(f"{number} images, {result['images_per_second']:.0f} images/s", file=sys.stderr)
        if unreadable:
            print(f"{len(unreadable)} of {number + len(unreadable)} could not be read:", file=sys.stderr)
            for one in unreadable:
                print(f"  {one['reason']}", file=sys.stderr)
        return 1 if unreadable else 0

    def _columns(self) -> list[str]:
        ranks = range(1, self.top_k + 1)
        if self.csv:
            pairs = [("prediction", "probability"), *((f"prediction_{n}", f"probability_{n}") for n in ranks[1:])]
        else:
            pairs = [("prediction", "prob."), *((f"#{n}", "prob.") for n in ranks[1:])]
        return [name for pair in pairs for name in pair]
