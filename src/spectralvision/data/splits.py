"""A data set with its classes and splits, and the division of one split into train and val."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spectralvision.data.images import Images, RelabeledImages, Stream, Subset
from spectralvision.data.names import normalize_name
from spectralvision.runs import UserError


@dataclass(frozen=True)
class Data:
    """A data set.

    Attributes:
        name: For messages and the run folder.
        classes: Class names, in the order of the labels.
        splits: `train`, `val` and `test`, as far as they exist, or `all` for data without splits.
        hflip: Default probability of a horizontal flip; 0 where flipped images mean something else.
        photographs: Whether augmentation policies for photographs are suitable.
        facts: What `run.json` records about the data.
    """

    name: str
    classes: tuple[str, ...]
    splits: dict[str, Images | Stream]
    hflip: float = 0.5
    photographs: bool = True
    facts: dict[str, Any] = field(default_factory=dict)

    def split(self, name: str) -> Images | Stream:
        """Return the images of a split.

        Raises:
            UserError: There is no such split.
        """
        if name in self.splits:
            return self.splits[name]
        if name in self.facts.get("unlabeled", {}):
            raise UserError(
                f"{self.name} has no labels in its split {name!r}: use {', '.join(self.splits)}."
            )
        raise UserError(f"{self.name} has no split {name!r}: it has {', '.join(self.splits)}.")

    def held_out(self) -> str:
        """Return the split to evaluate on: test, else val, else all images."""
        return next(name for name in ("test", "val", "all", "train") if name in self.splits)

    def reorder_classes(self, classes: Sequence[str], owner: str) -> "Data":
        """Return the same data with the labels of `classes`, matched by class name.

        Names are compared in Unicode's composed form (NFC).

        Args:
            classes: Class names of a model, in the order of its logits.
            owner: The model, for the error message.

        Raises:
            UserError: A class of the data is not in `classes`.
        """
        new_labels = self.number_classes(classes, owner)
        if list(classes) == list(self.classes):
            return self
        splits: dict[str, Images | Stream] = {}
        for split, images in self.splits.items():
            assert isinstance(images, Images)  # classes of streams are numbers
            splits[split] = RelabeledImages(images, new_labels)
        return replace(self, classes=tuple(classes), splits=splits)

    def number_classes(self, classes: Sequence[str], owner: str) -> list[int]:
        """Return the index in `classes` of each class of the data; see `reorder_classes`."""
        label_of = {normalize_name(name): label for label, name in reversed([*enumerate(classes)])}
        unknown = [name for name in self.classes if normalize_name(name) not in label_of]
        if unknown:
            count = "1 class" if len(unknown) == 1 else f"{len(unknown)} classes"
            raise UserError(
                f"{self.name} has {count} that {owner} does not know "
                f"({_shorten_list(unknown)}): it knows {_shorten_list(classes)}."
            )
        return [label_of[normalize_name(name)] for name in self.classes]


def split_train_val(
    data: Data, fraction: float, seed: int, fold: tuple[int, int] | None = None
) -> Data:
    """Return the data with a `val` split, taken from `train` or `all` if there is none.

    The split is stratified. Where an image goes depends on its name and the seed only, not on the
    order of the files.

    Args:
        data: A data set.
        fraction: Fraction of the images of each class in val.
        seed: Seed of the split.
        fold: (k, n), in place of `fraction`: val is fold k of n, with k from 1. The folds are
            disjoint and contain all images, except those of classes with a single image, which are
            always in train.

    Raises:
        UserError: There is no split to train on, or too few images to hold out any.
    """
    # 1. Find the images to divide
    if "train" not in data.splits and "all" not in data.splits:
        raise UserError(
            f"{data.name} has no split to train on, only {', '.join(data.splits)}: add train."
        )
    if "val" in data.splits:
        if fold:
            raise UserError(
                f"{data.name} has its own val split: leave --folds out, or merge train and val."
            )
        return data
    if not 0 < fraction < 1:
        raise UserError(f"--val-fraction {fraction} should be between 0 and 1.")
    source = "train" if "train" in data.splits else "all"
    images = data.splits[source]
    if isinstance(images, Stream):
        raise UserError(
            f"{data.name} has no val split, and a stream cannot be divided: use a reader by index."
        )

    # 2. Divide them
    held_out = hold_out_fold(images, fold, seed) if fold else hold_out(images, fraction, seed)
    if not held_out.any():
        what = "no class with two images" if images.has_labels else "one image only"
        raise UserError(
            f"{data.name} has {what}, so none can be held out for validation: add images, or a val "
            "split."
        )
    splits: dict[str, Images | Stream] = {
        "train": Subset(images, np.flatnonzero(~held_out)),
        "val": Subset(images, np.flatnonzero(held_out)),
    }
    splits |= {name: split for name, split in data.splits.items() if name not in ("train", "all")}

    # 3. Record how, so that the split can be repeated
    val_split = {
        "from": source,
        "fraction": fraction,
        "seed": seed,
        "fold": fold,
        "fingerprint": fingerprint(images),
    }
    return replace(data, splits=splits, facts=data.facts | {"val_split": val_split})


def take_images(data: Data, count: int | None, seed: int) -> Data:
    """Return the data with `count` images to train on, of each class in proportion; None for all.

    They are taken from `train`, or from `all` if there is none, before some are held out. Which
    ones depends on their names and the seed only.

    Raises:
        UserError: The images are a stream.
    """
    source = "train" if "train" in data.splits else "all"
    images = data.splits.get(source)
    if count is None or images is None:
        return data
    if isinstance(images, Stream):
        raise UserError(
            f"--num-images needs images by index, but {data.name} is a stream: leave it out."
        )
    if count >= len(images):
        return data
    rows = []
    for members in _shuffled_classes(images, seed):
        rows += members[: max(1, round(count * len(members) / len(images)))]
    splits = data.splits | {source: Subset(images, np.array(sorted(rows)))}
    return replace(data, splits=splits, facts=data.facts | {"num_images": len(rows)})


def repeat_split(data: Data, facts: dict[str, Any]) -> Data:
    """Return `data` with the splits of a run, if it is the data that the run was trained on.

    Args:
        data: A data set.
        facts: The entry `data` of the run's `run.json`.
    """
    val_split = facts.get("val_split") or facts.get("val_carved")  # older runs
    if not val_split or val_split["from"] not in data.splits or "val" in data.splits:
        return data
    images = data.splits[val_split["from"]]
    if isinstance(images, Stream) or fingerprint(images) != val_split["fingerprint"]:
        return data
    fold = val_split.get("fold")
    return split_train_val(
        data, val_split["fraction"], val_split["seed"], tuple(fold) if fold else None
    )


def hold_out(images: Images, fraction: float, seed: int) -> np.ndarray:
    """Return (N,) bool: `fraction` of each class, but at least one image, and not all."""
    held_out = np.zeros(len(images), dtype=bool)
    for members in _shuffled_classes(images, seed):
        count = min(max(1, round(len(members) * fraction)), len(members) - 1)
        held_out[members[:count]] = True
    return held_out


def hold_out_fold(images: Images, fold: tuple[int, int], seed: int) -> np.ndarray:
    """Return (N,) bool: fold k of n of each class, where `fold` is (k, n) with k from 1.

    Raises:
        UserError: No class has an image for each fold, so that one could be empty.
    """
    number, num_folds = fold
    largest = int(np.bincount(images.labels).max())
    if num_folds > largest:
        raise UserError(
            f"the largest class has {largest} images, too few for --folds {num_folds}: use at most "
            f"--folds {largest}."
        )
    held_out = np.zeros(len(images), dtype=bool)
    for members in _shuffled_classes(images, seed):
        # Shifted by the label, so that the images of small classes are not all in the first folds
        start = (number - 1 - int(images.labels[members[0]])) % num_folds
        held_out[members[start::num_folds]] = True
    return held_out


def _shuffled_classes(images: Images, seed: int) -> Iterator[list[int]]:
    """Yield the indices of each class with at least two images, ordered by names and seed."""
    keys = [
        hashlib.blake2b(_encode(f"{seed}/{images.name(index)}"), digest_size=8).digest()
        for index in range(len(images))
    ]
    for label in np.unique(images.labels):
        members = sorted(
            map(int, np.flatnonzero(images.labels == label)), key=lambda index: keys[index]
        )
        if len(members) > 1:
            yield members


def fingerprint(images: Images) -> str:
    """Return a digest of names and annotations, independent of their order and of the images."""
    lines = sorted(
        f"{images.name(index)}\t{images.annotation(index)}" for index in range(len(images))
    )
    return hashlib.blake2b(_encode("\n".join(lines)), digest_size=16).hexdigest()


def _encode(names: str) -> bytes:
    """Return names as the bytes that the file system has, which may be no UTF-8."""
    return names.encode("utf-8", "surrogateescape")


def _shorten_list(names: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(map(str, names[:limit]))
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
