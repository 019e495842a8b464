"""Label maps by a teacher, stored: of each image the K best classes at each of H x W positions (Jiang et al., 2021).

Two formats are read. Ours is a folder with `label_maps.json` (`Index`) and shards `maps-00000.safetensors`, each with
`values` (N, K, H, W) float16, probabilities, and `indices` (N, K, H, W) int16, classes, of N images in a row; an image
that the teacher could not read has zeros. The published one is a folder of `class/image.pt`, each a tensor
(2, K, H, W) in half precision saved by torch: the teacher's logits, then their classes.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from spectralvision.data.datasets import Images, Subset
from spectralvision.runs import UserError, read_json, replacing, write_json

INDEX = "label_maps.json"
FORMAT = "spectralvision label maps 1"
MAKE = "`spectralvision token-labels --teacher TEACHER --data DATA --out DIR`"
AGAIN = "the same `spectralvision token-labels` command goes on"


class LabelMap(NamedTuple):
    """One image's map."""

    values: Tensor  # (K, H, W) float16
    indices: Tensor  # (K, H, W) int16


@dataclass(frozen=True, kw_only=True)
class Index:
    """What the shards beside it hold. The same index stands for the same maps."""

    teacher: str
    weights: str
    """Digest of the teacher's weights."""
    data: str
    split: str
    fingerprint: str
    """Of the images' names and labels, in order."""
    classes: list[str]
    count: int
    """Images."""
    shard: int
    """Images a shard; the last one may hold fewer."""
    shape: list[int]
    """K, H, W."""
    input_size: list[int]
    """Rows and columns, pixels, to which the teacher saw whole images resized."""
    format: str = FORMAT

    def num_shards(self) -> int:
        return -(-self.count // self.shard)

    def rows(self, number: int) -> range:
        """The images of a shard."""
        return range(number * self.shard, min((number + 1) * self.shard, self.count))

    def write(self, folder: Path) -> None:
        write_json(folder / INDEX, asdict(self))


def read_index(folder: Path) -> Index:
    """The index of a folder.

    Raises:
        UserError: It is missing, or not of this version.
    """
    fields = read_json(folder / INDEX)
    if fields.get("format") != FORMAT:
        raise UserError(f"{folder / INDEX} is not of this version ({fields.get('format')!r}): make the maps anew.")
    try:
        return Index(**fields)
    except TypeError as error:
        raise UserError(f"{folder / INDEX} cannot be used ({error}): make the maps anew.") from None


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"maps-{number:05d}.safetensors"


def write_shard(path: Path, values: Tensor, indices: Tensor) -> None:
    """Writes (N, K, H, W) float16 values and int16 indices, whole or not at all."""
    content = save({"values": values.contiguous(), "indices": indices.contiguous()})
    with replacing(path) as beside:
        beside.write_bytes(content)


def problem_of_shard(folder: Path, index: Index, number: int) -> str | None:
    """Why a shard cannot be used, in a few words; None where it can."""
    path, shape = shard_path(folder, number), [len(index.rows(number)), *index.shape]
    if not path.is_file():
        return "is missing"
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in sorted(file.keys())}
            found = {name: (one.get_dtype(), one.get_shape()) for name, one in slices.items()}
    except (SafetensorError, OSError) as error:
        return f"ends early or is damaged ({' '.join(str(error).split())})"
    expected = {"values": ("F16", shape), "indices": ("I16", shape)}
    return None if found == expected else f"does not hold {shape[0]} maps of {index.shape}"


def fingerprint(images: Images) -> str:
    """Tells whether two sets hold the same names with the same labels in the same order."""
    digest = hashlib.blake2b(digest_size=16)
    for row, label in enumerate(images.labels.tolist()):
        digest.update(f"{images.name(row)}\t{label}\n".encode())
    return digest.hexdigest()


class LabelMaps(ABC):
    """The maps of some images, by the images' index."""

    logits: bool
    """Whether values are logits, else probabilities."""

    @abstractmethod
    def __getitem__(self, index: int) -> LabelMap:
        """The map of one image.

        Raises:
            UserError: There is none, or it cannot be read.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What a run's record holds of the maps."""


class StoredMaps(LabelMaps):
    """Maps in shards. `rows` says where in the labelled images each wanted one stands."""

    logits = False

    def __init__(self, folder: Path, index: Index, rows: np.ndarray) -> None:
        self.folder, self.index, self.rows = folder, index, rows
        self._open: dict[int, Any] = {}

    def __getitem__(self, index: int) -> LabelMap:
        number, place = divmod(int(self.rows[index]), self.index.shard)
        path = shard_path(self.folder, number)
        try:
            if number not in self._open:
                self._open[number] = safe_open(path, framework="pt")
            file = self._open[number]
            found = LabelMap(*(file.get_slice(name)[place : place + 1][0] for name in LabelMap._fields))
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} cannot be read ({' '.join(str(error).split())}): {AGAIN}.") from None
        if not found.values.any():
            raise UserError(
                f"{path} has no map of an image that could not be read when it was made: delete it, and {AGAIN}."
            )
        return found

    def facts(self) -> dict[str, Any]:
        return asdict(self.index) | {"classes": len(self.index.classes)}

    def __str__(self) -> str:
        top, height, width = self.index.shape
        return f"{self.folder}: the best {top} classes at {height} x {width} positions, by {self.index.teacher}"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}  # a spawned worker opens its own


