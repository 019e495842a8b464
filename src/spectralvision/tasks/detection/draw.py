"""Draw objects on images with supervision: boxes, names, scores and masks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spectralvision.data.objects import Objects, decode_masks
from spectralvision.engine.draw_legend import font_file, shorten_name
from spectralvision.tasks.detection.detector import Detections, decode_mask

MIN_SIDE_PIXELS = 480
"""Longer side of a picture: smaller images are enlarged, so that names can be read."""
MASK_OPACITY = 0.45
TEXT_PIXELS_PER_SIDE = 0.012
"""Height of text, as a fraction of the sum of width and height of the picture."""
MIN_TEXT_PIXELS = 9


def class_colors(number: int) -> list[tuple[int, int, int]]:
    """Return red, green and blue, from 0 to 255, of the boxes and masks of each class."""
    import supervision

    return [supervision.ColorPalette.DEFAULT.by_idx(label).as_rgb() for label in range(number)]


def draw_objects(
    image: Image.Image,
    found: Detections,
    titles: Sequence[str],
    side: int | None = None,
    with_names: bool = True,
) -> Image.Image:
    """Return an RGB image with detections, their classes and their scores.

    Args:
        image: As it was predicted.
        found: In its pixels.
        titles: Of the classes.
        side: Longer side of the result in pixels. Default: that of the image, at least 480.
        with_names: Whether to write classes and scores.
    """
    pairs = zip(found.labels.tolist(), found.scores.tolist(), strict=True)
    names = [f"{shorten_name(titles[label])} {score:.0%}" for label, score in pairs]
    masks = map(decode_mask, found.masks or [])
    boxes, labels = found.boxes.numpy(), found.labels.numpy()
    return _draw(image, boxes, labels, masks, names if with_names else None, side)


def draw_annotation(
    image: Image.Image,
    objects: Objects,
    titles: Sequence[str],
    side: int | None = None,
    with_names: bool = True,
) -> Image.Image:
    """Return an RGB image with its annotated objects; see `draw_objects`."""
    names = [shorten_name(titles[label]) for label in objects.labels.tolist()]
    has_masks = any(segment is not None for segment in objects.segments)
    masks = decode_masks(objects) if has_masks else ()
    boxes, labels = objects.boxes, objects.labels
    return _draw(image, boxes, labels, masks, names if with_names else None, side)


def draw_sample(
    image: Image.Image, target: Mapping[str, Tensor], side: int | None = None
) -> Image.Image:
    """Return an RGB image with the boxes and masks that a detector is trained on."""
    masks = target.get("masks", torch.empty(0)).numpy().astype(bool)
    return _draw(image, target["boxes"].numpy(), target["labels"].numpy(), masks, None, side)


def _draw(
    image: Image.Image,
    boxes: np.ndarray,
    labels: np.ndarray,
    masks: Iterable[np.ndarray],
    names: list[str] | None,
    side: int | None,
) -> Image.Image:
    import supervision

    # 1. The picture, and the boxes in its pixels
    longest = max(image.size)
    width, height = (max(1, round(one * (side or max(longest, MIN_SIDE_PIXELS)) / longest))
                     for one in image.size)  # fmt: skip
    scene: Any = image.resize((width, height))
    if not len(boxes):
        return scene  # type: ignore[no-any-return]
    scale = np.array([width / image.width, height / image.height] * 2)
    objects = supervision.Detections((boxes * scale).astype(np.float32), class_id=labels)

    # 2. Masks, one at a time to save memory, then boxes and names
    painter = supervision.MaskAnnotator(opacity=MASK_OPACITY)
    for place, mask in enumerate(masks):
        one: Any = objects[[place]]
        one.mask = np.array(Image.fromarray(mask).resize((width, height)))[None]
        scene = painter.annotate(scene, one)
    thickness = supervision.calculate_optimal_line_thickness((width, height))
    scene = supervision.BoxAnnotator(thickness=thickness).annotate(scene, objects)
    if names is None:
        return scene  # type: ignore[no-any-return]
    size = max(MIN_TEXT_PIXELS, round((width + height) * TEXT_PIXELS_PER_SIDE))
    writer = supervision.RichLabelAnnotator(
        font_path=font_file(),
        font_size=size,
        text_padding=max(1, size // 5),
        smart_position=True,  # inside the picture
    )
    return writer.annotate(scene, objects, labels=names)  # type: ignore[no-any-return]
