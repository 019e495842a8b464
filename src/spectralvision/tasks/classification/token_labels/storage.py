"""Store and read label maps: the K most probable classes at each of H x W positions of an image.

The maps are a teacher's predictions (Jiang et al., 2021). Two formats are read. Ours is a folder
with `label_maps.json` (see `Index`) and shards `maps-00000.safetensors`, each with `values`
(N, K, H, W) float16, probabilities, and `indices` (N, K, H, W) int16, classes, of N consecutive
images; an image that could not be read has zeros. The published one is a folder of
`class/image.pt`, each a half-precision tensor (2, K, H, W) saved by torch: the teacher's logits,
then their classes.

Length: two formats, with what can be wrong with each.
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

from spectralvision.data.images import Images, Subset
from spectralvision.runs import UserError, atomic_write, expand_user, read_json, write_json

INDEX = "label_maps.json"
FORMAT = "spectralvision label maps 1"
GENERATE = "`spectralvision token-labels --teacher TEACHER --data DATA --out DIR`"
RESUME = "the same `spectralvision token-labels` command generates what is missing"
MAX_REASON_CHARACTERS = 200
MAX_TOTAL = 1.01
"""Of the probabilities at a position, as float16 rounds them."""


class LabelMap(NamedTuple):
    """The label map of one image."""

    values: Tensor  # (K, H, W) float16
    indices: Tensor  # (K, H, W) int16


@dataclass(frozen=True, kw_only=True)
class Index:
    """The description of the shards in a folder. Folders with equal indices have equal maps."""

    teacher: str
    weights: str
    """Digest of the teacher's weights."""
    data: str
    split: str
    fingerprint: str
    """See `ordered_fingerprint`."""
    classes: list[str]
    count: int
    """Number of images."""
    shard: int
    """Images per shard; the last shard may have fewer."""
    shape: list[int]
    """K, H, W."""
    input_size: list[int]
    """Height and width in pixels to which whole images were resized for the teacher."""
    format: str = FORMAT
    sizes: str = ""
    """Digest of the sizes of the image files; empty where unknown."""
    preprocessing: str = ""
    """Digest of how the teacher's images were prepared; empty where unknown."""

    def check(self) -> None:
        """Raise `ValueError` for values that no folder of maps can have."""
        numbers = [self.count, self.shard, *self.shape]
        if len(self.shape) != 3 or not all(type(one) is int and one >= 1 for one in numbers):
            raise ValueError(f"count {self.count}, shard {self.shard}, shape {self.shape}")
        if not isinstance(self.classes, list) or not self.classes:
            raise ValueError(f"classes {self.classes}")

    def num_shards(self) -> int:
        """Return the number of shards."""
        return -(-self.count // self.shard)

    def rows(self, number: int) -> range:
        """Return the numbers of the images in a shard."""
        return range(number * self.shard, min((number + 1) * self.shard, self.count))

    def write(self, folder: Path) -> None:
        """Write `label_maps.json`."""
        write_json(folder / INDEX, asdict(self))


def read_index(folder: Path) -> Index:
    """Return the index of a folder.

    Raises:
        UserError: It is missing, damaged, or of another version.
    """
    fields = read_json(folder / INDEX)
    if fields.get("format") != FORMAT:
        raise UserError(
            f"{folder / INDEX} was written by another version ({fields.get('format')!r}): "
            "generate the maps again."
        )
    try:
        index = Index(**fields)
        index.check()
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{folder / INDEX} cannot be used ({error}): generate the maps again."
        ) from None
    return index


def shard_path(folder: Path, number: int) -> Path:
    """Return where a shard is stored."""
    return folder / f"maps-{number:05d}.safetensors"


def write_shard(folder: Path, index: Index, number: int, maps: LabelMap) -> None:
    """Write the (N, K, H, W) maps of a shard atomically, with their digest."""
    maps = LabelMap(*(value.contiguous() for value in maps))
    content = save(maps._asdict(), metadata={"digest": _digest(index, number, maps)})
    with atomic_write(shard_path(folder, number)) as temporary:
        temporary.write_bytes(content)


