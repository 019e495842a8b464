"""Training images as a run sees them, for its report."""

from collections.abc import Callable, Iterable
from typing import Any

from PIL import Image

from spectralvision.data.samples import Samples
from spectralvision.report.svg import THUMBNAIL_SIDE, data_uri

EPOCHS = 2


def draw_augmented(
    samples: Samples,
    indices: Iterable[int],
    draw: Callable[[Any, Any], Image.Image],
    side: int = THUMBNAIL_SIDE,
) -> list[list[str]]:
    """Return for each image the original and what the first two epochs make of it.

    Args:
        samples: With the transform and the seed of the run.
        indices: Of the images.
        draw: (input, target) -> picture.
        side: Longer side of the pictures in pixels at most.

    Returns:
        Lists of `data:` URIs.
    """
    return [
        [
            data_uri(samples.images.image(index), side),
            *(data_uri(draw(*samples[epoch, index]), side) for epoch in range(EPOCHS)),
        ]
        for index in indices
    ]
