"""Answers on any number of images, into a file: in constant memory, by one process or several, resumable."""

import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spectralvision.data.datasets import Images
from spectralvision.data.loading import in_batches, reader_died
from spectralvision.runs import UserError, disk_full, spoken
from spectralvision.tasks.loading import architecture, data_config, weights_digest
from spectralvision.tasks.parts import Parts, refuse_out, unreadable_beside
from spectralvision.tasks.prediction import Answers, Predictor, cells, columns
from spectralvision.tasks.trial import out_of_memory

MOST, LEAST, WANTED = 4096, 256, 64  # images in a part: most and least; parts that several processes can share out
SAID = 60.0  # seconds between lines of progress where there is no terminal
NAMED = 10  # unreadable images that are named

Say = Callable[[str], None]


def predict_into(
    predictor: Predictor,
    images: Images,
    out: Path,
    truth: Sequence[str] | None = None,
    shard: tuple[int, int] = (1, 1),
    say: Say = print,
) -> dict[str, Any]:
    """Writes the answers on `images` into `out`, a row each, in their order; the same call goes on after a kill.

    Args:
        predictor: The model.
        images: All of them, also where there are several shards.
        out: .csv or .parquet.
        truth: Names of the images' own labels.
        shard: (k, n): this process does the k-th of n shares, k from 1. Whichever ends last puts the file together.
        say: Called with a line on the progress now and then, where there is no terminal.

    Returns:
        out, finished (whether the file is in its place), parts_missing; images (answered), num_unreadable, unreadable
        (the first ten), unreadable_out, all of this share, or of all once it is finished; images_per_second.

    Raises:
        UserError: `out` exists or was begun with other images, another model or other settings; a full disk.
        KeyboardInterrupt: On Ctrl-C, saying how far it is.
    """
    size = min(MOST, max(LEAST, -(-len(images) // WANTED)))
    if (shard[0] - 1) * size >= len(images):  # fewer parts than shares: the others may have ended already
        nothing: dict[str, Any] = {"images": 0, "num_unreadable": 0, "unreadable": [], "unreadable_out": None}
        return {"out": str(out), "finished": out.exists(), "parts_missing": 0, **nothing, "images_per_second": None}
    refuse_out(out)
    names = columns(predictor.top_k, truth is not None)
    with _told(out, predictor):
        parts = Parts(out, names, len(images), size, _job(predictor, images, names))
        with parts.shared():
            share = range(shard[0] - 1, len(parts), shard[1])
            speed = _write(parts, share, predictor, images, truth, say)
            result = _summary(parts, share)
            finished = not parts.missing() and parts.last()
            if finished:
                result = _summary(parts, range(len(parts)))
                parts.merge()
            missing = [] if finished else parts.missing()
    listed = str(unreadable_beside(out)) if finished and result["num_unreadable"] else None
    done = {"finished": finished, "parts_missing": len(missing), "unreadable_out": listed}
    return {"out": str(out), **done, **result, "images_per_second": speed}


def _write(
    parts: Parts, share: range, predictor: Predictor, images: Images, truth: Sequence[str] | None, say: Say
) -> float | None:
    """Writes what is missing of these parts; returns images per second.

    A batch lies within a part, so that a part does not depend on which others are there.
    """
    numbers, wanted = parts.missing(share), sum(len(parts.rows(number)) for number in share)
    sizes = [len(parts.rows(number)) for number in numbers]
    if done := wanted - sum(sizes):
        say(f"going on: {done} of {wanted} images are done")
    tell = _Progress(sum(sizes), say)
    batches = [batch for n in numbers for batch in in_batches(parts.rows(n), predictor.engine.batch_size)]
    answers = predictor.answers(images, batches, truth) if batches else iter(())
    for number, size in zip(numbers, sizes, strict=True):
        rows: list[list[Any]] = []
        unreadable: list[list[str]] = []
        for answer in _of_part(answers, size):
            rows += map(cells, answer.predictions)
            unreadable += ([one["image"], one["reason"]] for one in answer.unreadable)
        parts.write(number, rows, unreadable)
        tell.done(size)
    return tell.speed()


def _of_part(answers: Iterator[Answers], size: int) -> Iterator[Answers]:
    while size > 0:
        answer = next(answers)
        size -= len(answer.predictions) + len(answer.unreadable)
        yield answer


def _summary(parts: Parts, numbers: range) -> dict[str, Any]:
    images, num_unreadable = sum(len(parts.rows(number)) for number in numbers), 0
    first: list[dict[str, str]] = []
    for one in parts.unreadable(numbers):
        num_unreadable += 1
        first += [one] if len(first) < NAMED else []
    return {"images": images - num_unreadable, "num_unreadable": num_unreadable, "unreadable": first}


def _job(predictor: Predictor, images: Images, names: list[str]) -> dict[str, Any]:
    """What the rows depend on. Of the images their names count, not what the files hold."""
    listed = hashlib.blake2b(digest_size=16)
    for row in range(len(images)):
        listed.update(images.name(row).encode("utf-8", "surrogateescape") + b"\0")
    settings = {"--flip": predictor.flip, "--precision": predictor.engine.precision, "--top-k": predictor.top_k}
    return {"model": _digest(predictor), "list of images": listed.hexdigest(), **settings, "set of columns": names}


def _digest(predictor: Predictor) -> str:
    """Of the weights, the preprocessing and the classes."""
    model = predictor.model
    facts = (architecture(model), sorted(data_config(model).items()), predictor.titles, weights_digest(model))
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()


class _Progress:
    """Images done, images a second and the time that is left, in a line a minute."""

    def __init__(self, total: int, say: Say) -> None:
        self.total, self.say, self.images = total, say, 0
        self.start = self.said = time.monotonic()

    def done(self, images: int) -> None:
        self.images += images
        now = time.monotonic()
        if now - self.said >= SAID and not sys.stderr.isatty():
            left = (self.total - self.images) * (now - self.start) / self.images
            self.say(f"{self.images} of {self.total} images, {self.speed():.0f} images/s, {spoken(left)} left")
            self.said = now

    def speed(self) -> float | None:
        return round(self.images / (time.monotonic() - self.start), 1) if self.images else None


@contextmanager
def _told(out: Path, predictor: Predictor) -> Iterator[None]:
    """What the person who waits can mend, in a sentence; how to go on."""
    on = f"the same command goes on where it stopped (see {out}.parts)"
    try:
        yield
    except UserError:
        raise
    except KeyboardInterrupt:
        raise KeyboardInterrupt(on) from None
    except Exception as error:
        if out_of_memory(error):
            reason = f"a batch of {predictor.engine.batch_size} does not fit into memory: see --batch-size"
        elif disk_full(error):
            reason = f"the disk is full ({error}): make room"
        elif isinstance(error, OSError):
            reason = f"{out} cannot be written ({error})"
        elif reader_died(error):
            reason = f"a process that reads images has died ({' '.join(str(error).split())}): see --workers"
        else:
            raise
        raise UserError(f"{reason}; {on}.") from None
