"""Predictions of a made-up classifier."""

import numpy as np

from spectralvision.tasks.classification.statistics import ClassificationResults


def random_results(
    num_classes: int, per_class: int, wrong: float = 0.3, seed: int = 0
) -> ClassificationResults:
    """Return predictions; a fraction `wrong` of them names the class after the true one."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(num_classes), per_class)
    is_wrong = rng.random(len(labels)) < wrong
    predicted = np.where(is_wrong, (labels + 1) % num_classes, labels)
    probabilities = rng.random((len(labels), num_classes)) * 0.1
    probabilities[np.arange(len(labels)), predicted] += 1
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return ClassificationResults.from_probabilities(probabilities, labels)
