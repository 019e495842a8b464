"""Compute metrics of a classifier from its predictions, and caveats about them.

N images, K classes. Intervals of proportions are Wilson's: they stay within 0..1 and are meaningful
for few images and at 0 and 100 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import binomtest

from spectralvision.data.thresholds import (
    MIN_VAL_IMAGES,
    MIN_VAL_IMAGES_PER_CLASS,
    is_imbalanced,
)
from spectralvision.report.text import join_names, pluralize

MAX_INTERVAL_WIDTH = 0.10  # of the accuracy; a wider one is a caveat


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of `correct / total`; (0, 1) if `total` is 0."""
    if total == 0:
        return 0.0, 1.0
    bounds = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(bounds.low), float(bounds.high)


@dataclass(frozen=True)
class ClassificationResults:
    """Predictions and labels of a set of images.

    Attributes:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) true classes.
    """

    probabilities: np.ndarray
    labels: np.ndarray

    @cached_property
    def predicted(self) -> np.ndarray:
        """(N,) most probable class of each image."""
        return self.probabilities.argmax(axis=1)

    @property
    def total(self) -> int:
        """N, the number of images."""
        return len(self.labels)

    @property
    def correct(self) -> int:
        """Number of images whose predicted class is the true one."""
        return int((self.predicted == self.labels).sum())

    @property
    def accuracy(self) -> float:
        """Fraction of images that are classified correctly."""
        return self.correct / self.total

    @property
    def top5(self) -> float | None:
        """Fraction of images whose true class is among the five most probable; None if K <= 5."""
        if self.probabilities.shape[1] <= 5:
            return None
        five = np.argpartition(-self.probabilities, 5, axis=1)[:, :5]
        return float((five == self.labels[:, None]).any(axis=1).mean())

    @cached_property
    def confusion(self) -> np.ndarray:
        """(K, K) counts: rows are true classes, columns are predicted classes."""
        num = self.probabilities.shape[1]
        cells = np.bincount(self.labels * num + self.predicted, minlength=num * num)
        return cells.reshape(num, num)

    @property
    def counts(self) -> np.ndarray:
        """(K,) number of images of each class."""
        return self.confusion.sum(axis=1)

    @property
    def recall(self) -> np.ndarray:
        """(K,) fraction of the images of a class predicted correctly; nan without images."""
        return _divide(self.confusion.diagonal(), self.counts)

    @property
    def precision(self) -> np.ndarray:
        """(K,) fraction of the predictions of a class that are correct; nan without predictions."""
        return _divide(self.confusion.diagonal(), self.confusion.sum(axis=0))

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes that have images."""
        return float(np.nanmean(self.recall))

    @property
    def confidence(self) -> float:
        """Mean probability of the predicted class."""
        return float(self.probabilities.max(axis=1).mean())

    @property
    def majority_baseline(self) -> float:
        """Accuracy of always predicting the most frequent class."""
        return float(self.counts.max() / self.total)

    def rank_classes(self) -> list[int]:
        """Return the classes that have images, by descending recall, then number of images."""
        present = np.flatnonzero(self.counts)
        recall = self.recall
        counts = self.counts
        return sorted(map(int, present), key=lambda label: (-recall[label], -counts[label], label))

    def top_confusions(self, limit: int) -> list[tuple[int, int, int]]:
        """Return the most frequent (true class, predicted class, number of images)."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
        pairs = [divmod(int(cell), len(wrong)) for cell in order]
        counted = [(truth, predicted, int(wrong[truth, predicted])) for truth, predicted in pairs]
        return [confusion for confusion in counted if confusion[2]]

    def worst_mistakes(self, limit: int) -> list[int]:
        """Return the misclassified images by ascending probability of the true class."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        order = np.argsort(self.probabilities[wrong, self.labels[wrong]], kind="stable")
        return [int(index) for index in wrong[order][:limit]]


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def caveats(
    results: ClassificationResults, classes: Sequence[str], train_counts: np.ndarray | None
) -> list[str]:
    """Return sentences on when a metric cannot be trusted, and what would help.

    Args:
        results: Predictions on the validation images.
        classes: K class names.
        train_counts: (K,) number of training images of each class; None if unknown.
    """
    return [
        *_sample_size_caveats(results),
        *_class_size_caveats(results, classes),
        *_baseline_caveats(results),
        *_imbalance_caveats(classes, train_counts),
    ]


def _sample_size_caveats(results: ClassificationResults) -> list[str]:
    found = []
    total = results.total
    low, high = wilson_interval(results.correct, total)
    if total < MIN_VAL_IMAGES:
        found.append(
            f"Only {pluralize(total, 'validation image')}: one more correct prediction changes the "
            f"accuracy by {100 / total:.1f} points. Hold out at least {MIN_VAL_IMAGES} images, "
            "preferably several hundred."
        )
    if high - low > MAX_INTERVAL_WIDTH:
        found.append(
            f"The accuracy of {results.accuracy:.1%} is uncertain: with "
            f"{pluralize(total, 'image')}, its 95 % confidence interval is {low:.0%} to "
            f"{high:.0%}. Two runs whose intervals overlap cannot be ranked."
        )
    return found


def _class_size_caveats(results: ClassificationResults, classes: Sequence[str]) -> list[str]:
    few = np.flatnonzero(results.counts < MIN_VAL_IMAGES_PER_CLASS)
    if not len(few):
        return []
    names = join_names([classes[int(label)] for label in few])
    verb = "has" if len(few) == 1 else "have"
    return [
        f"{len(few)} of {len(classes)} classes {verb} fewer than {MIN_VAL_IMAGES_PER_CLASS} "
        f"validation images ({names}): per-class metrics are not reliable there."
    ]


def _baseline_caveats(results: ClassificationResults) -> list[str]:
    low, _ = wilson_interval(results.correct, results.total)
    if low > results.majority_baseline:
        return []
    return [
        "Always predicting the most frequent class would have an accuracy of "
        f"{results.majority_baseline:.1%}: the model is not shown to be better than that."
    ]


def _imbalance_caveats(classes: Sequence[str], train_counts: np.ndarray | None) -> list[str]:
    if train_counts is None or not is_imbalanced(train_counts):
        return []
    most = int(train_counts.argmax())
    least = int(train_counts.argmin())
    return [
        f"The classes are imbalanced: {int(train_counts[most])} training images of "
        f"{classes[most]}, {int(train_counts[least])} of {classes[least]}. The accuracy is mostly "
        "that of the large classes: see the per-class metrics."
    ]
