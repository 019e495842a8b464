"""Using a model: its figures on held-out images, and its answers on any. Class names decide, not their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from spectralvision.data.datasets import Data, FileImages, Images, Stream, Subset, carve_as_trained
from spectralvision.data.images import images_below
from spectralvision.data.loading import eval_loader, num_workers
from spectralvision.data.opening import open_data
from spectralvision.data.transforms import eval_transform
from spectralvision.runs import UserError, read_json
from spectralvision.tasks import classification
from spectralvision.tasks.loading import data_config, label_names, label_titles, load_model


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How a model is run."""

    batch_size: int = 64
    """Images at a time."""
    workers: int | str = "auto"
    """Processes that read images; auto: one a core, none for tiny images."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    precision: str = "auto"
    """auto, 32, bf16-mixed or 16-mixed."""


def evaluate(name: str, data: Data, split: str | None = None, engine: Engine | None = None) -> dict[str, Any]:
    """Top-1, top-5, loss, images and images per second of a run, or of a model with its published weights.

    Args:
        name: A run folder, or a model's name.
        data: Matched to the model's classes by name. Where the run cut its validation images out of the same data,
            the cut is repeated.
        split: Which images; default test, else val, else all.

    Raises:
        UserError: A model without weights, a class it does not know, no such split.
    """
    model = load_model(name)
    data = matched(_cut_as_trained(data, name), model, name)
    split = split or data.held_out()
    images = data.split(split)
    loader, options = _prepared(model, images, engine or Engine())
    scores = classification.evaluate(classification.Classifier(model), loader, options)
    return {"model": name, "data": data.name, "split": split, **scores}


def predict(
    name: str, images: Images, truth: Sequence[str] | None = None, top_k: int = 1, engine: Engine | None = None
) -> list[dict[str, Any]]:
    """For each image its `top_k` classes with probabilities, and its true label where `truth` names the classes.

    Raises:
        UserError: A model without weights, or a file that is no image.
    """
    model = load_model(name)
    titles = label_titles(model)
    if not 1 <= top_k <= len(titles):
        raise UserError(f"--top-k {top_k} should lie between 1 and {len(titles)}, the number of classes.")
    loader, options = _prepared(model, images, engine or Engine())
    best = classification.predict(classification.Classifier(model), loader, options).topk(top_k)
    answers = []
    for row in range(len(images)):
        pairs = zip(best.indices[row].tolist(), best.values[row].tolist(), strict=True)
        answer: dict[str, Any] = {"image": images.name(row)}
        if truth is not None:
            answer["label"] = truth[int(images.labels[row])]
        answer["classes"] = [{"class": titles[index], "probability": round(value, 6)} for index, value in pairs]
        answers.append(answer)
    return answers


def image_files(paths: Sequence[str]) -> Images:
    """Image files by name, folders standing for the image files below them.

    Raises:
        UserError: A path that does not exist, or a folder without an image.
    """
    files: list[str] = []
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"{path} does not exist.")
        if path.is_file():
            files.append(str(path))
            continue
        inside = [str(file) for file in images_below(path)]
        if not inside:
            raise UserError(f"{path} holds no image.")
        files += inside
    return FileImages(Path(), files, [0] * len(files))


def some_images(name: str, spec: str, data_dir: str | None, split: str | None, num_images: int) -> tuple[Data, Images]:
    """A data set, and some images of a split, evenly spread over it. As in `evaluate`, a run's cut is repeated."""
    data = _cut_as_trained(open_data(spec, data_dir), name)
    images = data.split(split or data.held_out())
    if isinstance(images, Stream):
        raise UserError(f"{spec} is a stream, and predict takes images by index: name files, or another reader.")
    if num_images < 1:
        raise UserError(f"--num-images {num_images} should be at least 1.")
    return data, Subset(images, np.linspace(0, len(images) - 1, num=min(num_images, len(images))).astype(int))


def matched(data: Data, model: nn.Module, name: str) -> Data:
    """The data with labels in the order of the model's logits.

    Raises:
        UserError: The model lacks a class of the data, or names none and has another number of them.
    """
    names = label_names(model)
    streamed = any(isinstance(images, Stream) for images in data.splits.values())
    if names is None or (streamed and len(names) == len(data.classes)):
        if len(data.classes) != model.num_classes:
            raise UserError(f"{data.name} has {len(data.classes)} classes, and {name} has {model.num_classes}.")
        return data
    return data.in_order_of(names, name)


def _cut_as_trained(data: Data, name: str) -> Data:
    record = Path(name) / "run.json"
    return carve_as_trained(data, read_json(record).get("data", {})) if record.is_file() else data


def _prepared(model: nn.Module, images: Images | Stream, engine: Engine) -> tuple[Any, dict[str, str]]:
    accelerator, precision = classification.choose_device(engine.device, engine.precision)
    workers = num_workers(images, engine.workers)
    if isinstance(images, Images) and len(images) <= engine.batch_size:
        workers = 0 if engine.workers == "auto" else workers  # a process costs more than one batch
    loader = eval_loader(images, eval_transform(data_config(model)), engine.batch_size, workers)
    return loader, {"accelerator": accelerator, "precision": precision}
