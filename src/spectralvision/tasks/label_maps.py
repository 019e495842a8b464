"""Label maps by a teacher: its head at each position of its last feature map, over the whole image.

The whole image is resized to the teacher's input, whatever its proportions, so that a box of the image is the same box
of the map.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from spectralvision.data.datasets import Data, Images, Stream, Subset
from spectralvision.data.label_maps import (
    AGAIN,
    INDEX,
    Index,
    fingerprint,
    problem_of_shard,
    read_index,
    shard_path,
    write_shard,
)
from spectralvision.data.loading import attempt_loader, in_batches, reader_died
from spectralvision.data.transforms import eval_transform
from spectralvision.runs import UserError, disk_full, refuse_taken
from spectralvision.tasks.inference import Inference, device_options, fabric_of, workers_for
from spectralvision.tasks.loading import columns_of, data_config, load_model, weights_digest
from spectralvision.tasks.position_head import PositionHead
from spectralvision.tasks.trial import out_of_memory

TOP = 5  # classes kept at each position
SHARD = 1024  # images
LARGEST = 2**15  # classes that int16 counts


@dataclass
class _Teacher:
    head: PositionHead
    columns: list[int] | None  # the teacher's logits in the order of the images' classes; None: as they are
    transform: Any
    index: Index


@dataclass
class _Tally:
    labelled: int = 0
    agreed: int = 0  # with the annotation
    unreadable: list[dict[str, str]] = field(default_factory=list)


def make_label_maps(
    teacher: str, data: Data, out: str | Path, split: str | None = None, engine: Inference | None = None
) -> dict[str, Any]:
    """Writes the maps of a split into `out`, or goes on where an earlier call stopped.

    Args:
        teacher: A run folder, or a model's name for its published weights. It may know more classes than the images
            have; its probabilities are those among the images' classes.
        data: The images. Streams have none by index and are refused.
        out: A folder that is new, empty, or holds maps of the same teacher and images.
        split: Which images; default train, else all.
        engine: How to run the teacher.

    Returns:
        out, teacher, data, split, images, classes, shape (K, H, W), labelled (now), unreadable (image and reason of
        each now), agreement (share of those labelled now whose annotation is the teacher's first class; None without
        any), seconds.

    Raises:
        UserError: A teacher that does not work, images or a folder that do not fit, a full disk; what is written stays,
            and the same call goes on.
    """
    start, engine = time.monotonic(), engine or Inference()
    split = split or ("train" if "train" in data.splits else "all")
    images = data.split(split)
    if isinstance(images, Stream):
        raise UserError(f"{data.name} is a stream, and label maps belong to images by index: use another reader.")
    prepared = _prepared(teacher, data, split, images)
    folder = _folder(Path(out).expanduser(), prepared.index)
    missing = [
        number for number in range(prepared.index.num_shards()) if problem_of_shard(folder, prepared.index, number)
    ]
    tally = _Tally()
    with _ending_in_a_sentence(folder, prepared.index):
        for number, values, indices in _shards(prepared, images, missing, engine, tally):
            write_shard(shard_path(folder, number), values, indices)
    return {
        "out": str(folder),
        "teacher": teacher,
        "data": data.name,
        "split": split,
        "images": len(images),
        "classes": len(data.classes),
        "shape": prepared.index.shape,
        "labelled": tally.labelled,
        "unreadable": tally.unreadable,
        "agreement": tally.agreed / tally.labelled if tally.labelled else None,
        "seconds": round(time.monotonic() - start, 1),
    }


def _prepared(name: str, data: Data, split: str, images: Images) -> _Teacher:
    model = load_model(name)
    columns = columns_of(model, name, data)
    if len(data.classes) > LARGEST:
        raise UserError(f"{data.name} has {len(data.classes)} classes: label maps count up to {LARGEST}.")
    config = data_config(model) | {"crop_pct": 1.0, "crop_mode": "squash"}
    size = tuple(config["input_size"][1:])
    head = PositionHead(model, name, size)
    with torch.no_grad():
        grid = list(head(torch.zeros(1, 3, *size)).shape[2:])
    index = Index(
        teacher=name,
        weights=weights_digest(model),  # a teacher that was trained on is another one
        data=data.name,
        split=split,
        fingerprint=fingerprint(images),
        classes=list(data.classes),
        count=len(images),
        shard=SHARD,
        shape=[min(TOP, len(data.classes)), *grid],
        input_size=list(size),
    )
    return _Teacher(head, columns, eval_transform(config), index)


def _folder(folder: Path, index: Index) -> Path:
    """The folder with its index, new or as it was begun."""
    if (folder / INDEX).is_file():
        begun = read_index(folder)
        if begun != index:
            changed = next(name for name in vars(index) if getattr(begun, name) != getattr(index, name))
            raise UserError(
                f"{folder} holds label maps by {begun.teacher} of {begun.data} ({begun.split}), begun with another "
                f"{changed.replace('_', ' ')}: name another with --out."
            )
        return folder
    refuse_taken(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        index.write(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error}): name another with --out.") from None
    return folder


def _shards(
    teacher: _Teacher, images: Images, missing: list[int], engine: Inference, tally: _Tally
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Number, values and indices of each missing shard, as soon as its last image has been seen."""
    if not missing:
        return
    rows = np.concatenate([np.array(teacher.index.rows(number)) for number in missing])
    wanted = Subset(images, rows)
    held: list[tuple[Tensor, Tensor]] = []
    numbers = iter(missing)
    number = next(numbers)
    for batch in _labelled(teacher, wanted, engine, tally):
        held.append(batch)
        while number is not None and sum(len(values) for values, _ in held) >= len(teacher.index.rows(number)):
            length = len(teacher.index.rows(number))
            values, indices = (torch.cat(parts) for parts in zip(*held, strict=True))
            yield number, values[:length], indices[:length]
            held = [(values[length:], indices[length:])]
            number = next(numbers, None)  # type: ignore[assignment]