def problem_of_shard(folder: Path, index: Index, number: int) -> str | None:
    """Return why a shard cannot be used, in a few words; None if it can. All of it is read."""
    path = shard_path(folder, number)
    shape = [len(index.rows(number)), *index.shape]
    if not path.is_file():
        return "is missing"
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in sorted(file.keys())}
            found = {name: (one.get_dtype(), one.get_shape()) for name, one in slices.items()}
            if found != {"values": ("F16", shape), "indices": ("I16", shape)}:
                return f"does not contain {shape[0]} maps of {index.shape}"
            maps = LabelMap(*(file.get_tensor(name) for name in LabelMap._fields))
            digest = (file.metadata() or {}).get("digest")
    except (SafetensorError, OSError) as error:
        return f"is truncated or damaged ({_reason(error)})"
    if digest is not None and digest != _digest(index, number, maps):  # older ones have none
        return "is damaged or of other maps (its checksum differs)"
    return _problem_of_maps(maps, len(index.classes))


def _digest(index: Index, number: int, maps: LabelMap) -> str:
    """Return a digest of the content of a shard, and of what it belongs to."""
    owner = f"{index.weights} {index.fingerprint} {number}"
    digest = hashlib.blake2b(owner.encode(), digest_size=16)
    for value in maps:
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _problem_of_maps(maps: LabelMap, num_classes: int) -> str | None:
    """Return what is wrong with probabilities or classes, in a few words."""
    low, high = maps.indices.min(), maps.indices.max()
    if low < 0 or high >= num_classes:
        outside = int(low if low < 0 else high)
        return f"has class {outside}, but the images have {num_classes} classes"
    values = maps.values.float()
    is_probability = (values >= 0) & (values <= 1)  # false for NaN
    if not is_probability.all():
        return f"has a probability of {float(values[~is_probability][0]):g}"
    total = float(values.sum(dim=1).max())
    return None if total <= MAX_TOTAL else f"has probabilities that add up to {total:g}"


