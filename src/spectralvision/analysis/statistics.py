"""What predictions on labelled images say, and how far to trust it. Numbers only; N images, K classes.

The interval of a share is Wilson's: it stays inside 0..1, and means something for few images and at 0 and 100 %.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

FEW_IMAGES, FEW_OF_A_CLASS = 30, 5  # below these a share says little
WIDE = 0.10  # width of an interval
IMBALANCE = 5  # largest class over smallest
GAP = 0.10  # accuracy on training images over that on validation images
STILL_RISING = 0.02  # accuracy won in the last fifth of the epochs


def wilson(right: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share `right` / `total`; z = 1.96 is 95 %. (0, 1) where there is nothing to count."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = right / total, z * z / total
    centre, half = share + z2 / 2, math.sqrt(z2 * (share * (1 - share) + z2 / 4))
    return max(0.0, (centre - half) / (1 + z2)), min(1.0, (centre + half) / (1 + z2))


@dataclass(frozen=True)
class Judgement:
    """Predictions against the truth: `probabilities` is (N, K), `labels` (N,)."""

    probabilities: np.ndarray
    labels: np.ndarray

    @cached_property
    def predicted(self) -> np.ndarray:
        """(N,) the most probable class."""
        return self.probabilities.argmax(axis=1)

    @property
    def total(self) -> int:
        """N."""
        return len(self.labels)

    @property
    def right(self) -> int:
        """Images classified rightly."""
        return int((self.predicted == self.labels).sum())

    @property
    def accuracy(self) -> float:
        """The share classified rightly."""
        return self.right / self.total

    @property
    def top5(self) -> float | None:
        """The share with the truth among the five most probable; None with five classes or fewer."""
        if self.probabilities.shape[1] <= 5:
            return None
        five = np.argpartition(-self.probabilities, 5, axis=1)[:, :5]
        return float((five == self.labels[:, None]).any(axis=1).mean())

    @cached_property
    def confusion(self) -> np.ndarray:
        """(K, K) counts: rows are true classes, columns predicted ones."""
        num = self.probabilities.shape[1]
        return np.bincount(self.labels * num + self.predicted, minlength=num * num).reshape(num, num)

    @property
    def counts(self) -> np.ndarray:
        """(K,) images of each class."""
        return self.confusion.sum(axis=1)

    @property
    def recall(self) -> np.ndarray:
        """(K,) of the images of a class, the share found; nan where there is none."""
        return _share(self.confusion.diagonal(), self.counts)

    @property
    def precision(self) -> np.ndarray:
        """(K,) of the answers that name a class, the share that is right; nan where there is none."""
        return _share(self.confusion.diagonal(), self.confusion.sum(axis=0))

    @property
    def certainty(self) -> float:
        """The mean probability of the answers given."""
        return float(self.probabilities.max(axis=1).mean())

    @property
    def guessing(self) -> float:
        """Accuracy of always naming the most frequent class."""
        return float(self.counts.max() / self.total)

    def ranked(self) -> list[int]:
        """Classes that have images, the best found first; of equal ones that with more images first."""
        present = np.flatnonzero(self.counts)
        return [int(label) for label in sorted(present, key=lambda k: (-self.recall[k], -self.counts[k], k))]

    def confusions(self, limit: int) -> list[tuple[int, int, int]]:
        """The most frequent (true class, predicted class, images)."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
        pairs = [(int(cell) // len(wrong), int(cell) % len(wrong)) for cell in order]
        return [(truth, said, int(wrong[truth, said])) for truth, said in pairs if wrong[truth, said]]

    def mistakes(self, limit: int) -> list[int]:
        """The images most firmly taken for something else: those whose truth was given the least probability."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        order = np.argsort(self.probabilities[wrong, self.labels[wrong]], kind="stable")
        return [int(index) for index in wrong[order][:limit]]


def doubts(
    judged: Judgement,
    classes: Sequence[str],
    train_counts: np.ndarray | None,
    epochs: Sequence[Mapping[str, Any]],
    status: str = "finished",
) -> list[str]:
    """Sentences that say when a number cannot be trusted, and what would help.

    Args:
        train_counts: (K,) training images of each class, where they are known.
        epochs: Rows of `metrics.csv`.
        status: Of the run.
    """
    found = ["Training was stopped before its end."] if status == "interrupted" else []
    return found + _about_images(judged, classes) + _about_balance(classes, train_counts) + _about_training(epochs)


def _about_images(judged: Judgement, classes: Sequence[str]) -> list[str]:
    found, total = [], judged.total
    low, high = wilson(judged.right, total)
    if total < FEW_IMAGES:
        found.append(
            f"Only {_count(total, 'validation image')}: one image more or less right moves the accuracy by "
            f"{100 / total:.1f} points. Hold out at least {FEW_IMAGES}, better some hundreds."
        )
    if high - low > WIDE:
        found.append(
            f"The accuracy of {judged.accuracy:.1%} is known only roughly: with {_count(total, 'image')} it may as "
            f"well be {low:.0%} or {high:.0%}. Two runs whose intervals overlap cannot be ranked."
        )
    few = [classes[int(label)] for label in np.flatnonzero(judged.counts < FEW_OF_A_CLASS)]
    if few:
        found.append(
            f"{_count(len(few), 'class')} of {len(classes)} with fewer than {FEW_OF_A_CLASS} validation images "
            f"({_some(few)}): the figures of single classes there say next to nothing."
        )
    if low <= judged.guessing:
        found.append(
            f"Always naming the most frequent class would be right in {judged.guessing:.1%}: the network is not shown "
            "to be better than that."
        )
    return found


def _about_balance(classes: Sequence[str], train_counts: np.ndarray | None) -> list[str]:
    if train_counts is None or train_counts.max() <= IMBALANCE * train_counts.min():
        return []
    most, least = int(train_counts.argmax()), int(train_counts.argmin())
    return [
        f"The classes are of very different size: {_count(int(train_counts[most]), 'training image')} of "
        f"{classes[most]}, {int(train_counts[least])} of {classes[least]}. The accuracy is mostly that of the large "
        "classes: look at the single classes below."
    ]


def _about_training(epochs: Sequence[Mapping[str, Any]]) -> list[str]:
    found: list[str] = []
    top1 = [float(row["val_top1"]) for row in epochs]
    if not top1:
        return found
    if len(top1) == 1:
        return ["The network saw each image only once: more --epochs should give more."]
    last = max(1, len(top1) // 5)
    gain = max(top1[-last:]) - max(top1[:-last])
    if gain > STILL_RISING:
        found.append(
            f"Training ended while the accuracy was still rising ({gain * 100:.1f} points in the last "
            f"{'epoch' if last == 1 else f'{last} epochs'} of {len(top1)}): more --epochs should give more."
        )
    best = epochs[int(np.argmax(top1))]
    gap = float(best.get("train_top1", 0.0)) - float(best["val_top1"])
    if gap > GAP:
        found.append(
            f"On the training images {float(best['train_top1']):.1%} were right, {gap * 100:.0f} points more than on "
            "the validation images: the network partly learnt them by heart. More images help, or more augmentation."
        )
    return found


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing if number == 1 else thing + ('es' if thing.endswith('s') else 's')}"


def _some(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
