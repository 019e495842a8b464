"""Found, missed and false objects, and the score with the best F1."""

import numpy as np
import pytest

from spectralvision.tasks.detection.detector import DEFAULT_MIN_SCORE
from spectralvision.tasks.detection.image_errors import (
    MIN_SCORES,
    ImageErrors,
    best_score,
    count_errors,
    total_errors,
)
from tests.helpers.detection import annotated, detections, no_objects, objects_of

LEFT, RIGHT, FALSE = [0, 0, 10, 10], [20, 20, 30, 30], [40, 0, 50, 10]


def test_errors_of_an_image():
    boxes = [[10, 10, 60, 60], [100, 100, 150, 150], [200, 200, 300, 300]]
    objects = annotated(boxes, [0, 1, 1], [False, False, True])
    found = detections(
        [[10, 10, 60, 58], [11, 10, 60, 60], [100, 100, 150, 150], [201, 201, 299, 299]],
        [0, 0, 0, 1],
        [0.9, 0.8, 0.7, 0.6],
        (400, 400),
    )
    # the first object twice, the second with another class, and on the crowd
    small = detections([[210, 210, 230, 230]], [1], [0.5], (400, 400))
    assert count_errors(small, objects) == ImageErrors(found=0, missed=2, false=0)
    assert count_errors(found, objects) == ImageErrors(found=1, missed=1, false=2)
    assert count_errors(found, annotated([], [])) == ImageErrors(0, 0, 4)
    assert count_errors(detections([], [], []), objects_of(2)) == ImageErrors(0, 3, 0)


def test_sums():
    total = total_errors([ImageErrors(3, 1, 0), ImageErrors(3, 1, 2)])
    assert total == ImageErrors(6, 2, 2)
    assert total.recall == total.precision == 0.75
    nothing = total_errors([])
    assert nothing.recall is nothing.precision is None


def test_the_best_score_is_that_of_the_best_mean_f1():
    """F1 by the lowest score, of two classes with two objects and with one:

    score    0.905  0.605  0.405  0.205
    class 0  2/3    2/3    1      4/6
    class 1  0      1      1      2/3
    """
    images = [
        (detections([LEFT, RIGHT, FALSE, FALSE], [0] * 4, [0.905, 0.405, 0.205, 0.205]),
         annotated([LEFT, RIGHT], [0, 0])),
        (detections([LEFT, FALSE], [1, 1], [0.605, 0.205]), annotated([LEFT], [1])),
    ]  # fmt: skip
    assert best_score(images) == pytest.approx(0.305)  # of 0.21 to 0.40
    stranger = (detections([FALSE], [5], [0.9]), no_objects())
    assert best_score([*images, stranger]) == pytest.approx(0.305)


def of_class(found, objects, label):
    """Return the detections and the objects of one class."""
    kept, real = found.labels == label, objects.labels == label
    parts = [part[kept].tolist() for part in (found.boxes, found.labels, found.scores)]
    return detections(*parts), annotated(objects.boxes[real], objects.labels[real])


def test_the_best_score_against_counting_at_each_score():
    rng = np.random.default_rng(0)
    images = []
    for _ in range(20):
        corners = rng.uniform(0, 60, (8, 2))
        boxes = np.concatenate([corners, corners + 20], axis=1)
        labels = rng.integers(2, size=8)
        scores = np.sort(rng.uniform(size=8))[::-1].copy()
        moved = boxes + rng.normal(0, 12, boxes.shape) * (1 - scores[:, None])
        images.append((detections(moved, labels, scores), annotated(boxes, labels)))

    def f1(score, label):
        total = total_errors(
            count_errors(*of_class(found.above(score), objects, label)) for found, objects in images
        )
        return 2 * total.found / (2 * total.found + total.false + total.missed)

    means = np.array([(f1(score, 0) + f1(score, 1)) / 2 for score in MIN_SCORES])
    best = MIN_SCORES[means >= means.max() - 1e-9]
    assert 0.02 < np.median(best) < 0.98
    assert best_score(images) == pytest.approx(np.median(best))


@pytest.mark.parametrize("images", [
    [],
    [(detections([], [], []), annotated([LEFT], [0]))],
    [(detections([FALSE], [0], [0.9]), annotated([LEFT], [0]))],
    [(detections([FALSE], [0], [0.9]), no_objects())],
])  # fmt: skip
def test_without_any_object_that_is_found_the_best_score_is_the_default(images):
    assert best_score(images) == DEFAULT_MIN_SCORE