def ordered_fingerprint(images: Images) -> str:
    """Return a digest of the names and labels of images, in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for row, label in enumerate(images.labels.tolist()):
        digest.update(f"{images.name(row)}\t{label}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


class LabelMaps(ABC):
    """The label maps of some images, by the index of the image."""

    logits: bool
    """Whether values are logits, else probabilities."""

    @abstractmethod
    def __getitem__(self, index: int) -> LabelMap:
        """Return the map of one image.

        Raises:
            UserError: There is none, or it cannot be read.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return what run.json records about the maps."""


class StoredMaps(LabelMaps):
    """Maps in shards.

    Args:
        folder: Where the shards are.
        index: Their description.
        rows: (N,) position of each image among those of the index.
    """

    logits = False

    def __init__(self, folder: Path, index: Index, rows: np.ndarray) -> None:
        self.folder, self.index, self.rows = folder, index, rows
        self._open: dict[int, Any] = {}

    def __getitem__(self, index: int) -> LabelMap:
        number, position = divmod(int(self.rows[index]), self.index.shard)
        path = shard_path(self.folder, number)
        try:
            if number not in self._open:
                self._open[number] = safe_open(path, framework="pt")
            slices = [self._open[number].get_slice(name) for name in LabelMap._fields]
            found = LabelMap(*(one[position : position + 1][0] for one in slices))
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} cannot be read ({_reason(error)}): {RESUME}.") from None
        if not found.values.any():
            raise UserError(
                f"{path} has no map of an image that could not be read when the maps were "
                f"generated: delete it, and {RESUME}."
            )
        return found

    def facts(self) -> dict[str, Any]:
        known = {name: value for name, value in asdict(self.index).items() if value != ""}
        return known | {"classes": len(self.index.classes)}

    def __str__(self) -> str:
        return f"{self.folder}: {_describe_shape(self.index.shape)}, by {self.index.teacher}"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}  # a spawned worker opens its own files


class PublishedMaps(LabelMaps):
    """One file of the published format for each image, in the order of the images."""

    logits = True

    def __init__(self, files: Sequence[Path], num_classes: int) -> None:
        self.files, self.num_classes = files, num_classes
        self.shape: tuple[int, ...] | None = None
        self.shape = tuple(self[0].values.shape)

    def __getitem__(self, index: int) -> LabelMap:
        # 1. Read the file
        path = self.files[index]
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a broken or hostile file can fail in any way
            raise UserError(f"{path} cannot be read as a label map ({_reason(error)}).") from None

        # 2. Check its shape and its classes
        is_map = isinstance(stored, Tensor) and stored.ndim == 4 and len(stored) == 2
        if not is_map or not stored.numel() or stored.is_complex():
            raise UserError(
                f"{path} is not a label map: it should contain one tensor of shape "
                "(2, classes, rows, columns)."
            )
        values, indices = stored[0].half(), stored[1]
        if self.shape not in (None, tuple(values.shape)):
            raise UserError(
                f"{path} has maps of {tuple(values.shape)}, but {self.files[0]} of {self.shape}."
            )
        if not stored.isfinite().all():
            raise UserError(f"{path} has a value that is NaN or infinite.")
        if not 0 <= indices.min() <= indices.max() < self.num_classes:
            outside = int(indices.max() if indices.min() >= 0 else indices.min())
            raise UserError(
                f"{path} has class {outside}, but the images have {self.num_classes} classes."
            )
        return LabelMap(values, indices.to(torch.int16))

    def facts(self) -> dict[str, Any]:
        folder = str(self.files[0].parents[1])
        return {"format": "published", "folder": folder, "count": len(self.files)}

    def __str__(self) -> str:
        shape = self[0].values.shape
        return f"{self.files[0].parents[1]}: {_describe_shape(shape)}, in the published format"


def open_label_maps(folder: str | Path, images: Images, classes: Sequence[str]) -> LabelMaps:
    """Return the maps of `images`, in either format.

    Our maps must have been generated from these images or from a set that they are a subset of;
    published maps are found by class folder and file name.

    Raises:
        UserError: There are no maps, they are of other images or classes, or a shard is missing or
            truncated.
    """
    folder = expand_user(folder)
    if (folder / INDEX).is_file():
        return _open_stored(folder, images, classes)
    files = {_key(path): path for path in _find_tensors(folder)}
    if not files:
        raise UserError(f"{folder} has no label maps: {GENERATE} generates them.")
    found = [_find_file(files, images.name(row)) for row in range(len(images))]
    missing = [row for row, path in enumerate(found) if path is None]
    if missing:
        raise UserError(
            f"{folder} has no label map for {len(missing)} of the {len(images)} training images "
            f"({images.name(missing[0])}): it should have class/image.pt for each."
        )
    return PublishedMaps([path for path in found if path is not None], len(classes))


def _open_stored(folder: Path, images: Images, classes: Sequence[str]) -> StoredMaps:
    # 1. Compare the classes and the images with those of the index
    index = read_index(folder)
    if list(classes) != index.classes:
        raise UserError(
            f"{folder} has label maps of other classes ({_shorten(index.classes)}) than the images "
            f"({_shorten(classes)}): {GENERATE} generates new ones."
        )
    rows = next((rows for one, rows in _ancestors(images) if _is_labeled(one, index)), None)
    if rows is None:
        raise UserError(
            f"{folder} has label maps of other images ({index.count} of {index.data}, "
            f"{index.split}) than the {len(images)} training images: {GENERATE} generates new ones."
        )

    # 2. Check the shards
    numbers = range(index.num_shards())
    problems = {number: problem_of_shard(folder, index, number) for number in numbers}
    unusable = [number for number, problem in problems.items() if problem]
    if unusable:
        first, *others = unusable
        more = f" ({len(others)} more cannot be used)" if others else ""
        raise UserError(f"{shard_path(folder, first)} {problems[first]}{more}: {RESUME}.")
    return StoredMaps(folder, index, rows)


def _is_labeled(images: Images, index: Index) -> bool:
    """Return whether the maps were generated from exactly these images."""
    return len(images) == index.count and ordered_fingerprint(images) == index.fingerprint


def _ancestors(images: Images) -> Iterator[tuple[Images, np.ndarray]]:
    """Yield the images and each set that they are a subset of, with their positions in it."""
    rows = np.arange(len(images))
    while isinstance(images, Subset):
        yield images, rows
        rows = images.indices[rows]
        images = images.base
    yield images, rows


def _find_tensors(folder: Path) -> Iterator[Path]:
    """Yield the files of the published format below a folder."""
    for root, _, names in os.walk(folder, followlinks=True):
        yield from (Path(root, name) for name in names if name.endswith((".pt", ".pth")))


def _key(path: Path) -> tuple[str, str]:
    return path.parent.name, path.stem


def _find_file(files: dict[tuple[str, str], Path], name: str) -> Path | None:
    """Return the file of an image; the authors' script cuts image names at the first dot."""
    path = PurePosixPath(name)
    cut = path.name.split(".")[0]
    return files.get((path.parent.name, path.stem)) or files.get((path.parent.name, cut))


def _describe_shape(shape: Sequence[int]) -> str:
    top, height, width = shape
    return f"top {top} classes at {height} x {width} positions"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:MAX_REASON_CHARACTERS]


def _shorten(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