class PublishedMaps(LabelMaps):
    """One file of the published format for each image, in their order."""

    logits = True

    def __init__(self, files: Sequence[Path], num_classes: int) -> None:
        self.files, self.num_classes = files, num_classes
        self.shape: tuple[int, ...] | None = None
        self.shape = tuple(self[0].values.shape)

    def __getitem__(self, index: int) -> LabelMap:
        path = self.files[index]
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a broken or hostile file can fail in any way
            raise UserError(f"{path} cannot be read as a label map ({' '.join(str(error).split())[:200]}).") from None
        if not isinstance(stored, Tensor) or stored.ndim != 4 or len(stored) != 2:
            raise UserError(f"{path} is not a label map: it should hold one tensor (2, classes kept, rows, columns).")
        values, indices = stored[0].half(), stored[1]
        if self.shape not in (None, tuple(values.shape)):
            raise UserError(f"{path} has maps of {tuple(values.shape)}, and {self.files[0]} of {self.shape}.")
        if not 0 <= indices.min() <= indices.max() < self.num_classes:
            outside = int(indices.max() if indices.min() >= 0 else indices.min())
            raise UserError(f"{path} names class {outside}, and the images have {self.num_classes} classes.")
        return LabelMap(values, indices.to(torch.int16))

    def facts(self) -> dict[str, Any]:
        return {"format": "published", "folder": str(self.files[0].parents[1]), "count": len(self.files)}

    def __str__(self) -> str:
        top, height, width = self[0].values.shape
        return f"{self.files[0].parents[1]}: the best {top} classes at {height} x {width} positions, as published"


def open_label_maps(folder: str | Path, images: Images, classes: Sequence[str]) -> LabelMaps:
    """The maps of `images`, in either format, checked against them and against `classes`.

    Our maps must have been made of these very images or of a set that these were taken from; the published ones are
    found by class folder and file name.

    Raises:
        UserError: No maps, other images or classes, a shard that is missing or ends early.
    """
    folder = Path(folder).expanduser()
    if (folder / INDEX).is_file():
        return _stored(folder, images, classes)
    files = {_key(path): path for path in _tensors_below(folder)}
    if not files:
        raise UserError(f"{folder} holds no label maps: {MAKE} makes them.")
    found = [_find(files, images.name(row)) for row in range(len(images))]
    missing = [row for row, path in enumerate(found) if path is None]
    if missing:
        raise UserError(
            f"{folder} has no label map for {len(missing)} of the {len(images)} images to train on "
            f"({images.name(missing[0])}): it should hold class/image.pt for each."
        )
    return PublishedMaps([path for path in found if path is not None], len(classes))


def _stored(folder: Path, images: Images, classes: Sequence[str]) -> StoredMaps:
    index = read_index(folder)
    if list(classes) != index.classes:
        raise UserError(
            f"{folder} holds label maps of other classes ({_few(index.classes)}) than the images' ({_few(classes)}): "
            f"{MAKE} makes maps of these."
        )
    rows = next((rows for one, rows in _lineage(images) if _labelled(one, index)), None)
    if rows is None:
        raise UserError(
            f"{folder} holds label maps of other images ({index.count} of {index.data}, {index.split}) than the "
            f"{len(images)} to train on: {MAKE} makes maps of these."
        )
    numbers = range(index.num_shards())
    problems = [(number, problem) for number in numbers if (problem := problem_of_shard(folder, index, number))]
    if problems:
        number, problem = problems[0]
        others = f" (and {len(problems) - 1} more shards)" if len(problems) > 1 else ""
        raise UserError(f"{shard_path(folder, number)} {problem}{others}: {AGAIN}.")
    return StoredMaps(folder, index, rows)


def _labelled(images: Images, index: Index) -> bool:
    """Whether these are the images that the maps were made of."""
    return len(images) == index.count and fingerprint(images) == index.fingerprint


def _lineage(images: Images) -> Iterator[tuple[Images, np.ndarray]]:
    """The images and every set they were taken from, each with the places of `images` in it."""
    rows = np.arange(len(images))
    while isinstance(images, Subset):
        yield images, rows
        rows, images = images.indices[rows], images.base
    yield images, rows


def _tensors_below(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder, followlinks=True):
        yield from (Path(root, name) for name in names if name.endswith((".pt", ".pth")))


def _key(path: Path) -> tuple[str, str]:
    return path.parent.name, path.stem


def _find(files: dict[tuple[str, str], Path], name: str) -> Path | None:
    """The file of an image; the published script names it up to the first dot."""
    path = PurePosixPath(name)
    return files.get((path.parent.name, path.stem)) or files.get((path.parent.name, path.name.split(".")[0]))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
