"""Label maps that tests make for themselves, and a teacher that needs no training."""

from pathlib import Path

import timm
import torch

from spectralvision.data.label_maps import Index, fingerprint, shard_path, write_shard
from spectralvision.tasks.loading import describe, save_model
from tests.pictures import COLOURS


def teacher(folder: Path, classes=tuple(COLOURS), name="test_resnet", size=64, **options) -> Path:
    """A run folder with fresh weights."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=len(classes), **options)
    describe(model, list(classes), size)
    folder.mkdir(parents=True)
    save_model(model, folder)
    return folder


def stored(folder: Path, images, classes, shape=(2, 2, 2), shard=4, **fields) -> Index:
    """Maps in shards: image i is sure of class i % len(classes)."""
    folder.mkdir(parents=True)
    index = Index(
        **{"teacher": "T", "weights": "", "data": "D", "split": "all", "fingerprint": fingerprint(images),
           "classes": list(classes), "count": len(images), "shard": shard, "shape": list(shape), "input_size": [64, 64]}
        | fields
    )  # fmt: skip
    for number in range(index.num_shards()):
        rows = torch.tensor(list(index.rows(number)))
        values = torch.zeros(len(rows), *shape).half()
        values[:, 0] = 1
        first = (rows % len(classes))[:, None, None, None].expand(-1, *shape)
        indices = (first + torch.arange(shape[0])[:, None, None]) % len(classes)
        write_shard(shard_path(folder, number), values, indices.short())
    index.write(folder)
    return index


def published(folder: Path, names, shape=(5, 3, 3), classes=10) -> Path:
    """One file for each image, as the authors' script writes them: logits and classes, both in half precision."""
    for number, name in enumerate(names):
        path = folder / Path(name).with_suffix(".pt")
        path.parent.mkdir(parents=True, exist_ok=True)
        logits = torch.randn(classes, *shape[1:], generator=torch.Generator().manual_seed(number))
        values, indices = logits.topk(shape[0], dim=0)
        torch.save(torch.stack([values.half(), indices.half()]), path)
    return folder
