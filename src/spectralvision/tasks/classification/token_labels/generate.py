"""Generate label maps with a teacher: its head at each position of its last feature map.

The whole image is resized to the teacher's input, whatever its aspect ratio, so that a box of the
image is the same box of the map.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectralvision.data.images import Images, Stream, Subset
from spectralvision.data.loaders import ImageBatch, build_inference_loader
from spectralvision.data.splits import Data
from spectralvision.data.transforms import ImageTransform, build_eval_transform
from spectralvision.engine.errors import translate_errors
from spectralvision.engine.infer import InferenceConfig, infer
from spectralvision.engine.lock import lock
from spectralvision.engine.model_io import columns_of, data_config, load_model
from spectralvision.engine.weights_io import weights_digest
from spectralvision.runs import UserError, expand_user, remove_temporary_files, require_empty_dir
from spectralvision.tasks.classification.token_labels.dense_head import DenseHead
from spectralvision.tasks.classification.token_labels.storage import (
    INDEX,
    RESUME,
    Index,
    LabelMap,
    ordered_fingerprint,
    problem_of_shard,
    read_index,
    write_shard,
)

TOP_CLASSES = 5
"""Classes kept at each position."""
SHARD_IMAGES = 1024
CHANGED = {"fingerprint": "list of images", "sizes": "content of the images", "input_size": "size"}
"""Fields of the index, in words."""
MAX_CLASSES = 2**15
"""What int16 counts."""


@dataclass
class _Teacher:
    head: DenseHead
    columns: list[int] | None
    """Logits of the teacher in the order of the images' classes; None: all as they are."""
    transform: Any
    index: Index


@dataclass
class _Counts:
    labeled: int = 0
    agreed: int = 0
    """With the annotation."""
    unreadable: list[dict[str, str]] = field(default_factory=list)


def generate_label_maps(
    teacher: str,
    data: Data,
    out: str | Path,
    split: str | None = None,
    config: InferenceConfig | None = None,
) -> dict[str, Any]:
    """Write the maps of a split into a folder, or resume where an earlier call stopped.

    Args:
        teacher: A run folder, or a model's name with published weights. It may know more classes
            than the images have; its probabilities are those among the images' classes.
        data: The images. Streams have none by index and are rejected.
        out: A folder that is new, empty, or has maps of the same teacher and images.
        split: Which images; default: train, else all.
        config: How to run the teacher.

    Returns: out, teacher, data, split, images, classes, shape (K, H, W), labeled (now),
        unreadable (image and reason of each now), agreement (fraction of those labeled now whose
        annotation is the teacher's most probable class; None without any), seconds.

    Raises:
        UserError: A teacher that does not work, images or a folder that do not fit, a full disk;
            what is written stays, and the same call resumes.
    """
    # 1. Images, teacher, folder
    start = time.monotonic()
    config = config or InferenceConfig()
    split = split or ("train" if "train" in data.splits else "all")
    images = data.split(split)
    if isinstance(images, Stream):
        raise UserError(
            f"{data.name} is a stream, but label maps belong to images by index: use another "
            "reader."
        )
    prepared = _prepare_teacher(teacher, data, split, images)
    index = prepared.index
    folder = _prepare_folder(expand_user(out), index)

    # 2. The shards that are missing or damaged
    numbers = range(index.num_shards())
    left = set(numbers)
    counts = _Counts()

    def describe_rest(is_resumable: bool) -> str:
        images = index.count - sum(len(index.rows(number)) for number in left)
        return f"{images} of {index.count} label maps are in {folder}, and {RESUME}"

    with translate_errors(config.batch_size, describe_rest), lock(folder, str(folder)):
        remove_temporary_files(folder)
        missing = [number for number in numbers if problem_of_shard(folder, index, number)]
        left = set(missing)
        for number, values, indices in _shards(prepared, images, missing, config, counts):
            write_shard(folder, index, number, LabelMap(values, indices))
            left.discard(number)
    return {
        "out": str(folder),
        "teacher": teacher,
        "data": data.name,
        "split": split,
        "images": len(images),
        "classes": len(data.classes),
        "shape": index.shape,
        "labeled": counts.labeled,
        "unreadable": counts.unreadable,
        "agreement": counts.agreed / counts.labeled if counts.labeled else None,
        "seconds": round(time.monotonic() - start, 1),
    }


