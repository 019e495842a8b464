"""Answers of a model on any images, however many; what cannot be read is told, and does not stop the others."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from torch import Tensor, nn

from spectralvision.data.datasets import Data, Images, Stream, Subset
from spectralvision.data.loading import Attempt, attempt_loader
from spectralvision.data.opening import open_data
from spectralvision.data.transforms import eval_transform
from spectralvision.runs import UserError
from spectralvision.tasks.inference import Engine, cut_as_trained, device_options, workers_for
from spectralvision.tasks.loading import data_config, label_titles, load_model


def predict(
    name: str,
    images: Images,
    truth: Sequence[str] | None = None,
    top_k: int = 1,
    flip: bool = False,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """For each image its `top_k` classes with probabilities, and its true label where `truth` names the classes.

    Args:
        name: A run folder, or a model's name.
        images: What to classify, in this order.
        truth: Names of the images' own labels.
        top_k: Classes to name.
        flip: Average the probabilities of an image and of its mirror image.
        engine: How to run the model.

    Returns:
        predictions, unreadable (image and reason of each), images_per_second.

    Raises:
        UserError: A model without weights, or not one image that can be read.
    """
    engine = engine or Engine()
    model = load_model(name)
    titles = label_titles(model)
    if not 1 <= top_k <= len(titles):
        raise UserError(f"--top-k {top_k} should lie between 1 and {len(titles)}, the number of classes.")
    transform = eval_transform(data_config(model))
    loader = attempt_loader(images, transform, engine.batch_size, workers_for(images, engine))
    answers, unreadable = [], []
    start = time.monotonic()
    for batch, probabilities in _run(model, _watched(loader, len(images)), flip, device_options(engine)):
        best = probabilities.topk(top_k)
        for row, indices, values in zip(batch.rows, best.indices.tolist(), best.values.tolist(), strict=True):
            label = {} if truth is None else {"label": truth[int(images.labels[row])]}
            pairs = zip(indices, values, strict=True)
            classes = [{"class": titles[index], "probability": round(value, 6)} for index, value in pairs]
            answers.append({"image": images.name(row), **label, "classes": classes})
        unreadable += [{"image": images.name(row), "reason": reason} for row, reason in batch.failures]
    if not answers:
        others = f" (nor can the other {len(unreadable) - 1})" if len(unreadable) > 1 else ""
        raise UserError(f"{unreadable[0]['reason'].rstrip('.')}{others}.")
    speed = round(len(answers) / (time.monotonic() - start), 1)
    return {"predictions": answers, "unreadable": unreadable, "images_per_second": speed}


def some_images(name: str, spec: str, data_dir: str | None, split: str | None, num_images: int) -> tuple[Data, Images]:
    """A data set, and some images of a split, evenly spread over it. As in `evaluate`, a run's cut is repeated."""
    data = cut_as_trained(open_data(spec, data_dir), name)
    images = data.split(split or data.held_out())
    if isinstance(images, Stream):
        raise UserError(f"{spec} is a stream, and predict takes images by index: name files, or another reader.")
    if num_images < 1:
        raise UserError(f"--num-images {num_images} should be at least 1.")
    return data, Subset(images, np.linspace(0, len(images) - 1, num=min(num_images, len(images))).astype(int))


def _run(
    model: nn.Module, batches: Iterable[Attempt], flip: bool, options: dict[str, str]
) -> Iterator[tuple[Attempt, Tensor]]:
    """Each batch with its probabilities, (B, num_classes) float32 on the CPU."""
    fabric = Fabric(devices=1, **options)  # type: ignore[arg-type]
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
    columns = (TextColumn("Predicting"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=number)
        for batch in batches:
            yield batch
            progress.advance(task, len(batch.rows) + len(batch.failures))


class _Speed(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.0f} images/s")
