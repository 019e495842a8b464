"""Predict images with a model of any task; unreadable images are reported."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, TextIO

from spectralvision.data.images import Images, Stream, Subset, spread_indices
from spectralvision.data.loaders import build_inference_loader, split_into_batches
from spectralvision.data.shard_columns import Columns
from spectralvision.data.splits import Data, repeat_split
from spectralvision.engine.errors import translate_errors
from spectralvision.engine.infer import InferenceConfig, infer
from spectralvision.engine.model_io import architecture, data_config, run_of
from spectralvision.engine.run_record import read_record
from spectralvision.engine.weights_io import weights_digest
from spectralvision.runs import UserError
from spectralvision.tasks.base import Row
from spectralvision.tasks.registry import task_of

Label = Callable[[int], str | None]
"""The annotation of an image by its index."""


class Predictions(NamedTuple):
    """The predictions for a batch."""

    rows: list[Row]
    """One for each image that can be read; cells begin with the image, and its label if known."""
    unreadable: list[dict[str, str]]
    """The others: image and reason."""


class Predictor:
    """A model of any task that turns images into rows.

    Args:
        name: A run folder, a repository, or a model's name with published weights.
        options: The task's `predict_options`.
        config: How to run the model.

    Raises:
        UserError: A model without weights, or options that do not suit it.
    """

    def __init__(
        self, name: str, options: Any = None, config: InferenceConfig | None = None
    ) -> None:
        self.task = task_of(name)
        self.options = options or self.task.predict_options()
        self.config = config or InferenceConfig()
        self.model = self.task.load(name)
        self.task.check_predict(self.model, self.options)

    def columns(self, has_labels: bool = False) -> list[str]:
        """Return the names of the cells of a row."""
        labels = ["label"] if has_labels else []
        return ["image", *labels, *self.task.columns(self.options)]

    def describe(self) -> dict[str, Any]:
        """Return what the rows depend on besides the images: keys are words for messages."""
        facts = (
            architecture(self.model),
            sorted(data_config(self.model).items()),
            weights_digest(self.model),
        )
        digest = hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()
        options = {
            f"--{name.replace('_', '-')}": value for name, value in asdict(self.options).items()
        }
        return {"model": digest, **options, "--precision": self.config.precision}

    def write_json(self, records: Callable[[], Iterator[Any]], file: TextIO) -> None:
        """Write the records of all rows as the task's JSON."""
        self.task.write_json(records, self.model, file)

    def predict(
        self, images: Images, batches: Sequence[Sequence[int]], label: Label | None = None
    ) -> Iterator[Predictions]:
        """Yield the predictions for each of `batches`, which hold indices of `images`."""
        loader = build_inference_loader(
            images,
            self.task.transform(None, self.model, train=False),
            self.config.batch_size,
            self.config.choose_workers(images),
            batches=batches,
            collate=self.task.collate,
        )
        write = self.task.file_writer(self.model, self.options)
        module = self.task.predictor(self.model, self.options)
        num_images = sum(map(len, batches))
        for batch, outputs in infer(module, loader, self.config, "Predicting", num_images):
            rows = [] if outputs is None else self.task.rows(self.model, outputs, self.options)
            named = []
            for index, row in zip(batch.rows, rows, strict=True):
                if write is not None:
                    write(images, index, row.prediction)
                start: dict[str, Any] = {"image": images.name(index)}
                if label is not None:
                    start["label"] = label(index)
                cells = [*start.values(), *row.cells]
                image_id = images.image_id(index)
                if image_id is not None:
                    start["image_id"] = image_id
                named.append(Row(start | row.record, cells))
            unreadable = [
                {"image": images.name(index), "reason": reason} for index, reason in batch.failures
            ]
            yield Predictions(named, unreadable)


def predict(predictor: Predictor, images: Images, label: Label | None = None) -> dict[str, Any]:
    """Return the predictions for images, in their order.

    Returns:
        columns, cells (a list per image), predictions (a record per image), unreadable (image and
        reason of each), images_per_second.

    Raises:
        UserError: No image can be read.
    """
    rows: list[Row] = []
    unreadable: list[dict[str, str]] = []
    start = time.monotonic()
    batch_size = predictor.config.batch_size
    with translate_errors(batch_size):
        batches = split_into_batches(range(len(images)), batch_size)
        for predictions in predictor.predict(images, batches, label):
            rows += predictions.rows
            unreadable += predictions.unreadable
    if not rows:
        number = len(unreadable) - 1
        others = f" (and {number} other image{'s' * (number > 1)})" if number else ""
        raise UserError(f"{unreadable[0]['reason'].rstrip('.')}{others}.")
    return {
        "columns": predictor.columns(label is not None),
        "cells": [row.cells for row in rows],
        "predictions": [row.record for row in rows],
        "unreadable": unreadable,
        "images_per_second": round(len(rows) / (time.monotonic() - start), 1),
    }


def select_images(
    name: str,
    spec: str,
    data_dir: str | None,
    split: str | None,
    num_images: int | None,
    columns: Columns | None = None,
) -> tuple[Data, Images]:
    """Return a data set, and images evenly spread over a split, or all of them.

    As in `evaluate`, the split of a run is repeated.

    Raises:
        UserError: A stream, or fewer images than one.
    """
    data = task_of(name).open(spec, data_dir, columns=columns)
    data = repeat_split(data, read_record(run_of(name)).get("data", {}))
    images = data.split(split or data.held_out())
    if isinstance(images, Stream):
        raise UserError(
            f"{spec} is a stream, but predict takes images by index: name files, or use another "
            "reader."
        )
    if num_images is None:
        return data, images
    if num_images < 1:
        raise UserError(f"--num-images {num_images} should be at least 1.")
    return data, Subset(images, spread_indices(len(images), num_images))
