"""Write predictions into a file: in constant memory, by several processes, resumable."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from spectralvision.data.images import Images
from spectralvision.data.loaders import split_into_batches
from spectralvision.engine.errors import join_sentence, translate_errors
from spectralvision.engine.infer import InferenceConfig
from spectralvision.engine.output_shards import OutputShards, check_out, unreadable_path
from spectralvision.engine.progress import log_line
from spectralvision.runs import UserError

MIN_SHARD_IMAGES, MAX_SHARD_IMAGES = 256, 4096
TARGET_SHARDS = 64
"""Output shards for several processes to divide among themselves."""
MAX_NAMED_IMAGES = 10
"""Unreadable images that are named."""

Label = Callable[[int], str | None]


class RowPredictor(Protocol):
    """What turns images into rows, see `tasks.prediction.Predictor`."""

    config: InferenceConfig

    def columns(self, has_labels: bool) -> list[str]: ...
    def describe(self) -> dict[str, Any]: ...
    def write_json(self, records: Callable[[], Iterator[Any]], file: TextIO) -> None: ...
    def predict(
        self, images: Images, batches: Sequence[Sequence[int]], label: Label | None
    ) -> Iterator[Any]: ...


def predict_to_file(
    predictor: RowPredictor,
    images: Images,
    out: Path,
    label: Label | None = None,
    shard: tuple[int, int] = (1, 1),
) -> dict[str, Any]:
    """Write a row per image into `out`, in their order; the same call resumes after a kill.

    Args:
        predictor: The model.
        images: All of them, also where several processes divide them.
        out: .csv, .parquet or .json.
        label: Annotations, for a column of their own.
        shard: (k, n): this process writes every n-th output shard from the k-th on, k from 1. The
            process that ends last merges them.

    Returns:
        out, finished (whether the file is complete), shards_missing; images (predicted),
        num_unreadable, unreadable (the first ten), unreadable_out, all of this process, or of all
        once it is finished; images_per_second.

    Raises:
        UserError: `out` exists, or was started with other images, another model or other settings;
            the disk is full.
        KeyboardInterrupt: On Ctrl-C, with how to resume.
    """
    # 1. Output shards
    size = -(-len(images) // TARGET_SHARDS)
    size = min(MAX_SHARD_IMAGES, max(MIN_SHARD_IMAGES, size))
    first, step = shard[0] - 1, shard[1]
    if first * size >= len(images):  # fewer shards than processes: the others may have ended
        return _result(out, is_finished=out.exists())
    check_out(out)
    columns = predictor.columns(label is not None)
    rest = f"the same command resumes it (see {out}.shards)"
    try:
        with translate_errors(predictor.config.batch_size, lambda is_resumable: rest):
            job = _job(predictor, images, columns)
            shards = OutputShards(out, columns, len(images), size, job, predictor.write_json)
            with shards.in_use(shard):
                # 2. Rows of this process
                numbers = range(first, len(shards), step)
                speed = _write(shards, numbers, predictor, images, label)
                summary = _summarize(shards, numbers)

                # 3. The file, if no other process is writing
                missing = shards.missing()
                is_finished = not missing and shards.is_last_user()
                if is_finished:
                    summary = _summarize(shards, range(len(shards)))
                    shards.merge()
    except OSError as error:
        raise UserError(join_sentence(f"{out} cannot be written ({error})", rest)) from None
    if is_finished and summary["num_unreadable"]:
        summary["unreadable_out"] = str(unreadable_path(out))
    shards_missing = 0 if is_finished else len(missing)
    return _result(out, is_finished, shards_missing, speed, **summary)


def _result(
    out: Path,
    is_finished: bool,
    shards_missing: int = 0,
    speed: float | None = None,
    **summary: Any,
) -> dict[str, Any]:
    empty = {"images": 0, "num_unreadable": 0, "unreadable": [], "unreadable_out": None}
    return {
        "out": str(out),
        "finished": is_finished,
        "shards_missing": shards_missing,
        **empty,
        **summary,
        "images_per_second": speed,
    }


def _write(
    shards: OutputShards,
    numbers: range,
    predictor: RowPredictor,
    images: Images,
    label: Label | None,
) -> float | None:
    """Write what is missing of these shards; return images per second.

    A batch is within a shard, so that a shard does not depend on which others exist.
    """
    missing = shards.missing(numbers)
    total = sum(len(shards.rows(number)) for number in numbers)
    sizes = [len(shards.rows(number)) for number in missing]
    if done := total - sum(sizes):
        log_line(f"resuming: {done} of {total} images are done")
    start = time.monotonic()
    batch_size = predictor.config.batch_size
    batches = [
        batch for number in missing for batch in split_into_batches(shards.rows(number), batch_size)
    ]
    predictions = predictor.predict(images, batches, label) if batches else iter(())
    for number, size in zip(missing, sizes, strict=True):
        rows: list[Any] = []
        unreadable: list[list[str]] = []
        while len(rows) + len(unreadable) < size:
            batch = next(predictions)
            rows += [row.record if shards.is_json else row.cells for row in batch.rows]
            unreadable += [[one["image"], one["reason"]] for one in batch.unreadable]
        shards.write(number, rows, unreadable)
    return round(sum(sizes) / (time.monotonic() - start), 1) if sizes else None


def _summarize(shards: OutputShards, numbers: range) -> dict[str, Any]:
    images = sum(len(shards.rows(number)) for number in numbers)
    num_unreadable = 0
    named: list[dict[str, str]] = []
    for one in shards.unreadable(numbers):
        num_unreadable += 1
        if len(named) < MAX_NAMED_IMAGES:
            named.append(one)
    return {
        "images": images - num_unreadable,
        "num_unreadable": num_unreadable,
        "unreadable": named,
    }


def _job(predictor: RowPredictor, images: Images, columns: list[str]) -> dict[str, Any]:
    """Return what the rows depend on. Of the images that is their names, not their content."""
    names = hashlib.blake2b(digest_size=16)
    for row in range(len(images)):
        names.update(images.name(row).encode("utf-8", "surrogateescape") + b"\0")
    return {
        **predictor.describe(),
        "list of images": names.hexdigest(),
        "set of columns": columns,
    }
