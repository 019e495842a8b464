"""Labelled images by index, from wherever they are stored: folders, parquet shards, arrays, timm's readers."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import IterableDataset

from spectralvision.data.images import open_image, to_rgb
from spectralvision.runs import UserError


class Images(ABC):
    """Labelled images by index: `labels` is (N,) int64, images are opened one at a time."""

    def __init__(self, labels: Sequence[int] | np.ndarray) -> None:
        self.labels = np.asarray(labels, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def image(self, index: int) -> Image.Image:
        """The image as 8-bit RGB."""

    def encoded(self, index: int) -> bytes | None:
        """The file that the image is decoded from; None where there is none, and nothing that could be broken."""
        return None

    @abstractmethod
    def name(self, index: int) -> str:
        """What a person calls this image, unique in the data set: a path, or a file and a row."""


class FileImages(Images):
    """Image files below a folder."""

    def __init__(self, root: Path, files: Sequence[str], labels: Sequence[int]) -> None:
        super().__init__(labels)
        self.root, self.files = root, files

    def image(self, index: int) -> Image.Image:
        return open_image(self.root / self.files[index])

    def encoded(self, index: int) -> bytes | None:
        return (self.root / self.files[index]).read_bytes()

    def name(self, index: int) -> str:
        return self.files[index]


class ArrayImages(Images):
    """Grey images held in memory, (N, H, W) uint8."""

    def __init__(self, pixels: np.ndarray, labels: Sequence[int] | np.ndarray, title: str) -> None:
        super().__init__(labels)
        self.pixels, self.title = pixels, title

    def image(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index]).convert("RGB")

    def name(self, index: int) -> str:
        return f"{self.title}/{index}"


class ReaderImages(Images):
    """A map-style reader of timm, or a torchvision data set: items are (image or open file, label)."""

    def __init__(self, reader: Any, labels: Sequence[int], title: str) -> None:
        super().__init__(labels)
        self.reader, self.title = reader, title

    def image(self, index: int) -> Image.Image:
        image = self.reader[index][0]
        return to_rgb(image) if isinstance(image, Image.Image) else open_image(image.read(), self.name(index))

    def encoded(self, index: int) -> bytes | None:
        image = self.reader[index][0]
        return None if isinstance(image, Image.Image) else bytes(image.read())

    def name(self, index: int) -> str:
        return f"{self.title}/{index}"


class Subset(Images):
    """Some of the images of another data set."""

    def __init__(self, base: Images, indices: Sequence[int] | np.ndarray) -> None:
        self.base, self.indices = base, np.asarray(indices, dtype=np.int64)
        super().__init__(base.labels[self.indices])

    def image(self, index: int) -> Image.Image:
        return self.base.image(int(self.indices[index]))

    def encoded(self, index: int) -> bytes | None:
        return self.base.encoded(int(self.indices[index]))

    def name(self, index: int) -> str:
        return self.base.name(int(self.indices[index]))


class Relabelled(Images):
    """The same images with labels counted in another order of classes."""

    def __init__(self, base: Images, order: Sequence[int]) -> None:
        super().__init__(np.asarray(order, dtype=np.int64)[base.labels])
        self.base = base

    def image(self, index: int) -> Image.Image:
        return self.base.image(index)

    def encoded(self, index: int) -> bytes | None:
        return self.base.encoded(index)

    def name(self, index: int) -> str:
        return self.base.name(index)


class Stream(IterableDataset[tuple[Image.Image, int]]):
    """Images that come in a reader's own order, as (RGB image, label). Their randomness is the reader's own."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[tuple[Image.Image, int]]:
        for image, label in self.dataset:
            yield to_rgb(image), int(label)


@dataclass(frozen=True)
class Data:
    """A data set: its classes and its splits (`train`, `val`, `test`; `all` where nothing divides it).

    `hflip` is the chance of mirroring a training image: 0 where a mirrored image is another thing. `photographs` says
    whether augmentations made for photographs suit it.
    """

    name: str
    classes: tuple[str, ...]
    splits: dict[str, Images | Stream]
    hflip: float = 0.5
    photographs: bool = True
    facts: dict[str, Any] = field(default_factory=dict)

    def split(self, name: str) -> Images | Stream:
        """The images of one split.

        Raises:
            UserError: There is no such split.
        """
        if name not in self.splits:
            raise UserError(f"{self.name} has no split {name!r}: it has {', '.join(self.splits)}.")
        return self.splits[name]

    def held_out(self) -> str:
        """The split to judge a model on: test, else val, else all there is."""
        return next(name for name in ("test", "val", "all", "train") if name in self.splits)

    def in_order_of(self, label_names: Sequence[str], whose: str) -> "Data":
        """The same data with labels counted as in `label_names`, matched by name.

        Raises:
            UserError: A class of the data is not among `label_names`.
        """
        unknown = [name for name in self.classes if name not in label_names]
        if unknown:
            raise UserError(
                f"{self.name} has {_count(unknown, 'class', 'classes')} that {whose} does not know "
                f"({_some(unknown)}): it knows {_some(label_names)}."
            )
        if list(label_names) == list(self.classes):
            return self
        order = [list(label_names).index(name) for name in self.classes]
        splits: dict[str, Images | Stream] = {}
        for split, images in self.splits.items():
            assert isinstance(images, Images)  # streams name their classes by number
            splits[split] = Relabelled(images, order)
        return replace(self, classes=tuple(label_names), splits=splits)


