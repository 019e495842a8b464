"""The report: true numbers, everything escaped, no address outside, and a warning where a number says little."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spectralvision.analysis import report
from spectralvision.analysis.drawing import confusion_map, data_uri, line_chart
from spectralvision.analysis.report_page import Findings, page
from spectralvision.analysis.statistics import Judgement, doubts, wilson
from spectralvision.recipes.classification import Classification
from tests.pictures import COLOURS, image_folder, picture

SCRIPT = "<script>alert(1)</script>"
VOID = {"path", "meta", "img", "br", "line", "circle", "polyline", "image", "rect"}


class Page(HTMLParser):
    """Text by the id of its section, tags with their attributes, and tags left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.open: list[str] = []
        self.section = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.section = dict(attrs)["id"] or ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts[self.section] = self.texts.get(self.section, "") + data + " "

    def count(self, tag: str, kind: str = "") -> int:
        return sum(name == tag and kind in (attrs.get("class") or "") for name, attrs in self.tags)


def findings(num_classes: int, per_class: int, wrong: float = 0.3, seed: int = 0, **fields) -> Findings:
    """Predictions that are wrong in a share of the images, each taken for the next class."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(num_classes), per_class)
    said = np.where(rng.random(len(labels)) < wrong, (labels + 1) % num_classes, labels)
    probabilities = rng.random((len(labels), num_classes)) * 0.1
    probabilities[np.arange(len(labels)), said] += 1
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    made = Findings(
        title="birds · tiny",
        classes=[f"class {number}" for number in range(num_classes)],
        probabilities=probabilities,
        labels=labels,
        names=[f"folder/{number}.png" for number in range(len(labels))],
        train_counts=np.full(num_classes, 4 * per_class),
        epochs=[
            {"epoch": str(epoch), "train_loss": str(2 / epoch), "val_loss": str(2.1 / epoch), "seconds": "3",
             "train_top1": "0.70", "val_top1": "0.69"}
            for epoch in range(1, 9)
        ],
        record={"recipe": {"data": "birds", "optimisation": {"lr": 0.001}}, "versions": {"torch": "2.11"}},
    )  # fmt: skip
    return replace(made, **fields)


def parsed(made: Findings) -> Page:
    """The page, after what holds for every page."""
    text = page(made)
    found = Page(text)
    assert not found.open
    assert not re.search(r"https?:|//|url\(|@import", re.sub(r"data:image/(png|jpeg);base64,[\w+/=]+", "", text))
    for tag, attrs in found.tags:
        assert tag not in ("script", "link", "iframe", "object", "base"), tag
        for name in ("src", "href"):
            assert (attrs.get(name) or "data:image/").startswith("data:image/")
        assert not [name for name in attrs if name.startswith("on")]
    return found


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (50, 100, 0.4038, 0.5962), (0, 0, 0, 1)],
)
def test_wilson_interval(right, total, low, high):
    assert wilson(right, total) == pytest.approx((low, high), abs=1e-4)


def test_a_judgement_counts_rightly():
    probabilities = np.array([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.05, 0.05, 0.9], [0.5, 0.4, 0.1]])
    judged = Judgement(probabilities, np.array([0, 1, 1, 1, 0]))
    assert judged.confusion.tolist() == [[2, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert (judged.right, judged.total, judged.top5) == (3, 5, None)
    assert judged.recall[:2] == pytest.approx([1, 1 / 3])
    assert np.isnan(judged.recall[2])
    assert judged.precision == pytest.approx([2 / 3, 1, 0])
    assert judged.mistakes(5) == [3, 2]  # the truth was given 5 % and 30 %
    assert judged.ranked() == [0, 1]
    assert judged.confusions(5) == [(1, 0, 1), (1, 2, 1)]
    assert judged.guessing == pytest.approx(0.6)


def test_top5_is_the_truth_among_five():
    probabilities = np.tile(np.arange(7, 0, -1) / 28, (7, 1))
    assert Judgement(probabilities, np.arange(7)).top5 == pytest.approx(5 / 7)


@pytest.mark.parametrize("num_classes", [2, 12, 100])
def test_the_confusion_matrix_is_readable_at_any_number_of_classes(num_classes):
    made = findings(num_classes, 12)
    found, judged = parsed(made), Judgement(made.probabilities, made.labels)
    assert f"{judged.right} of {judged.total} right" in found.texts[""]
    assert ("top-5" in found.texts[""]) is (num_classes > 5)
    text = found.texts["confusion"]
    if num_classes <= 20:
        assert found.count("table", "matrix") == 1
        assert all(str(number) in text.split() for number in judged.confusion.diagonal())
    else:
        assert found.count("svg", "map") == 1
        assert text.count("class 57 ") >= 2  # names its row and its column
    if num_classes > 2:
        truth, said, number = judged.confusions(1)[0]
        assert f"class {truth} class {said} {number} of 12" in " ".join(text.split())
    assert "class 1" in found.texts["classes"]
    assert found.count("svg", "chart") == 2


def test_a_map_of_a_thousand_classes_is_numbered():
    drawn = confusion_map(np.eye(1000, dtype=int), [f"name {number}" for number in range(1000)])
    assert "name" not in drawn
    assert ">951<" in drawn
    assert len(drawn) < 50_000


def test_class_and_file_names_are_escaped():
    made = findings(3, 10)
    worst = Judgement(made.probabilities, made.labels).mistakes(2)
    uri = data_uri(Image.new("RGB", (80, 60)))
    names = [SCRIPT, 'a" onerror="x', "b\udcff<b>"]  # the last is no text in any encoding
    files = [f"{SCRIPT}/'\"{number}.png" for number in range(30)]
    made = replace(
        made, title=SCRIPT, classes=names, names=files, mistakes=dict.fromkeys(worst, uri),
        samples=[(SCRIPT, [uri, uri])], next_command=SCRIPT,
        record={"recipe": {"data": SCRIPT}, "data": {SCRIPT: SCRIPT}},
    )  # fmt: skip
    found = parsed(made)
    page(made).encode("utf-8")
    for section in ("", "trust", "confusion", "classes", "mistakes", "samples", "facts"):
        assert "<script>" in found.texts[section], section
    assert found.count("img") == 4


def test_eight_images_are_doubted():
    text = parsed(findings(2, 4)).texts["trust"]
    assert "Only 8 validation images" in text
    assert "12.5 points" in text
    assert "fewer than 5 validation images" in text
    assert "chosen by them" in text


def test_what_is_sound_is_not_doubted():
    made = findings(3, 400, wrong=0.2)
    judged = Judgement(made.probabilities, made.labels)
    assert doubts(judged, made.classes, made.train_counts, made.epochs) == []
    assert "Nothing speaks against" in parsed(made).texts["trust"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"train_counts": np.array([600, 100, 90])}, r"600 training images of class 0, 90 of class 2"),
        ({"epochs": [{"val_top1": x, "train_top1": 0.5} for x in (0.5, 0.6, 0.7)]}, r"still rising \(10.0 points"),
        ({"epochs": [{"val_top1": 0.7, "train_top1": 0.5}]}, "only once"),
        ({"epochs": [{"val_top1": 0.7, "train_top1": 0.95}] * 6}, r"95.0% were right, 25 points more"),
        ({"record": {"status": "interrupted"}}, "stopped before its end"),
    ],
)
def test_doubts(fields, sentence):
    made = replace(findings(3, 400, wrong=0.2), **fields)
    judged = Judgement(made.probabilities, made.labels)
    status = made.record.get("status", "finished")
    (only,) = doubts(judged, made.classes, made.train_counts, made.epochs, status)
    assert re.search(sentence, only)


def test_a_network_no_better_than_guessing_is_doubted():
    probabilities = np.tile([0.6, 0.4], (400, 1))
    labels = np.repeat([0, 1], [300, 100])
    assert any("most frequent class" in text for text in doubts(Judgement(probabilities, labels), "ab", None, []))


def test_no_mistake_and_a_class_without_images():
    made = findings(3, 10, wrong=0)
    assert "every validation image was right" in parsed(made).texts["mistakes"]
    made = replace(made, classes=[*made.classes, "empty"], probabilities=np.pad(made.probabilities, ((0, 0), (0, 1))),
                   train_counts=np.array([9, 9, 9, 9]))  # fmt: skip
    assert "100.0%" in parsed(made).texts[""]


def test_a_chart_leaves_out_what_is_not_finite():
    drawn = line_chart("Loss", {"a": [(1, 2.0), (2, float("nan")), (3, 1.0)], "b": [(1, float("inf"))]}, mark=1)
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert line_chart("Loss", {"a": []}) == ""
    assert "circle" in line_chart("Loss", {"a": [(1, 1.0)]})


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory) -> Path:
    """A run on three classes, one of them named like a script; some of its images have the colour of another class."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    image_folder(folder, 12)
    (folder / "red").rename(folder / "<script>alert(1)<")
    for number in range(100, 104):
        picture("blue", number, side=80).save(folder / "<script>alert(1)<" / f"<img src=x onerror=y>{number}.png")
    run = tmp_path_factory.mktemp("runs") / "run"
    recipe = Classification(data=str(folder), model="test_resnet", epochs=2, input_size=32, out=str(run), workers=0)
    assert recipe.run(lambda line: None)["report"] == str(run / "report.html")
    return run


