"""Label maps written by hand, and untrained models to use as teachers and students."""

from pathlib import Path

import timm
import torch

from spectralvision.engine.model_io import describe, save_model
from spectralvision.tasks.classification.token_labels.storage import (
    Index,
    LabelMap,
    ordered_fingerprint,
    write_shard,
)
from tests.helpers.pictures import COLOURS

NARROW_SVT = {"dims": (8, 16, 16, 16), "depths": (1, 1, 1, 1), "stem_dim": 8, "img_size": 64}


def save_untrained(
    folder: Path, classes=tuple(COLOURS), name="test_resnet", size=64, **options
) -> Path:
    """Write a folder with an untrained model that knows `classes`; return the folder."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=len(classes), **options)
    describe(model, list(classes), size)
    folder.mkdir(parents=True)
    save_model(model, folder)
    return folder


def write_label_maps(folder: Path, images, classes, shape=(2, 2, 2), shard=4, **fields) -> Index:
    """Write maps in our format: image i has class i % len(classes) with probability 1."""
    folder.mkdir(parents=True)
    defaults = {
        "teacher": "T",
        "weights": "",
        "data": "D",
        "split": "all",
        "fingerprint": ordered_fingerprint(images),
        "classes": list(classes),
        "count": len(images),
        "shard": shard,
        "shape": list(shape),
        "input_size": [64, 64],
    }
    index = Index(**(defaults | fields))
    for number in range(index.num_shards()):
        rows = torch.tensor(list(index.rows(number)))
        values = torch.zeros(len(rows), *shape).half()
        values[:, 0] = 1
        first = (rows % len(classes))[:, None, None, None].expand(-1, *shape)
        indices = (first + torch.arange(shape[0])[:, None, None]) % len(classes)
        write_shard(folder, index, number, LabelMap(values, indices.short()))
    index.write(folder)
    return index


def write_published_maps(folder: Path, names, shape=(5, 3, 3), classes=10) -> Path:
    """Write one file per image as the authors' script does: logits and classes, both as float16."""
    for number, name in enumerate(names):
        path = folder / Path(name).with_suffix(".pt")
        path.parent.mkdir(parents=True, exist_ok=True)
        logits = torch.randn(classes, *shape[1:], generator=torch.Generator().manual_seed(number))
        values, indices = logits.topk(shape[0], dim=0)
        torch.save(torch.stack([values.half(), indices.half()]), path)
    return folder
