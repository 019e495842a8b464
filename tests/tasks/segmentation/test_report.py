"""The report of a segmentation run with few and with many classes."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from spectralvision.report.page import render_page
from spectralvision.report.svg import data_uri
from spectralvision.tasks.segmentation.report import describe
from spectralvision.tasks.segmentation.report_data import Picture, ReportData
from tests.helpers.html_page import Page

PICTURE = data_uri(Image.new("RGB", (80, 60), (30, 120, 60)))


def picture(number):
    return Picture(
        name=f"street {number} <b>.jpg",
        image=PICTURE,
        truth=PICTURE,
        predicted=PICTURE,
        miou=float("nan") if number == 3 else 0.1 * number,
    )


def report_data(number, images=60):
    """Return data of a run with so many classes, of which the last never occurs in validation."""
    rng = np.random.default_rng(number)
    confusion = rng.integers(0, 50, (number, number)) + np.diag(rng.integers(200, 9000, number))
    confusion[-1] = 0
    confusion[:, -1] = 0
    train_pixels = rng.integers(100, 10_000, number)
    train_pixels[-1] = 0
    return ReportData(
        title="streets · affnet_t + deeplabv3",
        classes=[f"class {index}" for index in range(number)],
        confusion=confusion,
        image_mious=rng.random(images),
        image_pixels=rng.integers(0, 3, (images, number)) * (np.arange(number) < number - 1),
        train_pixels=train_pixels,
        images={"train": 100, "val": images},
        worst=[picture(index) for index in range(4)],
        samples=[picture(index) for index in range(3)],
        augmented=[("a.jpg", [PICTURE] * 3)],
        parameters=3_500_000,
        images_per_second=12.0,
    )


def render(data):
    found = describe(data)
    return found, Page(render_page(found.title, found.subtitle, found.cards, found.sections))


@pytest.mark.parametrize("number", [2, 11, 60, 150])
def test_any_number_of_classes(number):
    data = report_data(number)
    found, page = render(data)
    text = page.root.text
    iou = (
        np.diag(data.confusion)[:-1]
        / (data.confusion.sum(0) + data.confusion.sum(1) - np.diag(data.confusion))[:-1]
    )
    assert found.cards[0].value == f"{iou.mean():.1%}"
    assert "mean IoU -" in text  # all pixels of an image are ignored
    assert "street 0 <b>.jpg" in text  # escaped
    html = "".join(section.html for section in found.sections)
    assert ('class="matrix' in html) == (number <= 20)
    assert ("<details>" in html) == (number > 40)
    assert len(html) < 400_000
    caveats = " ".join(found.caveats)
    assert f"1 class without validation pixels: class {number - 1}." in caveats
    assert f"1 class without training pixels: class {number - 1}." in caveats
    assert "Hold out" not in caveats


def test_sizes_are_of_the_images_with_the_class():
    data = replace(
        report_data(2, images=4), image_pixels=np.array([[10, 0], [0, 0], [7, 3], [2, 8]])
    )
    _, page = render(data)
    rows = page.sections["sizes"].rows
    assert [row[:3] for row in rows[1:]] == [["class 0", "3", "70.00%"], ["class 1", "2", "55.00%"]]
    assert rows[1][4] == "30.00% to 94.00%"


def test_few_images_are_a_caveat():
    found, _ = render(report_data(11, images=7))
    assert any(one.startswith("Only 7 validation images") for one in found.caveats)