def carve(data: Data, fraction: float, seed: int, fold: tuple[int, int] | None = None) -> Data:
    """The same data with a `val` split: where there is none it is taken from `train`, stratified, by seed.

    An image's side depends on its name and the seed alone, not on the order of the files. `fold` (k, n) holds out the
    k-th of n parts, k from 1, in place of the fraction: the n parts have no image in common and hold all of them, but
    for the only image of a class, which is always trained on.

    Raises:
        UserError: There is nothing to train on, or too little to hold anything out.
    """
    if "train" not in data.splits and "all" not in data.splits:
        raise UserError(f"{data.name} has nothing to train on: its only split is {', '.join(data.splits)}.")
    if "val" in data.splits:
        if fold:
            raise UserError(f"{data.name} has a val split of its own: leave --folds out, or merge train and val.")
        return data
    if not 0 < fraction < 1:
        raise UserError(f"--val-fraction {fraction} should lie between 0 and 1.")
    source = "train" if "train" in data.splits else "all"
    images = data.splits[source]
    if isinstance(images, Stream):
        raise UserError(f"{data.name} has no val split, and a stream cannot be divided: use a reader by index.")
    held_out = hold_out_fold(images, fold, seed) if fold else hold_out(images, fraction, seed)
    if not held_out.any():
        raise UserError(f"{data.name} has no class with two images: nothing can be held out to validate on.")
    train, val = Subset(images, np.flatnonzero(~held_out)), Subset(images, np.flatnonzero(held_out))
    splits: dict[str, Images | Stream] = {"train": train, "val": val}
    splits |= {name: split for name, split in data.splits.items() if name not in ("train", "all")}
    carved = {"from": source, "fraction": fraction, "seed": seed, "fold": fold, "fingerprint": fingerprint(images)}
    return replace(data, splits=splits, facts=data.facts | {"val_carved": carved})


def carve_as_trained(data: Data, facts: dict[str, Any]) -> Data:
    """Repeats the cut of a run when `data` is what the run was trained on, so that its training images stay apart."""
    carved = facts.get("val_carved")
    if not carved or carved["from"] not in data.splits or "val" in data.splits:
        return data
    images = data.splits[carved["from"]]
    if isinstance(images, Stream) or fingerprint(images) != carved["fingerprint"]:
        return data
    fold = carved.get("fold")
    return carve(data, carved["fraction"], carved["seed"], tuple(fold) if fold else None)


def hold_out(images: Images, fraction: float, seed: int) -> np.ndarray:
    """(N,) bool: of each class with at least two images the given fraction, one at least and not all."""
    held_out = np.zeros(len(images), dtype=bool)
    for members in _shuffled_classes(images, seed):
        held_out[members[: min(max(1, round(len(members) * fraction)), len(members) - 1)]] = True
    return held_out


def hold_out_fold(images: Images, fold: tuple[int, int], seed: int) -> np.ndarray:
    """(N,) bool: of each class with at least two images the k-th of n parts, where `fold` is (k, n) and k from 1."""
    number, num = fold
    held_out = np.zeros(len(images), dtype=bool)
    for members in _shuffled_classes(images, seed):
        start = (number - 1 - int(images.labels[members[0]])) % num  # small classes do not all begin in the first part
        held_out[members[start::num]] = True
    return held_out


def _shuffled_classes(images: Images, seed: int) -> Iterator[list[int]]:
    """The images of each class with at least two, in an order by name and seed."""
    rank = [hashlib.blake2b(f"{seed}/{images.name(i)}".encode(), digest_size=8).digest() for i in range(len(images))]
    for label in np.unique(images.labels):
        members = sorted(map(int, np.flatnonzero(images.labels == label)), key=lambda i: rank[i])
        if len(members) > 1:
            yield members


def fingerprint(images: Images) -> str:
    """Tells whether two sets hold the same names with the same labels, wherever they lie."""
    lines = sorted(f"{images.name(i)}\t{images.labels[i]}" for i in range(len(images)))
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _some(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(map(str, names[:limit])) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _count(things: Sequence[Any], one: str, many: str) -> str:
    return f"{len(things)} {one if len(things) == 1 else many}"
