"""The report of a classifier: true numbers in the right cells, everything escaped."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spectralvision.report.run_report import report_page
from spectralvision.report.run_sections import Curves
from spectralvision.report.svg import data_uri
from spectralvision.tasks.classification import report
from spectralvision.tasks.classification.class_tables import write_class_tables
from spectralvision.tasks.classification.config import ClassificationConfig
from spectralvision.tasks.classification.report import METRIC_TITLES, build_findings
from spectralvision.tasks.classification.report_data import ReportData
from spectralvision.tasks.classification.statistics import ClassificationResults, wilson_interval
from spectralvision.tasks.training_run import train
from tests.helpers.classification_results import random_results
from tests.helpers.html_page import Page
from tests.helpers.pictures import COLOURS, image_folder, picture

SCRIPT = "<script>alert(1)</script>"
EPOCHS = [
    {"epoch": str(epoch), "train_loss": str(2 / epoch), "val_loss": str(2.1 / epoch),
     "train_top1": "0.70", "val_top1": "0.69", "seconds": str(3 * epoch)}
    for epoch in range(1, 9)
]  # fmt: skip


def report_data(num_classes: int, per_class: int, wrong: float = 0.3) -> ReportData:
    results = random_results(num_classes, per_class, wrong)
    return ReportData(
        title="birds · tiny",
        classes=[f"class {number}" for number in range(num_classes)],
        results=results,
        names=[f"folder/{number}.png" for number in range(results.total)],
        train_counts=np.full(num_classes, 4 * per_class),
    )


def rendered(data: ReportData, record: dict | None = None, command: str = "") -> Page:
    """Return the page of a report, which `Page` checks for what holds for every page."""
    curves = Curves(epochs=EPOCHS, monitor="val_top1", titles=METRIC_TITLES)
    html = report_page(build_findings(data), record or {}, curves, command)
    html.encode("utf-8")
    return Page(html)


@pytest.mark.parametrize("num_classes", [2, 12, 100])
def test_the_cards_and_the_confusions(num_classes):
    data = report_data(num_classes, 12)
    results = data.results
    page = rendered(data)
    assert page.cards["top-1 accuracy"] == f"{results.accuracy:.1%}"
    assert page.cards["baseline"] == f"{1 / num_classes:.1%}"
    assert page.cards["balanced accuracy"] == f"{results.balanced_accuracy:.1%}"
    assert page.cards["mean confidence"] == f"{results.confidence:.1%}"
    assert ("top-5 accuracy" in page.cards) is (num_classes > 5)
    main = page.root.one("div", "main").text
    assert f"{results.correct:,} of {results.total:,} validation images are correct" in main
    assert [title.text for title in page.sections["curves"].all("h3")] == ["Loss", "Accuracy"]
    assert len(page.sections["curves"].all("svg", "chart")) == 2

    confusion = page.sections["confusion"]
    if num_classes <= 20:
        rows = confusion.one("table", "matrix").rows[1:]
        expected = [
            [str(count or "·") for count in counts] for counts in results.confusion_matrix()
        ]
        assert [row[1:] for row in rows] == expected
        assert [row[0] for row in rows] == data.classes
    else:
        labels = [text.text for text in confusion.one("svg", "map").all("text")]
        assert labels == [name for name in data.classes for _ in "xy"]
    if num_classes > 2:
        truth, predicted, number = results.confusions[0]
        first = confusion.all("table")[-1].rows[1]
        assert first == [f"class {truth}", f"class {predicted}", f"{number} of 12"]


def test_the_metrics_of_each_class():
    data = report_data(3, 40)
    results = data.results
    rows = rendered(data).sections["classes"].one("table").rows
    assert rows[0] == [
        "class", "recall", "", "95 % interval", "correct", "precision", "predictions",
        "training images",
    ]  # fmt: skip
    assert [row[0] for row in rows[1:]] == [f"class {label}" for label in results.rank_classes()]
    for row, label in zip(rows[1:], results.rank_classes(), strict=True):
        confusion = results.confusion_matrix()
        correct, predictions = confusion[label, label], confusion[:, label].sum()
        low, high = wilson_interval(correct, 40)
        assert row[1:] == [
            f"{correct / 40:.0%}",
            "",
            f"{low:.0%} to {high:.0%}",
            f"{correct} of 40",
            f"{correct / predictions:.0%}",
            str(predictions),
            "160",
        ]


def test_many_classes_are_listed_from_both_ends():
    data = report_data(50, 12)
    order = data.results.rank_classes()
    section = rendered(data).sections["classes"]
    worst, best, every = section.all("table")
    assert [row[0] for row in worst.rows[1:]] == [f"class {label}" for label in order[:-21:-1]]
    assert [row[0] for row in best.rows[1:]] == [f"class {label}" for label in order[:20]]
    assert [row[0] for row in every.rows[1:]] == [f"class {label}" for label in order]
    assert section.all("p")[-1].text == "All 50 classes are in classes.csv in the run folder."


@pytest.mark.parametrize("num_classes", [121, 1000, 5000])
def test_the_page_of_many_classes_is_small(num_classes, tmp_path, monkeypatch):
    monkeypatch.delattr(ClassificationResults, "confusion_matrix")  # none in memory
    rng = np.random.default_rng(0)
    total = 10 * num_classes
    data = replace(
        report_data(2, 2),
        classes=[f"class {number}" for number in range(num_classes)],
        results=ClassificationResults(
            num_classes=num_classes,
            labels=np.repeat(np.arange(num_classes), 10),
            predicted=rng.integers(0, num_classes, total),
            confidences=rng.random(total),
            true_probabilities=rng.random(total),
            is_top5=rng.random(total) < 0.5,
        ),
        names=[""] * total,
        train_counts=np.full(num_classes, 40),
    )
    start = time.monotonic()
    write_class_tables(tmp_path, data.results, data.classes, data.train_counts)
    page = rendered(data)
    assert time.monotonic() - start < 20  # about 2 s
    assert len(page.html) < 100_000
    confusion, classes = page.sections["confusion"], page.sections["classes"]
    assert confusion.one("h2").text == "Most frequent confusions"
    assert confusion.all("svg") == []
    assert len(confusion.one("table").rows) == 1 + 40
    assert [len(table.rows) for table in classes.all("table")] == [21, 21]
    number = len(data.results.confusions)
    sentences = [section.all("p")[-1].text for section in (confusion, classes)]
    assert sentences == [
        f"All {number:,} pairs are in confusions.csv in the run folder.",
        f"All {num_classes:,} classes are in classes.csv in the run folder.",
    ]
    assert len((tmp_path / "classes.csv").read_text().splitlines()) == 1 + num_classes
    assert len((tmp_path / "confusions.csv").read_text().splitlines()) == 1 + number


def test_class_and_file_names_are_escaped():
    data = report_data(3, 10)
    worst = data.results.worst_mistakes(2)
    uri = data_uri(Image.new("RGB", (80, 60)))
    classes = [SCRIPT, 'a" onerror="x', "b\udcff<b>"]  # the last is not text in any encoding
    data = replace(
        data,
        title=SCRIPT,
        classes=classes,
        names=[f"{SCRIPT}/'\"{number}.png" for number in range(30)],
        mistakes=dict.fromkeys(worst, uri),
        samples=[(SCRIPT, [uri, uri])],
    )
    record = {"config": {"model": SCRIPT}, "data": {SCRIPT: SCRIPT}}
    page = rendered(data, record, command=SCRIPT)
    assert page.root.one("h1").text == SCRIPT
    assert page.sections["caveats"].one("code").text == SCRIPT
    for section in ("confusion", "classes", "mistakes", "samples", "facts"):
        assert SCRIPT in page.sections[section].text, section
    facts = dict(row for table in page.sections["facts"].all("table") for row in table.rows)
    assert (facts["model"], facts[SCRIPT]) == (SCRIPT, SCRIPT)
    shown = ["b\\xff<b>" if name == classes[2] else name for name in classes]
    assert [row[0] for row in page.sections["confusion"].one("table", "matrix").rows[1:]] == [
        name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}" for name in shown
    ]
    assert len(page.root.all("img")) == 4


def test_mistakes_name_both_classes_and_the_file():
    data = report_data(3, 10)
    first, second = data.results.worst_mistakes(2)
    uri = data_uri(Image.new("RGB", (80, 60)))
    section = rendered(replace(data, mistakes={first: uri, second: uri})).sections["mistakes"]
    wrong = data.results.total - data.results.correct
    assert wrong > 2
    assert section.one("p").text.startswith(f"2 of {wrong} misclassified images")
    caption = section.all("figcaption")[0].text
    truth = data.results.labels[first]
    predicted = data.results.predicted[first]
    confidence = data.results.confidences[first]
    true_probability = data.results.true_probabilities[first]
    assert caption == (
        f"predicted class {predicted} {confidence:.0%} "
        f"true class {truth} {true_probability:.0%} folder/{first}.png"
    )


def test_activation_maps_are_beside_the_worst_mistakes():
    data = report_data(3, 10)
    first, second = data.results.worst_mistakes(2)
    uri = data_uri(Image.new("RGB", (80, 60)))
    data = replace(data, mistakes={first: uri, second: uri}, activation_maps={first: uri})
    section = rendered(data).sections["mistakes"]
    assert section.one("p").text.endswith("red regions contribute most to the predicted class "
                                          "(Grad-CAM).")  # fmt: skip
    explained, plain = section.all("figure")
    alts = [picture.attrs["alt"] for picture in explained.all("img")]
    predicted = data.results.predicted[first]
    assert alts == [f"folder/{first}.png", f"Activation map of class {predicted}"]
    assert len(plain.all("img")) == 1


def test_why_there_are_no_activation_maps():
    data = report_data(3, 10)
    mistakes = {data.results.worst_mistakes(1)[0]: data_uri(Image.new("RGB", (80, 60)))}
    data = replace(data, mistakes=mistakes, activation_note="No grad-cam.")
    text = rendered(data).sections["mistakes"].one("p").text
    assert text.endswith("Wrong labels in the data often show up here. No grad-cam.")


def test_names_of_300_characters_are_shortened():
    data = replace(report_data(2, 2), classes=["W" * 300, SCRIPT * 12])
    page = rendered(data)
    assert "W" * 41 not in page.root.text
    titles = [name.attrs.get("title") for name in page.sections["classes"].all("span")]
    assert "W" * 300 in titles


def test_the_samples_mention_mixup_only_where_it_was_used():
    data = replace(report_data(3, 10), samples=[("a: 1.png", ["data:image/png;base64,AA"] * 3)])
    assert "Mixup" not in rendered(data).sections["samples"].text
    section = rendered(replace(data, mixed=True)).sections["samples"]
    assert "Mixup or CutMix" in section.one("p").text
    assert len(section.one("figure").all("img")) == 3


def test_caveats_are_listed():
    section = rendered(report_data(2, 4)).sections["caveats"]
    items = [item.text for item in section.one("ul", "caveats").all("li")]
    assert any(item.startswith("Only 8 validation images") for item in items)
    assert "the best epoch was selected with them" in section.all("p")[-1].text


def test_no_caveats_are_stated():
    section = rendered(report_data(3, 400, wrong=0.2)).sections["caveats"]
    assert section.all("ul") == []
    assert section.all("p")[0].text == "No problem was found with these numbers."


def test_no_mistake_and_a_class_without_images():
    data = report_data(3, 10, wrong=0)
    section = rendered(data).sections["mistakes"]
    assert section.one("p").text == "None: every validation image was classified correctly."
    data = replace(
        data,
        classes=[*data.classes, "empty"],
        results=replace(data.results, num_classes=4),
        train_counts=np.array([9, 9, 9, 9]),
    )
    page = rendered(data)
    assert page.cards["balanced accuracy"] == "100.0%"
    listed = [row[0] for row in page.sections["classes"].one("table").rows[1:]]
    assert listed == ["class 0", "class 1", "class 2"]


def test_a_class_that_is_never_predicted():
    probabilities = np.tile([0.6, 0.4], (40, 1))
    results = ClassificationResults.from_probabilities(probabilities, np.repeat([0, 1], 20))
    rows = rendered(replace(report_data(2, 20), results=results)).sections["classes"]
    rows = rows.one("table").rows[1:]
    assert [row[5:7] for row in rows] == [["50%", "40"], ["-", "0"]]


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory) -> Path:
    """A run on three classes, one named like a script, with images that look like another class."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    image_folder(folder, 12)
    (folder / "red").rename(folder / "<script>alert(1)<")
    for number in range(100, 104):
        picture("blue", number, side=80).save(
            folder / "<script>alert(1)<" / f"<img src=x onerror=y>{number}.png"
        )
    run = tmp_path_factory.mktemp("runs") / "run"
    config = ClassificationConfig(
        data=str(folder), model="test_resnet", epochs=2, input_size=32, out=str(run), workers=0
    )
    assert train(config, lambda line: None)["report"] == str(run / "report.html")
    return run