def test_the_report_of_a_run(hostile_run):
    text = (hostile_run / "report.html").read_text(encoding="utf-8")
    found = Page(text)
    assert not found.open
    assert "<script" not in text
    assert "onerror" not in {name for _, attrs in found.tags for name in attrs}
    assert "<script>alert(1)<" in found.texts["classes"]
    assert "7 val" in found.texts[""]
    assert f"spectralvision evaluate --model {hostile_run}" in found.texts["trust"]
    assert found.count("figure") >= 6
    assert "optimisation.lr" in found.texts["facts"]
    assert "torch" in found.texts["facts"]
    assert "images/s" in found.texts["facts"]


def test_a_report_that_fails_leaves_the_run_whole(tmp_path, monkeypatch):
    def broken(*args):
        raise RuntimeError("no ink")

    monkeypatch.setattr(report, "page", broken)
    lines = []
    photos = image_folder(tmp_path / "photos", 5, classes=tuple(COLOURS)[:2])
    run = tmp_path / "run"
    recipe = Classification(data=str(photos), model="test_resnet", epochs=1, input_size=32, out=str(run), workers=0)
    assert recipe.run(lines.append)["report"] is None
    assert "RuntimeError: no ink" in lines[-1]
    assert '"finished"' in (run / "run.json").read_text()
    assert not (run / "report.html").exists()
