"""The report of a detection run: with 1, 11 and 150 classes, and its counts."""

from collections.abc import Sequence

import pytest

from spectralvision.report.page import render_page
from spectralvision.report.svg import data_uri
from spectralvision.tasks.detection.average_precision import AveragePrecision
from spectralvision.tasks.detection.data import ObjectCounts
from spectralvision.tasks.detection.image_errors import ImageErrors
from spectralvision.tasks.detection.report import describe, size_fractions
from spectralvision.tasks.detection.report_data import Picture, ReportData
from tests.helpers.detection import annotated, detections, no_objects
from tests.helpers.html_page import Page
from tests.helpers.scenes import scene


def report_data(number: int, worst: Sequence[Picture] = ()) -> ReportData:
    """Return a report on an image per class, where every second class is found."""
    metric = AveragePrecision()
    targets = [annotated([[10, 10, 60, 60]], [label]) for label in range(number)]
    for label, target in enumerate(targets):
        box = [[10, 10, 60, 60 if label % 2 == 0 else 20]]
        metric.update([detections(box, [label], [0.9], (400, 400))], [target])
    counts = ObjectCounts(targets, number)
    return ReportData(
        title="scenes · affnet_t + fcos",
        classes=[f"<class {label}>" for label in range(number)],
        precision=metric.details(),
        min_score=0.3,
        counts={"train": counts, "val": counts},
        images={"train": number, "val": number},
        errors=[ImageErrors(1 - label % 2, label % 2, label % 2) for label in range(number)],
        worst=worst,
        parameters=10,
        images_per_second=2.5,
    )


@pytest.mark.parametrize("number", [1, 11, 150])
def test_all_classes_are_listed_but_few_at_first(number):
    found = describe(report_data(number))
    page = Page(render_page(found.title, found.subtitle, found.cards, found.sections))
    headings = [one.text for one in page.root.all("h2")]
    assert headings == [
        "Predictions", "Worst images", "Metrics per class", "Precision and recall",
        "Sizes of objects",
    ]  # fmt: skip
    average = (number + 1) // 2 / number
    assert found.cards[0].value == f"{average:.1%}"
    assert found.cards[0].main
    assert found.cards[2].value == f"{average:.1%}"
    section = next(one for one in found.sections if one.id == "classes")
    assert "<class" not in section.html
    rows = section.html.count('<tr><td class="long">')
    assert rows == (number if number <= 40 else number + 40)
    assert ("<details>" in section.html) == (number > 40)
    assert sum(len(one.html) for one in found.sections) < 200_000


def test_worst_images_have_both_pictures():
    uri = data_uri(scene(1)[0])
    picture = Picture(name="a<b.png", truth=uri, predicted=uri, errors=ImageErrors(2, 1, 3))
    found = describe(report_data(2, [picture]))
    html = next(one.html for one in found.sections if one.id == "worst")
    assert "2 found, 1 missed, 3 false" in html
    assert html.count("<img") == 2
    assert "a<b" not in html
    nothing = next(one.html for one in describe(report_data(2)).sections if one.id == "worst")
    assert nothing.startswith("<p>None: in every validation image all objects are found")


def test_caveats():
    sentences = describe(report_data(11)).caveats
    assert sentences == [
        "Only 11 validation images: hold out at least 50, preferably several hundred."
    ]


def test_sizes():
    boxes = [[0, 0, 10, 10], [0, 0, 20, 20], [0, 0, 20, 20], [0, 0, 390, 390]]
    counts = ObjectCounts([annotated(boxes, [0] * 4)], 1)
    assert size_fractions(counts).tolist() == [0.25, 0.5, 0, 0, 0, 0, 0.25]
    assert size_fractions(ObjectCounts([no_objects()], 1)).tolist() == [0] * 7
