"""Images that cannot be read are left out before training; images that stand in train and in val are named.

What is guaranteed: before the first update every image file of both splits has been decoded to its last byte; one that
fails, is cut short, empty or too large is left out of its split, counted and named. This costs at most the reading of
one epoch, for JPEG about a quarter. A file that breaks later ends the run with a sentence naming it. Damage that a
decoder does not notice goes unnoticed. Streams and images held in memory are not checked.
"""

import hashlib
import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from spectralvision.data.datasets import Data, Images, Stream, Subset
from spectralvision.data.images import problem_of
from spectralvision.data.synthetic import SyntheticImages
from spectralvision.runs import UserError

BLOCK = 512  # images in flight


@dataclass(frozen=True)
class Skipped:
    """An image that was left out, and why, in a few words."""

    split: str
    image: str
    reason: str


@dataclass(frozen=True)
class Twin:
    """An image of the training split that is, byte for byte, also one of val."""

    train: str
    val: str


def checked(data: Data) -> tuple[Data, list[Skipped], list[Twin]]:
    """The data with what can be read of train and val, what was left out, and what stands in both.

    Raises:
        UserError: Nothing that can be read is left to validate on, or of a class to train on.
    """
    skipped: list[Skipped] = []
    digests: dict[str, dict[bytes, str]] = {}
    splits = dict(data.splits)
    for split in ("train", "val"):
        images = splits[split]
        if isinstance(images, Stream | SyntheticImages):  # a million of them need no look
            continue
        good: list[int] = []
        digests[split] = {}
        with warnings.catch_warnings():  # here, as it reaches all threads and none may undo it for another
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            for index, (digest, reason) in enumerate(_looks(images)):
                if reason is not None:
                    skipped.append(Skipped(split, images.name(index), reason))
                    continue
                good.append(index)
                if digest is not None:
                    digests[split].setdefault(digest, images.name(index))
        _refuse_nothing(data, split, images, good, skipped)
        splits[split] = images if len(good) == len(images) else Subset(images, good)
    train, val = digests.get("train", {}), digests.get("val", {})
    twins = [Twin(train[digest], name) for digest, name in val.items() if digest in train]
    return replace(data, splits=splits), skipped, twins


def _looks(images: Images) -> Iterator[tuple[bytes | None, str | None]]:
    """For each image in order: a digest of its file, and why it cannot be read."""

    def look(index: int) -> tuple[bytes | None, str | None]:
        try:
            content = images.encoded(index)
        except Exception as error:  # a file that has gone, a disk that fails, a reader of someone else
            return None, " ".join(str(error).split()) or type(error).__name__
        if content is None:
            return None, None
        return hashlib.blake2b(content, digest_size=16).digest(), problem_of(content)

    blocks = range(0, len(images), BLOCK)
    if len(images) > 20 * BLOCK and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        blocks = track(blocks, "Reading images", console=Console(stderr=True), transient=True)  # type: ignore[assignment]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders let go of Python's lock
        for start in blocks:
            yield from pool.map(look, range(start, min(start + BLOCK, len(images))))


def _refuse_nothing(data: Data, split: str, images: Images, good: list[int], skipped: list[Skipped]) -> None:
    first = next((f" ({one.image}: {one.reason})" for one in skipped if one.split == split), "")
    if not good:
        raise UserError(f"{data.name} has no image in {split} that can be read{first}: add some.")
    if split == "train":
        empty = np.flatnonzero(np.bincount(images.labels[good], minlength=len(data.classes)) == 0)
        if len(empty):
            name = data.classes[empty[0]]
            raise UserError(f"{data.name} has no image of the class {name!r} to train on{first}: add some.")
