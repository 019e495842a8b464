"""The objects of many images in flat arrays: 860,000 polygons of 118,000 images take 0.4 GB, and
data-loading workers share them."""

from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple, overload

import numpy as np

from spectralvision.data.annotation_problems import Problem, ProblemCounter
from spectralvision.data.objects import Objects
from spectralvision.data.segments import Outline, Segment, area_of, box_of, parse_segment

CLIP_TOLERANCE_PIXELS = 1.0
"""Up to which boxes that extend beyond their image are clipped without a note."""
FARTHEST_PIXELS = 1e9
"""Coordinates are clipped to this before they become float32."""


class Annotation(NamedTuple):
    """An object as an annotation file has it; numbers are finite."""

    name: str
    """Where it is in its file, for messages."""
    box: Sequence[float] | None
    """x1, y1, x2, y2 in pixels; None if the segment alone says where the object is."""
    label: int
    segment: Any = None
    """Polygons, run lengths or None; not checked yet."""
    is_crowd: bool = False
    area: float | None = None
    """In pixels; None or not above 0 if it is to be computed."""


class AnnotatedImage(NamedTuple):
    """An image with its objects."""

    file: str
    size: tuple[int, int]
    """(H, W) of the upright image in pixels."""
    image_id: int
    annotations: Sequence[Annotation]


class ObjectStore(Sequence[Objects]):
    """The objects of images, by index; `Objects` are built on access.

    Args:
        sizes: (M, 2) int64, H and W of each image.
        image_ids: (M,) int64.
        starts: (M + 1,) int64, the first object of each image.
        boxes: (N, 4) float32.
        labels: (N,) int64.
        is_crowd: (N,) bool.
        areas: (N,) float32.
        outlines: Of each object.
    """

    def __init__(
        self,
        sizes: np.ndarray,
        image_ids: np.ndarray,
        starts: np.ndarray,
        boxes: np.ndarray,
        labels: np.ndarray,
        is_crowd: np.ndarray,
        areas: np.ndarray,
        outlines: Sequence[Outline | None],
    ) -> None:
        self.sizes, self.image_ids, self.starts = sizes, image_ids, starts
        self.boxes, self.labels, self.is_crowd, self.areas = boxes, labels, is_crowd, areas

        # Outlines: all numbers, where each part of them starts, and the first part of each object
        parts = [outline.parts if outline else [] for outline in outlines]
        self._is_runs = np.array([bool(outline and outline.is_runs) for outline in outlines], bool)
        self._first_parts = _starts(map(len, parts))
        all_parts = list(chain.from_iterable(parts))
        self._part_starts = _starts(map(len, all_parts))
        self._numbers = np.concatenate([np.zeros(0), *all_parts])

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> Objects: ...

    @overload
    def __getitem__(self, index: slice) -> list[Objects]: ...

    def __getitem__(self, index: int | slice) -> Objects | list[Objects]:
        if isinstance(index, slice):
            return [self[one] for one in range(len(self))[index]]
        index = range(len(self))[index]
        first, stop = map(int, self.starts[index : index + 2])
        size = (int(self.sizes[index, 0]), int(self.sizes[index, 1]))
        return Objects(
            size,
            self.boxes[first:stop].copy(),
            self.labels[first:stop].copy(),
            self.is_crowd[first:stop].copy(),
            self.areas[first:stop].copy(),
            [self._segment(number, size) for number in range(first, stop)],
            int(self.image_ids[index]),
        )

    def _segment(self, number: int, size: tuple[int, int]) -> Segment | None:
        """Return the segment of an object by its number among those of all images."""
        first, stop = self._first_parts[number : number + 2]
        bounds = self._part_starts[first : stop + 1].tolist()
        parts = [self._numbers[start:end] for start, end in pairwise(bounds)]
        if not parts:
            return None
        if self._is_runs[number]:
            return {"size": list(size), "counts": parts[0].astype(np.int64).tolist()}
        return [part.tolist() for part in parts]


