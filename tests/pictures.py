"""Small image folders and shards that tests make for themselves: each class has its own colour."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (20, 40, 200), "green": (30, 180, 40), "red": (210, 30, 30)}


def picture(colour: str, number: int, side: int = 24) -> Image.Image:
    """A noisy picture of one colour, (side, side) RGB; the same for the same number."""
    noise = np.random.default_rng(number).integers(-25, 25, (side, side, 3))
    return Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def image_folder(root: Path, per_class: int = 5, first: int = 0, classes: tuple[str, ...] = tuple(COLOURS)) -> Path:
    """ImageFolder layout: root/colour/number.png."""
    for colour in classes:
        (root / colour).mkdir(parents=True)
        for number in range(first, first + per_class):
            picture(colour, number).save(root / colour / f"{number}.png")
    return root


def shard(path: Path, labels: list[int], metadata: dict[bytes, bytes] | None = None, struct: bool = False) -> Path:
    """A parquet file with the columns image and label; the picture's colour is its label's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    images = [encoded(picture(list(COLOURS)[label], number)) for number, label in enumerate(labels)]
    column = [{"bytes": image, "path": None} for image in images] if struct else images
    table = pa.table({"image": column, "label": pa.array(labels, pa.int8())})
    pq.write_table(table.replace_schema_metadata(metadata or {}), path, row_group_size=2)
    return path
