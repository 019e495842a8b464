"""Answers of a model on any images; what cannot be read is told, and does not stop the others."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from torch import Tensor, nn

from spectralvision.data.datasets import Data, Images, Stream, Subset
from spectralvision.data.loading import Attempt, attempt_loader, in_batches
from spectralvision.data.opening import open_data
from spectralvision.data.transforms import eval_transform
from spectralvision.runs import UserError
from spectralvision.tasks.inference import Inference, cut_as_trained, device_options, explained, fabric_of, workers_for
from spectralvision.tasks.loading import data_config, label_titles, load_model


class Answers(NamedTuple):
    """What a model says of a batch."""

    predictions: list[dict[str, Any]]  # image, label where it is known, classes (class and probability of each)
    unreadable: list[dict[str, str]]  # image, reason


class Predictor:
    """A model that names the `top_k` most probable classes of an image.

    Args:
        name: A run folder, or a model's name.
        top_k: Classes to name.
        flip: Average the probabilities of an image and of its mirror image.
        engine: How to run the model.

    Raises:
        UserError: A model without weights, or more classes wanted than it knows.
    """

    def __init__(self, name: str, top_k: int = 1, flip: bool = False, engine: Inference | None = None) -> None:
        self.model, self.engine, self.top_k, self.flip = load_model(name), engine or Inference(), top_k, flip
        self.titles = label_titles(self.model)
        if not 1 <= top_k <= len(self.titles):
            raise UserError(f"--top-k {top_k} should lie between 1 and {len(self.titles)}, the number of classes.")

    def answers(
        self, images: Images, batches: Sequence[Sequence[int]], truth: Sequence[str] | None = None
    ) -> Iterator[Answers]:
        """For each of `batches`, which hold indices of `images`; `truth` names the images' own labels."""
        transform, workers = eval_transform(data_config(self.model)), workers_for(images, self.engine)
        loader = _watched(attempt_loader(images, transform, batches, workers), sum(map(len, batches)))
        for batch, probabilities in _run(self.model, loader, self.flip, device_options(self.engine)):
            best = probabilities.topk(self.top_k)
            predictions = []
            for row, indices, values in zip(batch.rows, best.indices.tolist(), best.values.tolist(), strict=True):
                label = {} if truth is None else {"label": truth[int(images.labels[row])]}
                pairs = zip(indices, values, strict=True)
                classes = [{"class": self.titles[index], "probability": round(value, 6)} for index, value in pairs]
                predictions.append({"image": images.name(row), **label, "classes": classes})
            failures = [{"image": images.name(row), "reason": reason} for row, reason in batch.failures]
            yield Answers(predictions, failures)


def predict(predictor: Predictor, images: Images, truth: Sequence[str] | None = None) -> dict[str, Any]:
    """The answers on some images, in their order; `truth` names the images' own labels.

    Returns:
        predictions, unreadable (image and reason of each), images_per_second.

    Raises:
        UserError: Not one image can be read.
    """
    predictions, unreadable = [], []
    start = time.monotonic()
    with explained(predictor.engine):
        for answers in predictor.answers(images, in_batches(range(len(images)), predictor.engine.batch_size), truth):
            predictions += answers.predictions
            unreadable += answers.unreadable
    if not predictions:
        others = f" (nor can the other {len(unreadable) - 1})" if len(unreadable) > 1 else ""
        raise UserError(f"{unreadable[0]['reason'].rstrip('.')}{others}.")
    speed = round(len(predictions) / (time.monotonic() - start), 1)
    return {"predictions": predictions, "unreadable": unreadable, "images_per_second": speed}


def columns(top_k: int, labelled: bool) -> list[str]:
    """The names of what `cells` gives."""
    ranks = ["", *(f"_{rank}" for rank in range(2, top_k + 1))]
    return [
        "image",
        *(["label"] if labelled else []),
        *(f"{n}{rank}" for rank in ranks for n in ("prediction", "probability")),
    ]


def cells(prediction: dict[str, Any]) -> list[Any]:
    """One of the predictions as a row of a table."""
    label = [prediction["label"]] if "label" in prediction else []
    pairs = ((one["class"], one["probability"]) for one in prediction["classes"])
    return [prediction["image"], *label, *(cell for pair in pairs for cell in pair)]


def some_images(
    name: str, spec: str, data_dir: str | None, split: str | None, num_images: int | None
) -> tuple[Data, Images]:
    """A data set, and images of a split, evenly spread over it, or all. As in `evaluate`, a run's cut is repeated."""
    data = cut_as_trained(open_data(spec, data_dir), name)
    images = data.split(split or data.held_out())
    if isinstance(images, Stream):
        raise UserError(f"{spec} is a stream, and predict takes images by index: name files, or another reader.")
    if num_images is None:
        return data, images
    if num_images < 1:
        raise UserError(f"--num-images {num_images} should be at least 1.")
    return data, Subset(images, np.linspace(0, len(images) - 1, num=min(num_images, len(images))).astype(int))


def _run(
    model: nn.Module, batches: Iterable[Attempt], flip: bool, options: dict[str, str]
) -> Iterator[tuple[Attempt, Tensor]]:
    """Each batch with its probabilities, (B, num_classes) float32 on the CPU."""
    fabric = fabric_of(options)
    module = fabric.setup_module(model.eval())
    for batch in batches:
        with torch.inference_mode():
            probabilities = torch.empty(0, model.num_classes)  # type: ignore[call-overload]
            if batch.rows:
                images = fabric.to_device(batch.images)
                views = [images, images.flip(-1)] if flip else [images]
                probabilities = torch.stack([module(view).float().softmax(dim=-1) for view in views]).mean(dim=0).cpu()
        yield batch, probabilities


def _watched(batches: Iterable[Attempt], number: int) -> Iterator[Attempt]:
    """The batches, with a bar on a terminal: images done, images a second, time left."""
    shown = (TextColumn("Predicting"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*shown, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=number)
        for batch in batches:
            yield batch
            progress.advance(task, len(batch.rows) + len(batch.failures))


class _Speed(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.0f} images/s")
