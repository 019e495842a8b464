"""Check the images of a data set, and describe what is left out, as all tasks do."""

from dataclasses import asdict, replace
from itertools import groupby

from spectralvision.data.annotation_problems import describe_annotation_problems
from spectralvision.data.mask_pairs import describe_unpaired
from spectralvision.data.splits import Data
from spectralvision.data.validate_images import validate_images
from spectralvision.engine.progress import track
from spectralvision.report.text import join_names, pluralize

RECORDED_PAIRS = 20
"""Images in two splits that run.json names, of each two."""


def describe_left_out(data: Data) -> list[str]:
    """Return notes on what was left out when annotations and masks were opened."""
    return [*describe_annotation_problems(data), *describe_unpaired(data)]


def check_images(data: Data, metric: str) -> tuple[Data, list[str]]:
    """Return the data with what can be read of train and val, and notes for the user.

    The notes name the images that are left out, and those that are in two of the splits.

    Args:
        data: The data set.
        metric: What images in two splits make too high, for the note.

    Raises:
        UserError: Nothing is left to train on or to validate on.
    """
    data, unreadable, duplicates = validate_images(data, track)
    notes = []
    if unreadable:
        names = join_names([f"{one.image} ({one.reason})" for one in unreadable], width=None)
        notes.append(f"skip   {pluralize(len(unreadable), 'image')} that cannot be read: {names}")
    found_twice = []
    for (first, second), found in groupby(duplicates, lambda one: one.splits):
        pairs = [one.images for one in found]
        names = join_names([" = ".join(pair) for pair in pairs], width=None)
        notes.append(
            f"note   {pluralize(len(pairs), 'image')} of {second} also in {first}, which makes "
            f"{second} {metric} too high: {names}"
        )
        found_twice.append(
            {"splits": (first, second), "count": len(pairs), "images": pairs[:RECORDED_PAIRS]}
        )
    facts = {
        "skipped": [asdict(one) for one in unreadable],
        "in_two_splits": found_twice,
    }
    return replace(data, facts=data.facts | facts), notes
