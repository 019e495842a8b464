"""What is wrong with the annotations of objects: counted by kind, with a few examples of each."""

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import Any

from spectralvision.data.image_formats import describe_left_out
from spectralvision.data.splits import Data
from spectralvision.runs import format_count

MAX_EXAMPLES = 5
"""Examples of a kind that are kept."""


class Problem(Enum):
    """A kind of problem: title of its note, and what it is, for one and for several."""

    # Images
    MISSING_FILE = "skip", "image whose file is missing", "images whose file is missing"
    UNREADABLE_FILE = "skip", "image that cannot be read", "images that cannot be read"
    OTHER_SIZE = (
        "skip",
        "image of another size than its annotations state",
        "images of another size than their annotations state",
    )
    ROTATED = (
        "skip",
        "image with a rotation in EXIF that its annotations ignore",
        "images with a rotation in EXIF that their annotations ignore",
    )
    WRONG_IMAGE = "skip", "image entry that cannot be read", "image entries that cannot be read"
    IMAGE_TWICE = "note", "image listed twice, merged", "images listed twice, merged"
    MISSING_SPLIT = "skip", "split whose images are missing", "splits whose images are missing"
    NOT_LISTED = (
        "skip",
        "image that no annotation file lists",
        "images that no annotation file lists",
    )
    NO_SPLIT = "skip", "image in no split", "images in no split"
    NO_OBJECTS = "note", "image without objects, kept", "images without objects, kept"

    # Files and lines
    NO_IMAGE = "skip", "annotation file without an image", "annotation files without an image"
    NO_FILE = "skip", "image without an annotation file", "images without an annotation file"
    WRONG_FILE = (
        "skip",
        "image whose annotation file cannot be read",
        "images whose annotation file cannot be read",
    )
    WRONG_LINE = "skip", "label line that cannot be read", "label lines that cannot be read"
    NO_FRACTION = (
        "skip",
        "label line with a number outside of 0 to 1",
        "label lines with a number outside of 0 to 1",
    )

    # Objects
    WRONG_OBJECT = "skip", "object without a usable box", "objects without a usable box"
    UNKNOWN_IMAGE = "skip", "object of an image not listed", "objects of images not listed"
    UNKNOWN_CLASS = "skip", "object of a class not listed", "objects of classes not listed"
    OBJECT_TWICE = "skip", "object listed twice", "objects listed twice"
    SAME_NUMBER = (
        "note",
        "object with the number of another one, kept",
        "objects with the number of another one, kept",
    )
    WRONG_CROWD = (
        "note",
        "object with an iscrowd other than 0 and 1, taken as 0",
        "objects with an iscrowd other than 0 and 1, taken as 0",
    )
    NO_AREA = "skip", "box without area", "boxes without area"
    OUTSIDE = "skip", "box outside of its image", "boxes outside of their images"
    CLIPPED = (
        "note",
        "box that extends beyond its image, clipped",
        "boxes that extend beyond their images, clipped",
    )

    # Masks
    FEW_POINTS = (
        "skip",
        "polygon with fewer than three points, its object kept",
        "polygons with fewer than three points, their objects kept",
    )
    WRONG_POLYGON = (
        "skip",
        "polygon that cannot be read, its object kept",
        "polygons that cannot be read, their objects kept",
    )
    WRONG_MASK = (
        "skip",
        "mask that cannot be read, its box kept",
        "masks that cannot be read, their boxes kept",
    )
    MASK_SIZE = (
        "skip",
        "mask of another size than its image, its box kept",
        "masks of another size than their images, their boxes kept",
    )

    @property
    def title(self) -> str:
        return self.value[0]

    @property
    def kind(self) -> str:
        """The key in `Data.facts`."""
        return self.value[2]

    def describe(self, count: int) -> str:
        return f"{format_count(count)} {self.value[1 if count == 1 else 2]}"


class ProblemCounter:
    """Counts problems, and keeps the first examples of each kind."""

    def __init__(self) -> None:
        self.counts: Counter[Problem] = Counter()
        self.examples: dict[Problem, list[str]] = {}

    def add(self, problem: Problem, example: str) -> None:
        self.counts[problem] += 1
        examples = self.examples.setdefault(problem, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(example)

    def first(self) -> str:
        """Return the most frequent problem with an example, for an error message."""
        reasons = [one for one in self.counts if one is not Problem.NO_OBJECTS]
        if not reasons:
            return ""
        most = max(reasons, key=lambda one: self.counts[one])
        return f" ({most.describe(self.counts[most])}: {self.examples[most][0]})"

    def facts(self) -> dict[str, Any]:
        """Return the entries of `Data.facts`."""
        found = [problem for problem in Problem if self.counts[problem]]
        if not found:
            return {}
        return {
            "annotation_problems": {one.kind: self.counts[one] for one in found},
            "annotation_examples": {one.kind: self.examples[one] for one in found},
        }


def describe_annotation_problems(data: Data) -> list[str]:
    """Return note lines about files that are not read, splits without labels, and annotations."""
    notes = []
    if left_out := data.facts.get("left_out"):
        notes.append(f"skip   formats that are not read: {describe_left_out(left_out)}")
    for split, number in data.facts.get("unlabeled", {}).items():
        images = "1 image" if number == 1 else f"{format_count(number)} images"
        notes.append(f"skip   {images} of {split}, which has no annotations")
    counts: Mapping[str, int] = data.facts.get("annotation_problems", {})
    for problem in Problem:
        if count := counts.get(problem.kind):
            examples = data.facts["annotation_examples"][problem.kind]
            rest = f" and {format_count(count - len(examples))} more"
            names = ", ".join(examples) + rest * (count > len(examples))
            notes.append(f"{problem.title:<7}{problem.describe(count)}: {names}")
    return notes
