"""Outlines of objects: COCO's polygons and run lengths, checked, stored flat, and decoded."""

from array import array
from typing import Any, NamedTuple

import numpy as np

from spectralvision.data.annotation_problems import Problem
from spectralvision.runs import require_extra

Segment = list[list[float]] | dict[str, Any]
"""COCO's outline of an object: polygons [x1, y1, x2, y2 ...] in pixels, or run lengths
{"size": [H, W], "counts": ...}, down the columns, zeros first."""
MAX_BEYOND = 4
"""Widths or heights of the image that a polygon may extend beyond it."""


class Outline(NamedTuple):
    """A checked segment."""

    parts: list[np.ndarray]
    """Polygons, (2 n,) float64 each; or run lengths, (n,) float64, as the only one."""
    is_runs: bool
    problems: list[Problem]


def parse_segment(segment: Any, size: tuple[int, int]) -> Outline | None:
    """Check the outline of an object in an image of `size`; None if there is none.

    Args:
        segment: What an annotation file has: polygons, one polygon, run lengths as a list or
            compressed to text, or something else, which is a problem.
        size: (H, W) in pixels.
    """
    if segment is None or (isinstance(segment, list) and not segment):
        return None
    if isinstance(segment, dict):
        return _parse_runs(segment, size)
    if not isinstance(segment, list):
        return Outline([], False, [Problem.WRONG_MASK])
    polygons = segment if isinstance(segment[0], list | array) else [segment]
    parts: list[np.ndarray] = []
    problems: list[Problem] = []
    for polygon in polygons:
        points = _to_numbers(polygon)
        if points is None or len(points) % 2 or not _is_near(points, size):
            problems.append(Problem.WRONG_POLYGON)
        elif len(points) < 6:
            problems.append(Problem.FEW_POINTS)
        else:
            parts.append(points)
    return Outline(parts, False, problems)


def decode_segment(segment: Segment, size: tuple[int, int]) -> np.ndarray:
    """Return the (H, W) bool mask of a segment that `parse_segment` has accepted."""
    require_extra("dense", "faster_coco_eval")
    from faster_coco_eval import mask

    if isinstance(segment, dict):
        counts = _counts_of(segment)
        assert counts is not None, "not accepted by parse_segment"
        return decode_runs(counts, size)
    return mask.decode(mask.merge(mask.frPyObjects(segment, *size))).astype(bool)


def decode_runs(counts: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the (H, W) bool mask of run lengths, which are down the columns, zeros first."""
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts.astype(np.int64)).reshape(size[1], size[0]).T


def box_of(outline: Outline, size: tuple[int, int]) -> list[float] | None:
    """Return x1, y1, x2, y2 of an outline, or None if it has no parts."""
    if not outline.parts:
        return None
    if outline.is_runs:
        rows, columns = np.nonzero(decode_runs(outline.parts[0], size))
        return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    points = np.concatenate(outline.parts).reshape(-1, 2)
    return [*points.min(0), *points.max(0)]


def area_of(outline: Outline) -> float:
    """Return the pixels of run lengths, or the area within polygons."""
    if outline.is_runs:
        return float(outline.parts[0][1::2].sum())
    return sum(_polygon_area(polygon) for polygon in outline.parts)


def _polygon_area(polygon: np.ndarray) -> float:
    x, y = polygon[0::2], polygon[1::2]
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _parse_runs(segment: dict[str, Any], size: tuple[int, int]) -> Outline:
    if segment.get("size") != list(size):
        is_size = _to_numbers(segment.get("size")) is not None
        return Outline([], True, [Problem.MASK_SIZE if is_size else Problem.WRONG_MASK])
    counts = _counts_of(segment)
    if (
        counts is None
        or (counts < 0).any()
        or (counts != np.floor(counts)).any()
        or counts.sum() != size[0] * size[1]
        or not counts[1::2].any()
    ):
        return Outline([], True, [Problem.WRONG_MASK])
    return Outline([counts], True, [])


def _counts_of(segment: dict[str, Any]) -> np.ndarray | None:
    counts = segment.get("counts")
    if isinstance(counts, str):
        counts = counts.encode("ascii", "replace")
    return _decompress(counts) if isinstance(counts, bytes) else _to_numbers(counts)


def _decompress(text: bytes) -> np.ndarray | None:
    """Return the run lengths of COCO's compressed form, or None if it is none.

    Each character has 5 bits of a number, lowest first, and a bit that more follow. From the fourth
    on, numbers are differences to the last but one.
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 10:
        return None
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((codes & 31) << shifts, starts)
    numbers -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers.astype(np.float64)


def _to_numbers(values: Any) -> np.ndarray | None:
    """Return finite numbers as (n,) float64, or None if they are something else."""
    if not isinstance(values, list | array):
        return None
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if numbers.ndim == 1 and np.isfinite(numbers).all() else None


def _is_near(points: np.ndarray, size: tuple[int, int]) -> bool:
    """Return whether points are so near to an image that decoding them takes little memory."""
    return not len(points) or bool(np.abs(points).max() <= MAX_BEYOND * max(size))
