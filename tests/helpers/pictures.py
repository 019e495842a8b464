"""Small image folders and parquet shards for tests. Each class has its own color."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLOURS = {"blue": (20, 40, 200), "green": (30, 180, 40), "red": (210, 30, 30)}


def picture(color: str, number: int, side: int = 24) -> Image.Image:
    """Return a noisy image of one color, (side, side) RGB; noise depends on the number only."""
    noise = np.random.default_rng(number).integers(-25, 25, (side, side, 3))
    return Image.fromarray(np.clip(np.array(COLOURS[color]) + noise, 0, 255).astype(np.uint8))


def color_of(image: Image.Image) -> str:
    """Return the name of the color that an image has most of."""
    means = np.asarray(image).reshape(-1, 3).mean(0)
    return ("red", "green", "blue")[int(means.argmax())]


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def image_folder(
    root: Path,
    per_class: int = 5,
    first: int = 0,
    classes: tuple[str, ...] = tuple(COLOURS),
    side: int = 24,
) -> Path:
    """Write images in ImageFolder layout, root/class/number.png, and return the root."""
    for color in classes:
        (root / color).mkdir(parents=True)
        for number in range(first, first + per_class):
            picture(color, number, side).save(root / color / f"{number}.png")
    return root


def shard(
    path: Path, labels: list[int], metadata: dict[bytes, bytes] | None = None, struct: bool = False
) -> Path:
    """Write a parquet file with columns image and label; the color of an image is its label's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    images = [encoded(picture(list(COLOURS)[label], number)) for number, label in enumerate(labels)]
    column = [{"bytes": image, "path": None} for image in images] if struct else images
    table = pa.table({"image": column, "label": pa.array(labels, pa.int8())})
    pq.write_table(table.replace_schema_metadata(metadata or {}), path, row_group_size=2)
    return path


def table_file(path: Path, metadata: dict[bytes, bytes] | None = None, **columns: Any) -> Path:
    """Write a parquet file with the given columns; one that is ... has a PNG in each row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = max(len(values) for values in columns.values() if values is not ...)
    colors = list(COLOURS)
    images = [encoded(picture(colors[row % 3], row)) for row in range(rows)]
    table = pa.table({name: images if v is ... else v for name, v in columns.items()})
    pq.write_table(table.replace_schema_metadata(metadata or {}), path)
    return path


def class_label(name: str, classes: Any) -> dict[bytes, bytes]:
    """Return the metadata that Hugging Face's `datasets` writes for a label column."""
    features = {name: {"names": classes, "_type": "ClassLabel"}}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
