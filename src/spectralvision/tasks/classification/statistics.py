"""Compute metrics of a classifier from its predictions, and caveats about them.

N images, K classes. Intervals of proportions are Wilson's: they stay within 0..1 and are meaningful
for few images and at 0 and 100 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from scipy.stats import binomtest

from spectralvision.data.thresholds import (
    MIN_VAL_IMAGES,
    MIN_VAL_IMAGES_PER_CLASS,
    is_imbalanced,
)
from spectralvision.report.text import MAX_NAME, join_names, pluralize, shorten
from spectralvision.runs import format_count

MAX_INTERVAL_WIDTH = 0.10  # of the accuracy; a wider one is a caveat


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of `correct / total`; (0, 1) if `total` is 0."""
    if total == 0:
        return 0.0, 1.0
    bounds = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(bounds.low), float(bounds.high)


@dataclass(frozen=True, kw_only=True)
class ClassificationResults:
    """Predictions and labels of a set of images; the memory is O(N + K).

    Attributes:
        num_classes: K.
        labels: (N,) true classes.
        predicted: (N,) most probable classes.
        confidences: (N,) probabilities of the predicted classes.
        true_probabilities: (N,) probabilities of the true classes.
        is_top5: (N,) whether the true class is among the five most probable.
    """

    num_classes: int
    labels: np.ndarray
    predicted: np.ndarray
    confidences: np.ndarray
    true_probabilities: np.ndarray
    is_top5: np.ndarray

    @classmethod
    def from_probabilities(
        cls, probabilities: np.ndarray, labels: np.ndarray
    ) -> "ClassificationResults":
        """Return the results of (N, K) probabilities, whose rows sum to 1, and (N,) labels."""
        rows = np.arange(len(labels))
        predicted = probabilities.argmax(axis=1)
        last = min(5, probabilities.shape[1] - 1)
        five = np.argpartition(-probabilities, last, axis=1)[:, :5]
        return cls(
            num_classes=probabilities.shape[1],
            labels=labels,
            predicted=predicted,
            confidences=probabilities[rows, predicted],
            true_probabilities=probabilities[rows, labels],
            is_top5=(five == labels[:, None]).any(axis=1),
        )

    @classmethod
    def concatenate(cls, batches: Sequence["ClassificationResults"]) -> "ClassificationResults":
        """Return the results of all images of some batches, at least one."""
        names = [one.name for one in fields(cls) if one.name != "num_classes"]
        arrays = {
            name: np.concatenate([getattr(batch, name) for batch in batches]) for name in names
        }
        return cls(num_classes=batches[0].num_classes, **arrays)

    @property
    def total(self) -> int:
        """N, the number of images."""
        return len(self.labels)

    @cached_property
    def correct(self) -> int:
        """Number of images whose predicted class is the true one."""
        return int(self.hits.sum())

    @property
    def accuracy(self) -> float:
        """Fraction of images that are classified correctly."""
        return self.correct / self.total

    @property
    def top5(self) -> float | None:
        """Fraction of images whose true class is among the five most probable; None if K <= 5."""
        return None if self.num_classes <= 5 else float(self.is_top5.mean())

    @cached_property
    def hits(self) -> np.ndarray:
        """(K,) number of images of each class that are classified correctly."""
        return self._count(self.labels[self.predicted == self.labels])

    @cached_property
    def counts(self) -> np.ndarray:
        """(K,) number of images of each class."""
        return self._count(self.labels)

    @cached_property
    def predictions(self) -> np.ndarray:
        """(K,) number of images that are predicted as each class."""
        return self._count(self.predicted)

    def _count(self, classes: np.ndarray) -> np.ndarray:
        return np.bincount(classes, minlength=self.num_classes)

    def confusion_matrix(self) -> np.ndarray:
        """Return (K, K) counts: rows are true classes, columns are predicted classes."""
        num = self.num_classes
        cells = np.bincount(self.labels * num + self.predicted, minlength=num * num)
        return cells.reshape(num, num)

    @cached_property
    def confusions(self) -> list[tuple[int, int, int]]:
        """All (true class, predicted class, number of images) that differ, most frequent first."""
        wrong = self.predicted != self.labels
        pairs = self.labels[wrong] * self.num_classes + self.predicted[wrong]
        cells, counts = np.unique(pairs, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        truth, predicted = np.divmod(cells[order], self.num_classes)
        columns = (truth.tolist(), predicted.tolist(), counts[order].tolist())
        return list(zip(*columns, strict=True))

    @cached_property
    def recall(self) -> np.ndarray:
        """(K,) fraction of the images of a class predicted correctly; nan without images."""
        return _divide(self.hits, self.counts)

    @cached_property
    def precision(self) -> np.ndarray:
        """(K,) fraction of the predictions of a class that are correct; nan without predictions."""
        return _divide(self.hits, self.predictions)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes that have images."""
        return float(np.nanmean(self.recall))

    @property
    def confidence(self) -> float:
        """Mean probability of the predicted class."""
        return float(self.confidences.mean())

    @property
    def majority_baseline(self) -> float:
        """Accuracy of always predicting the most frequent class."""
        return float(self.counts.max() / self.total)

    def rank_classes(self) -> list[int]:
        """Return the classes that have images, by descending recall, then number of images."""
        present = np.flatnonzero(self.counts)
        order = np.lexsort((present, -self.counts[present], -self.recall[present]))
        return [int(label) for label in present[order]]

    def worst_mistakes(self, limit: int) -> list[int]:
        """Return the misclassified images by ascending probability of the true class."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        order = np.argsort(self.true_probabilities[wrong], kind="stable")
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
        f"{format_count(len(few))} of {pluralize(len(classes), 'class')} {verb} fewer than "
        f"{MIN_VAL_IMAGES_PER_CLASS} validation images ({names}): per-class metrics are not "
        "reliable there."
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
        f"The classes are imbalanced: {pluralize(int(train_counts[most]), 'training image')} of "
        f"{shorten(classes[most], MAX_NAME)}, {format_count(int(train_counts[least]))} of "
        f"{shorten(classes[least], MAX_NAME)}. The accuracy is mostly "
        "that of the large classes: see the per-class metrics."
    ]
