"""`spectralvision predict`."""

import dataclasses
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from spectralvision.runs import UserError, require_extra
from spectralvision.verbs import BatchSize, Device, Json, Precision, Verb, Workers, engine, print_csv, print_table

SHIPPED = "affnet_et.cifar10"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict(Verb):
    """Classify image files, or some images of a data set. Exit code 1: some of the images could not be read.

    With --out any number of images, into a file, in constant memory. The same command goes on after a kill.
    """

    paths: tyro.conf.Positional[tuple[str, ...]] = ()
    """Image files, folders of them, patterns such as 'photos/*.jpg', or - for standard input: paths, or an image."""
    model: str = SHIPPED
    """A run folder, hf_hub:OWNER/NAME, or a model's name for its published weights. The one in the package tells
    apart airplane, automobile, bird, cat, deer, dog, frog, horse, ship and truck."""
    data: str | None = None
    """Take images from this data set instead, and show their true label beside."""
    data_dir: str | None = None
    """Where a timm reader finds its files."""
    split: str | None = None
    """Which images of the data set; default test, else val, else all."""
    num_images: int | None = None
    """How many images of the data set; default 8, with --out all."""
    top_k: int = 1
    """Classes to name for each image."""
    flip: bool = False
    """Average the probabilities of each image and of its mirror image."""
    batch_size: BatchSize = 64
    workers: Workers = "auto"
    device: Device = "auto"
    precision: Precision = "auto"
    out: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the answers into this file, .csv or .parquet, instead of printing them."""
    shard: Annotated[str, tyro.conf.arg(metavar="K/N")] = "1/1"
    """Do the K-th of N shares only, for N processes with the same --out; the one that ends last writes the file."""
    csv: bool = False
    """Print comma-separated values instead of a table."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        """The answers, the files that could not be read, and the speed."""
        if bool(self.paths) == bool(self.data):
            raise UserError("predict takes either image files and folders, or --data.")
        shard = self._shard()
        require_extra("train", "lightning", "torchmetrics", "rich")
        from spectralvision.data.named import named_images
        from spectralvision.tasks import prediction

        if self.out and shard == (1, 1):  # before reading a long list
            from spectralvision.tasks.parts import refuse_out

            refuse_out(Path(self.out).expanduser())
        truth = None
        if self.data:
            number = 8 if self.num_images is None and not self.out else self.num_images
            data, images = prediction.some_images(self.model, self.data, self.data_dir, self.split, number)
            truth = data.classes
        else:
            images = named_images(self.paths)
        predictor = prediction.Predictor(self.model, self.top_k, self.flip, engine(self))
        if not self.out:
            return {"model": self.model, **prediction.predict(predictor, images, truth)}
        from spectralvision.tasks.bulk import predict_into

        out = Path(self.out).expanduser()
        return {"model": self.model, **predict_into(predictor, images, out, truth, shard, _say)}

    def _shard(self) -> tuple[int, int]:
        """(k, n) of --shard; refuses what does not go together."""
        if self.csv and self.json:
            raise UserError("predict prints either --csv or --json.")
        if self.csv and self.out:
            raise UserError("predict prints --csv or writes --out: a file that ends in .csv holds the same.")
        if not self.out and self.shard != "1/1":
            raise UserError("--shard goes with --out: the shares of several processes meet in that file.")
        match = re.fullmatch(r"(\d+)/(\d+)", self.shard)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UserError(f"--shard {self.shard} should be K/N, such as 2/8: the second of eight shares.")
        return int(match[1]), int(match[2])

    def show(self, result: dict[str, Any]) -> None:
        """One image a line; with --out, what was written."""
        if self.out:
            self._show_out(result)
            return
        from spectralvision.tasks.prediction import cells, columns

        answers = result["predictions"]
        head = columns(self.top_k, "label" in answers[0])
        if self.csv:
            print_csv([head, *map(cells, answers)])
            return
        short = [re.sub(r"prediction_", "#", re.sub(r"probability.*", "prob.", name)) for name in head]
        print_table([short, *([_percent(cell) for cell in cells(answer)] for answer in answers)])

    def _show_out(self, result: dict[str, Any]) -> None:
        if self.shard != "1/1" and not result["images"] + result["num_unreadable"]:
            print(f"share    {self.shard}: no images fall to it, as there are few")
        elif result["finished"]:
            print(f"wrote    {result['out']}: {result['images']} images")
        elif result["parts_missing"]:
            print(f"share    {self.shard}: {result['images']} images; {result['parts_missing']} parts of other shares")
            print(f"         are missing yet: the process that ends last writes {result['out']}")
        else:
            print(f"share    {self.shard}: {result['images']} images; another process is writing {result['out']}")

    def conclude(self, result: dict[str, Any]) -> int:
        """The speed, and the files that could not be read."""
        sys.stdout.flush()
        if self.model == SHIPPED:
            from spectralvision.models.affnet import CIFAR10

            print(f"by {SHIPPED}, which knows {', '.join(CIFAR10)} only: see --model", file=sys.stderr)
        unreadable = result["unreadable"]
        number = result["images"] if self.out else len(result["predictions"])
        bad = result["num_unreadable"] if self.out else len(unreadable)
        if number > 1 and result["images_per_second"]:
            print(f"{number} images, {result['images_per_second']:.0f} images/s", file=sys.stderr)
        if unreadable:
            print(f"{bad} of {number + bad} could not be read:", file=sys.stderr)
            for one in unreadable:
                print(f"  {one['reason']}", file=sys.stderr)
        if bad > len(unreadable):
            where = result["unreadable_out"] or f"beside the parts of {result['out']}"
            print(f"  and {bad - len(unreadable)} more, listed in {where}", file=sys.stderr)
        return 1 if unreadable else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _percent(cell: str | float) -> str:
    return cell if isinstance(cell, str) else f"{cell:.1%}"