def test_the_report_of_a_run(hostile_run):
    page = Page((hostile_run / "report.html").read_text(encoding="utf-8"))
    sections = page.sections
    assert list(sections) == [
        "caveats", "curves", "confusion", "classes", "mistakes", "samples", "facts"
    ]  # fmt: skip
    assert page.root.one("header").one("p").text.startswith("3 classes · 33 train, 7 val images")
    names = {row[0] for row in sections["classes"].one("table").rows[1:]}
    assert names == {"blue", "green", "<script>alert(1)<"}
    counts = [int(row[4].split(" of ")[1]) for row in sections["classes"].one("table").rows[1:]]
    assert sum(counts) == 7
    command = sections["caveats"].one("code").text
    assert command == (f"spectralvision evaluate --model {hostile_run} --data FOLDER-OF-NEW-IMAGES")
    assert len(sections["samples"].all("figure")) == 6
    assert all(len(figure.all("img")) == 3 for figure in sections["samples"].all("figure"))
    facts = dict(row for table in sections["facts"].all("table") for row in table.rows)
    assert facts["input_size"] == "32"
    assert facts["trainer.strategy"] == "single process (auto)"
    assert (facts["device"], facts["precision"]) == ("cpu (auto)", "32 (auto)")
    assert not [name for name in facts if "fingerprint" in name]
    assert "auto" not in facts.values()
    assert len(sections["mistakes"].all("img")) > len(sections["mistakes"].all("figure"))
    assert {"torch", "spectralvision", "accelerator", "parameters"} <= set(facts)
    assert facts["evaluation, including start-up and reading"].endswith(" images/s")


def test_a_report_that_fails_leaves_the_run_complete(tmp_path, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("no ink")

    monkeypatch.setattr(report, "confusion_matrix", broken)
    lines = []
    photos = image_folder(tmp_path / "photos", 5, classes=tuple(COLOURS)[:2])
    run = tmp_path / "run"
    config = ClassificationConfig(
        data=str(photos), model="test_resnet", epochs=1, input_size=32, out=str(run), workers=0
    )
    assert train(config, lines.append)["report"] is None
    assert "RuntimeError: no ink" in lines[-1]
    assert '"finished"' in (run / "run.json").read_text()
    assert not (run / "report.html").exists()