def _prepare_teacher(name: str, data: Data, split: str, images: Images) -> _Teacher:
    model = load_model(name)
    columns = columns_of(model, name, data)
    if len(data.classes) > MAX_CLASSES:
        raise UserError(
            f"{data.name} has {len(data.classes)} classes, but label maps support up to "
            f"{MAX_CLASSES}."
        )
    preprocessing = data_config(model) | {"crop_pct": 1.0, "crop_mode": "squash"}
    size = tuple(preprocessing["input_size"][1:])
    head = DenseHead(model, name, size)
    with torch.no_grad():
        grid = list(head(torch.zeros(1, 3, *size)).shape[2:])
    settings = repr(sorted(preprocessing.items()))
    index = Index(
        teacher=name,
        weights=weights_digest(model),  # a teacher that was trained further is another one
        data=data.name,
        split=split,
        fingerprint=ordered_fingerprint(images),
        classes=list(data.classes),
        count=len(images),
        shard=SHARD_IMAGES,
        shape=[min(TOP_CLASSES, len(data.classes)), *grid],
        input_size=list(size),
        sizes=_digest_sizes(images),
        preprocessing=hashlib.blake2b(settings.encode(), digest_size=16).hexdigest(),
    )
    transform = ImageTransform(build_eval_transform(preprocessing))
    return _Teacher(head, columns, transform, index)


def _prepare_folder(folder: Path, index: Index) -> Path:
    """Return the folder with its index, new or as it was started."""
    if (folder / INDEX).is_file():
        known = read_index(folder)
        values = vars(known).items()
        changed = [name for name, value in values if value not in (getattr(index, name), "")]
        if changed:
            raise UserError(
                f"{folder} has label maps by {known.teacher} of {known.data} ({known.split}), "
                f"started with another {CHANGED.get(changed[0], changed[0])}: name another folder "
                "with --out."
            )
        return folder
    require_empty_dir(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        index.write(folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error}): name another folder with --out."
        ) from None
    return folder


def _shards(
    teacher: _Teacher, images: Images, missing: list[int], config: InferenceConfig, counts: _Counts
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield number, values and indices of each missing shard as soon as it is complete."""
    if not missing:
        return
    rows = np.concatenate([np.array(teacher.index.rows(number)) for number in missing])
    wanted = Subset(images, rows)
    maps = _label(teacher, wanted, config, counts)
    values, indices = next(maps)
    for number in missing:
        length = len(teacher.index.rows(number))
        while len(values) < length:
            more_values, more_indices = next(maps)
            values = torch.cat([values, more_values])
            indices = torch.cat([indices, more_indices])
        yield number, values[:length], indices[:length]
        values, indices = values[length:], indices[length:]


def _label(
    teacher: _Teacher, images: Images, config: InferenceConfig, counts: _Counts
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (B, K, h, w) float16 probabilities and int16 classes of the images, in order.

    They are 0 for an image that cannot be read.
    """
    workers = config.choose_workers(images)
    loader = build_inference_loader(images, teacher.transform, config.batch_size, workers)
    done = 0
    for batch, logits in infer(teacher.head, loader, config, "Labeling", len(images)):
        shape = (batch.num_images, *teacher.index.shape)
        values = torch.zeros(shape, dtype=torch.float16)
        indices = torch.zeros(shape, dtype=torch.int16)
        if logits is not None:
            positions = torch.tensor(batch.rows) - done
            values[positions], indices[positions] = _top_classes(teacher, logits, batch, counts)
        counts.labeled += len(batch.rows)
        counts.unreadable += [
            {"image": images.name(row), "reason": reason} for row, reason in batch.failures
        ]
        done += batch.num_images
        yield values, indices


def _top_classes(
    teacher: _Teacher, logits: Tensor, batch: ImageBatch, counts: _Counts
) -> tuple[Tensor, Tensor]:
    """Return the probabilities and classes kept at each position, and count agreements."""
    logits = logits.float().cpu()
    if teacher.columns is not None:
        logits = logits[:, teacher.columns]
    probabilities = logits.softmax(dim=1)
    best = probabilities.topk(teacher.index.shape[0], dim=1)
    predicted = probabilities.mean(dim=(2, 3)).argmax(dim=1)
    counts.agreed += int((predicted == batch.targets.cpu()).sum())
    return best.values.half(), best.indices.short()


def _digest_sizes(images: Images) -> str:
    """Return a digest of the sizes of the image files; "" for images that are not files."""
    sizes = [images.file_size(row) for row in range(len(images))]
    if not any(sizes):
        return ""
    lines = "".join(f"{size}\n" for size in sizes)
    return hashlib.blake2b(lines.encode(), digest_size=16).hexdigest()
