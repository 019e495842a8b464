"""Charts, the confusion matrix and the page frame: readable at any size, everything escaped."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from spectralvision.report.confusion import confusion_map, confusion_matrix
from spectralvision.report.page import Card, Section, facts_table, render_page, table
from spectralvision.report.svg import data_uri, line_chart
from spectralvision.report.text import join_names, pluralize, shorten
from tests.helpers.html_page import Page

SCRIPT = "<script>alert(1)</script>"


def test_the_page_holds_its_cards_and_sections():
    cards = [Card("93 %", "accuracy: of all", main=True), Card(SCRIPT, SCRIPT)]
    sections = [
        Section("one", "One & two", "<p>first</p>"),
        Section("two", SCRIPT, "<p>second</p>"),
    ]
    page = Page(render_page(SCRIPT, SCRIPT, cards, sections))
    assert page.root.one("h1").text == page.root.one("title").text == SCRIPT
    assert page.root.one("header").one("p").text.startswith(SCRIPT)
    assert page.cards == {"accuracy": "93 %", SCRIPT: SCRIPT}
    assert len(page.root.all("div", "main")) == 1
    assert [section.one("h2").text for section in page.sections.values()] == ["One & two", SCRIPT]
    assert page.sections["two"].one("p").text == "second"


def test_facts_are_flattened_and_escaped():
    values = {
        "a": {"b": 1, "c": {"d": None, "secret": 1}},
        SCRIPT: SCRIPT,
        "empty": [],
        "long": "x" * 1000,
        "hash": "6729fb33cf59965b7c5ca9fc501bed1d",
    }
    rows = Page(facts_table(values, hidden=["secret"])).root.one("table").rows
    assert rows[:4] == [["a.b", "1"], ["a.c.d", "none"], [SCRIPT, SCRIPT], ["empty", "none"]]
    assert len(rows[4][1]) == 300
    assert len(rows) == 5


def test_numeric_columns_are_aligned_to_the_right():
    cells = Page(table(["name", "number"], [["a", "1"]], numeric=[1])).root
    assert [cell.text for cell in cells.all("td", "n")] == ["1"]
    assert [cell.text for cell in cells.all("th", "n")] == ["number"]


def test_the_table_shows_every_count():
    confusion = np.array([[30, 2], [0, 40]])
    page = Page(confusion_matrix(confusion, ["cat", "<b>dog</b>"]))
    rows = page.root.one("table", "matrix").rows[1:]
    assert rows == [["cat", "30", "2"], ["<b>dog</b>", "·", "40"]]
    assert page.root.all("svg") == []


def test_a_map_names_rows_and_columns():
    confusion = np.eye(30, dtype=int) * 12
    page = Page(confusion_matrix(confusion, [f"class {number}" for number in range(30)]))
    labels = [text.text for text in page.root.one("svg", "map").all("text")]
    assert labels.count("class 17") == 2
    assert len(labels) == 60


def test_the_color_of_a_map_is_the_fraction_of_the_row():
    confusion = np.diag([4, 100, 1])
    confusion[0, 2] = 12
    drawn = Page(confusion_map(confusion, ["a", "b", "c"])).root.one("image").attrs["href"]
    pixels = Image.open(io.BytesIO(base64.b64decode(drawn.partition(",")[2])))
    opacity = np.array(pixels)[..., 3] / 255
    expected = np.sqrt([[0.25, 0, 0.75], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(opacity, expected, atol=1 / 255)


def test_a_chart_leaves_out_values_that_are_not_finite():
    series = {"a": [(1, 2.0), (2, float("nan")), (3, 1.0)], "b": [(1, float("inf"))]}
    chart = Page(line_chart("Loss", series, mark=1)).root
    lines = [line.attrs["points"].split() for line in chart.all("polyline")]
    assert [len(points) for points in lines] == [2]
    assert len(chart.all("circle")) == 2
    assert len(chart.all("line", "mark")) == 1
    assert [text.text for text in chart.all("text")][-2:] == ["epoch", "a"]


@pytest.mark.parametrize("points", [[], [(1, float("nan"))]])
def test_a_chart_without_values_is_empty(points):
    assert line_chart("Loss", {"a": points}) == ""


def test_a_chart_of_one_epoch_has_a_dot():
    assert len(Page(line_chart("Loss", {"a": [(1, 1.0)]})).root.all("circle")) == 1


def test_equal_values_have_round_labels():
    line = [(1, 1 / 3), (2, 0.3333333433)]  # float64, float32
    chart = Page(line_chart("Accuracy", {"a": line}, percent=True)).root
    labels = [text.text for text in chart.all("text") if text.text.endswith("%")]
    assert labels == ["28%", "30%", "32%", "34%", "36%", "38%", "40%"]


@pytest.mark.parametrize(("value", "ends"), [(0.0, ("0%", "6%")), (1.0, ("94%", "100%"))])
def test_the_axis_of_fractions_ends_at_them(value, ends):
    chart = Page(line_chart("AP", {"a": [(1, value)]}, percent=True)).root
    labels = [text.text for text in chart.all("text") if text.text.endswith("%")]
    assert (labels[0], labels[-1]) == ends


def test_a_chart_in_per_cent():
    chart = Page(line_chart("Accuracy", {"a": [(1, 0.5), (10, 1.0)]}, percent=True)).root
    labels = [text.text for text in chart.all("text")]
    assert [label for label in labels if label.endswith("%")][:2] == ["50%", "60%"]
    assert "10" in labels
    assert chart.all("circle")[1].attrs["cy"] == "34.0"  # 100 % is at the top


def test_thumbnails():
    small = Image.new("RGB", (64, 10), "red")
    assert data_uri(small).startswith("data:image/png;base64,")
    assert data_uri(Image.new("L", (65, 10))).startswith("data:image/jpeg;base64,")


def test_texts():
    assert shorten("a_very_long_name_017", 11) == "a_ver…e_017"
    assert (pluralize(1, "class"), pluralize(2, "class")) == ("1 class", "2 classes")
    assert pluralize(1399, "image") == "1,399 images"
    assert join_names(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert join_names(["x" * 300, "y"]) == f"{'x' * 19}…{'x' * 20}, y"