def store_objects(images: Iterable[AnnotatedImage], problems: ProblemCounter) -> ObjectStore:
    """Check and store the objects of images; count those that are left out."""
    # 1. Collect what has a box
    sizes, image_ids, counts, names = [], [], [], []
    kept: list[tuple[Annotation, Sequence[float], Outline | None]] = []
    for image in images:
        before = len(kept)
        for annotation in image.annotations:
            outline = _check_segment(annotation, image, problems)
            box = annotation.box
            if box is None and outline is not None:
                box = box_of(outline, image.size)
            if box is None:
                problems.add(Problem.WRONG_OBJECT, f"{image.file} ({annotation.name})")
            else:
                kept.append((annotation, box, outline))
        sizes.append(image.size)
        image_ids.append(image.image_id)
        counts.append(len(kept) - before)
        names.append(image.file)

    # 2. Clip boxes, and leave out those without area
    image_of = np.repeat(np.arange(len(sizes)), counts)
    all_sizes = np.array(sizes, np.int64).reshape(-1, 2)
    boxes = np.array([box for _, box, _ in kept], np.float64).reshape(-1, 4)
    clipped, found = clip_boxes(boxes, all_sizes[image_of])
    is_left_out = np.zeros(len(kept), bool)
    for problem, where in found.items():
        for index in np.flatnonzero(where):
            problems.add(problem, f"{names[image_of[index]]} ({kept[index][0].name})")
        if problem is not Problem.CLIPPED:
            is_left_out |= where

    # 3. Store the others
    rest = np.flatnonzero(~is_left_out)
    clipped, image_of = clipped[rest], image_of[rest]
    objects = [kept[index] for index in rest]
    per_image = np.bincount(image_of, minlength=len(sizes))
    for index in np.flatnonzero(per_image == 0):
        problems.add(Problem.NO_OBJECTS, names[index])
    box_areas = (clipped[:, 2:] - clipped[:, :2]).prod(1).tolist()
    areas = [_find_area(one, outline) for one, _, outline in objects]
    return ObjectStore(
        sizes=all_sizes,
        image_ids=np.array(image_ids, np.int64),
        starts=_starts(per_image.tolist()),
        boxes=clipped,
        labels=np.array([one.label for one, _, _ in objects], np.int64),
        is_crowd=np.array([one.is_crowd for one, _, _ in objects], bool),
        areas=np.array([a or b for a, b in zip(areas, box_areas, strict=True)], np.float32),
        outlines=[outline for _, _, outline in objects],
    )


def clip_boxes(
    boxes: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, dict[Problem, np.ndarray]]:
    """Return (N, 4) float32 boxes inside their images, and which had a problem, (N,) bool each.

    Args:
        boxes: (N, 4) x1, y1, x2, y2.
        sizes: (N, 2) H and W of the image of each.
    """
    boxes = np.clip(boxes, -FARTHEST_PIXELS, FARTHEST_PIXELS).astype(np.float32)
    clipped = np.clip(boxes, 0, sizes[:, [1, 0, 1, 0]]).astype(np.float32)
    no_area = (boxes[:, 2:] <= boxes[:, :2]).any(1)
    is_outside = (clipped[:, 2:] <= clipped[:, :2]).any(1) & ~no_area
    moved = (np.abs(clipped - boxes) > CLIP_TOLERANCE_PIXELS).any(1)
    is_clipped = moved & ~no_area & ~is_outside
    return clipped, {
        Problem.NO_AREA: no_area,
        Problem.OUTSIDE: is_outside,
        Problem.CLIPPED: is_clipped,
    }


def _check_segment(
    annotation: Annotation, image: AnnotatedImage, problems: ProblemCounter
) -> Outline | None:
    outline = parse_segment(annotation.segment, image.size)
    for problem in outline.problems if outline else ():
        problems.add(problem, f"{image.file} ({annotation.name})")
    return outline


def _find_area(annotation: Annotation, outline: Outline | None) -> float:
    """Return the area that an annotation states or outlines, or 0 if it does neither."""
    if annotation.area is not None and annotation.area > 0:
        return annotation.area
    return area_of(outline) if outline else 0.0


def _starts(lengths: Iterable[int]) -> np.ndarray:
    """Return (N + 1,) int64: where each of N parts of these lengths starts, and the end."""
    return np.concatenate([[0], np.cumsum(np.fromiter(lengths, np.int64))]).astype(np.int64)