def _labelled(teacher: _Teacher, images: Images, engine: Inference, tally: _Tally) -> Iterator[tuple[Tensor, Tensor]]:
    """(B, K, h, w) float16 probabilities and int16 classes of the images in order, zeros where one cannot be read."""
    fabric = fabric_of(device_options(engine))
    module = fabric.setup_module(teacher.head)
    rows = in_batches(range(len(images)), engine.batch_size)
    batches: Any = attempt_loader(images, teacher.transform, rows, workers_for(images, engine))
    if sys.stderr.isatty():
        batches = track(batches, "Labelling", len(batches), console=Console(stderr=True), transient=True)
    done = 0
    for batch in batches:
        number = len(batch.rows) + len(batch.failures)
        values = torch.zeros(number, *teacher.index.shape, dtype=torch.float16)
        indices = torch.zeros(number, *teacher.index.shape, dtype=torch.int16)
        if batch.rows:
            places = torch.tensor(batch.rows) - done
            with torch.inference_mode():
                logits = module(fabric.to_device(batch.images)).float().cpu()
            logits = logits if teacher.columns is None else logits[:, teacher.columns]
            probabilities = logits.softmax(dim=1)
            best = probabilities.topk(teacher.index.shape[0], dim=1)
            values[places], indices[places] = best.values.half(), best.indices.short()
            annotated = torch.from_numpy(images.labels[batch.rows])
            tally.agreed += int((probabilities.mean(dim=(2, 3)).argmax(dim=1) == annotated).sum())
        tally.labelled += len(batch.rows)
        tally.unreadable += [{"image": images.name(row), "reason": reason} for row, reason in batch.failures]
        done += number
        yield values, indices


@contextmanager
def _ending_in_a_sentence(folder: Path, index: Index) -> Iterator[None]:
    """A full disk, a reader that dies and Ctrl-C end with what is kept and how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_kept(folder, index)) from None
    except OSError as error:
        if not disk_full(error):
            raise
        raise UserError(f"the disk is full ({error}); {_kept(folder, index)}.") from None
    except (RuntimeError, MemoryError) as error:
        if out_of_memory(error):
            raise UserError(f"a batch does not fit into memory: see --batch-size; {_kept(folder, index)}.") from None
        if not reader_died(error):
            raise
        raise UserError(f"a process that reads images has died ({error}); {_kept(folder, index)}.") from None


def _kept(folder: Path, index: Index) -> str:
    numbers = [number for number in range(index.num_shards()) if not problem_of_shard(folder, index, number)]
    images = sum(len(index.rows(number)) for number in numbers)
    return f"{images} of {index.count} label maps are in {folder}, and {AGAIN}"
