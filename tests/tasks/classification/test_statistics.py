"""Metrics of predictions against values computed by hand, and caveats where they say little."""

import re

import numpy as np
import pytest

from spectralvision.tasks.classification.statistics import (
    ClassificationResults,
    caveats,
    wilson_interval,
)
from tests.helpers.classification_results import random_results


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0, 0.2775),
        (10, 10, 0.7225, 1),
        (50, 100, 0.4038, 0.5962),
        (0, 0, 0, 1),
    ],
)
def test_wilson_interval(correct, total, low, high):
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=1e-4)


def test_metrics_of_five_images():
    probabilities = np.array(
        [[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.05, 0.05, 0.9], [0.5, 0.4, 0.1]]
    )
    results = ClassificationResults.from_probabilities(probabilities, np.array([0, 1, 1, 1, 0]))
    assert results.confusion_matrix().tolist() == [[2, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert (results.correct, results.total, results.top5) == (3, 5, None)
    assert results.recall[:2] == pytest.approx([1, 1 / 3])
    assert np.isnan(results.recall[2])
    assert results.balanced_accuracy == pytest.approx(2 / 3)
    assert results.confidence == pytest.approx((0.9 + 0.7 + 0.6 + 0.9 + 0.5) / 5)
    assert results.precision == pytest.approx([2 / 3, 1, 0])
    assert results.worst_mistakes(5) == [3, 2]  # true class with 5 % and 30 %
    assert results.rank_classes() == [0, 1]
    assert results.confusions == [(1, 0, 1), (1, 2, 1)]
    assert results.majority_baseline == pytest.approx(0.6)


def test_top5_counts_the_true_class_among_five():
    probabilities = np.tile(np.arange(7, 0, -1) / 28, (7, 1))
    assert ClassificationResults.from_probabilities(
        probabilities, np.arange(7)
    ).top5 == pytest.approx(5 / 7)


def test_eight_images_have_caveats():
    found = caveats(random_results(2, 4), ["a", "b"], None)
    assert len(found) >= 3
    text = " ".join(found)
    assert "Only 8 validation images" in text
    assert "12.5 points" in text
    assert "2 of 2 classes have fewer than 5 validation images (a, b)" in text


def test_sound_results_have_none():
    results = random_results(3, 400, wrong=0.2)
    assert caveats(results, ["a", "b", "c"], np.array([1600, 1600, 1600])) == []


def test_imbalanced_training_images():
    results = random_results(3, 400, wrong=0.2)
    (only,) = caveats(results, ["a", "b", "c"], np.array([600, 100, 90]))
    assert re.search("600 training images of a, 90 of c", only)


def test_a_model_no_better_than_the_majority_class():
    probabilities = np.tile([0.6, 0.4], (400, 1))
    labels = np.repeat([0, 1], [300, 100])
    (only,) = caveats(ClassificationResults.from_probabilities(probabilities, labels), "ab", None)
    assert "most frequent class would have an accuracy of 75.0%" in only
