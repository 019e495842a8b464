"""Build the classifier's part of a report: accuracy, confusions, classes, mistakes, samples.

With many classes the page shows the extremes only; `class_tables.py` writes the whole tables.
"""

import math
from collections.abc import Iterable

from spectralvision.report import Card, Findings, Section
from spectralvision.report.confusion import MAX_MAP_CLASSES, confusion_matrix
from spectralvision.report.page import (
    bar,
    details,
    figure,
    image,
    note,
    picture_rows,
    short_name,
    table,
    tiles,
)
from spectralvision.report.text import escape, pluralize, shorten
from spectralvision.runs import format_count, format_rate
from spectralvision.tasks.classification.class_tables import CLASSES_FILE, CONFUSIONS_FILE
from spectralvision.tasks.classification.report_data import ReportData
from spectralvision.tasks.classification.statistics import caveats, wilson_interval

MAX_LISTED_CLASSES = 20  # best and worst classes
MAX_CONFUSIONS = 10
MAX_CONFUSIONS_OF_MANY = 40  # where no matrix is drawn
MAX_CAPTION_NAME = 24  # characters
METRIC_TITLES = {"top1": "Accuracy", "top5": "Top-5 accuracy"}


def build_findings(data: ReportData) -> Findings:
    """Return what a report shows of a classifier."""
    facts = {}
    if data.parameters is not None:
        facts["parameters"] = f"{data.parameters / 1e6:.2f} M"
    timings = {}
    if data.images_per_second is not None:
        speed = format_rate(data.images_per_second)
        timings["evaluation, including start-up and reading"] = speed
    counts = ", ".join(f"{format_count(number)} {split}" for split, number in data.images.items())
    classes = pluralize(len(data.classes), "class")
    return Findings(
        title=data.title,
        subtitle=f"{classes} · {counts} images" if counts else classes,
        cards=cards(data),
        caveats=caveats(data.results, data.classes, data.train_counts),
        sections=sections(data),
        metric_titles=METRIC_TITLES,
        timings=timings,
        facts=facts,
    )


def cards(data: ReportData) -> list[Card]:
    """Return the accuracy and the numbers that put it into perspective."""
    results = data.results
    low, high = wilson_interval(results.correct, results.total)
    found = [
        Card(
            f"{results.accuracy:.1%}",
            f"top-1 accuracy: {format_count(results.correct)} of "
            f"{format_count(results.total)} validation images are correct; "
            f"95 % confidence interval {low:.1%} to {high:.1%}",
            main=True,
        ),
        Card(
            f"{results.majority_baseline:.1%}",
            "baseline: accuracy of always predicting the most frequent class",
        ),
        Card(f"{results.balanced_accuracy:.1%}", "balanced accuracy: mean recall of the classes"),
        Card(f"{results.confidence:.1%}", "mean confidence: probability of the predicted class"),
    ]
    if results.top5 is not None:
        found.append(
            Card(f"{results.top5:.1%}", "top-5 accuracy: true class among the five most probable")
        )
    return found


def sections(data: ReportData) -> list[Section]:
    """Return the sections of a classifier, those without content left out."""
    found = [
        _confusion_section(data),
        _classes_section(data),
        _mistakes_section(data),
        _samples_section(data),
    ]
    return [section for section in found if section is not None]


def _confusion_section(data: ReportData) -> Section:
    """Return the matrix, unless there are too many classes, and the most frequent confusions."""
    results = data.results
    number = len(results.confusions)
    if len(data.classes) <= MAX_MAP_CLASSES:
        title, limit = "Confusion matrix", MAX_CONFUSIONS
        html = confusion_matrix(results.confusion_matrix(), data.classes)
        heading = "<h3>Most frequent confusions</h3>"
    else:
        title, limit, heading = "Most frequent confusions", MAX_CONFUSIONS_OF_MANY, ""
        html = note(
            f"A matrix is drawn for up to {MAX_MAP_CLASSES} classes; here are the pairs of classes "
            "that are confused most often."
        )
    if number and len(data.classes) > 2:
        html += heading + _confusion_table(data, limit)
    if number > limit:
        html += note(
            f"All {format_count(number)} pairs are in {CONFUSIONS_FILE} in the run folder."
        )
    return Section("confusion", title, html)


def _confusion_table(data: ReportData, limit: int) -> str:
    rows = [
        [
            short_name(data.classes[truth]),
            short_name(data.classes[predicted]),
            f"{number} of {data.results.counts[truth]}",
        ]
        for truth, predicted, number in data.results.confusions[:limit]
    ]
    return table(["true class", "predicted as", "images"], rows, numeric=[2])


def _classes_section(data: ReportData) -> Section:
    order = data.results.rank_classes()
    html = note(
        "Recall: fraction of the images of a class that are predicted correctly, with its 95 % "
        "confidence interval (thin line). Precision: fraction of the predictions of a class that "
        "are correct."
    )
    if len(order) <= 2 * MAX_LISTED_CLASSES:
        return Section("classes", "Metrics per class", html + _class_table(data, order))
    worst = _class_table(data, order[::-1][:MAX_LISTED_CLASSES])
    best = _class_table(data, order[:MAX_LISTED_CLASSES])
    html += f"<h3>Lowest recall</h3>{worst}\n<h3>Highest recall</h3>{best}\n"
    if len(order) <= MAX_MAP_CLASSES:
        html += details(f"All {len(order)} classes, by recall", _class_table(data, order))
    number = format_count(len(data.classes))
    html += note(f"All {number} classes are in {CLASSES_FILE} in the run folder.")
    return Section("classes", "Metrics per class", html)


def _class_table(data: ReportData, labels: Iterable[int]) -> str:
    head = ["class", "recall", "", "95 % interval", "correct", "precision", "predictions"]
    if data.train_counts is not None:
        head.append("training images")
    rows = [_class_row(data, label) for label in labels]
    return table(head, rows, numeric=[1, 3, 4, 5, 6, 7])


def _class_row(data: ReportData, label: int) -> list[str]:
    results = data.results
    correct = int(results.hits[label])
    total = int(results.counts[label])
    low, high = wilson_interval(correct, total)
    precision = results.precision[label]
    row = [
        short_name(data.classes[label]),
        f"{correct / total:.0%}",
        bar(correct / total, low, high),
        f"{low:.0%} to {high:.0%}",
        f"{correct} of {total}",
        "-" if math.isnan(precision) else f"{precision:.0%}",
        str(results.predictions[label]),
    ]
    if data.train_counts is not None:
        row.append(str(data.train_counts[label]))
    return row


def _mistakes_section(data: ReportData) -> Section | None:
    title = "Worst mistakes"
    number = data.results.total - data.results.correct
    if not number:
        html = "<p>None: every validation image was classified correctly.</p>"
        return Section("mistakes", title, html)
    if not data.mistakes:
        return None
    explained = [_mistake(data, index) for index in data.mistakes if index in data.activation_maps]
    others = [_mistake(data, index) for index in data.mistakes if index not in data.activation_maps]
    shown = f"{len(data.mistakes)} of " if len(data.mistakes) < number else ""
    intro = (
        f"{shown}{pluralize(number, 'misclassified image')}, lowest probability of the true class "
        "first. Wrong labels in the data often show up here."
    )
    if explained:
        intro += (
            " Beside the worst: the image as the model sees it; red regions contribute most to the "
            "predicted class (Grad-CAM)."
        )
    blocks = [note(f"{intro} {data.activation_note}".strip())]
    blocks += [
        tiles(figures, wide=figures is explained) for figures in (explained, others) if figures
    ]
    return Section("mistakes", title, "".join(blocks))


def _mistake(data: ReportData, index: int) -> str:
    """Return a picture, its activation map if there is one, and a caption."""
    truth = int(data.results.labels[index])
    predicted = int(data.results.predicted[index])
    confidence = data.results.confidences[index]
    true_probability = data.results.true_probabilities[index]
    pictures = [image(data.mistakes[index], data.names[index])]
    if index in data.activation_maps:
        alt = f"Activation map of {data.classes[predicted]}"
        pictures.append(image(data.activation_maps[index], alt))
    return figure(
        pictures,
        f'predicted <b class="bad">{_short(data.classes[predicted])}</b> '
        f"{confidence:.0%}<br>"
        f"true <b>{_short(data.classes[truth])}</b> {true_probability:.0%}<br>"
        f"{short_name(data.names[index])}",
    )


def _samples_section(data: ReportData) -> Section | None:
    if not data.samples:
        return None
    mixed = " Mixup or CutMix, which blend two images, are applied on top." if data.mixed else ""
    intro = note(
        "The original, then as augmented in the first two epochs. If you cannot recognize the "
        f"object any more, the augmentation is too strong.{mixed}"
    )
    html = intro + picture_rows(data.samples)
    return Section("samples", "Training images after augmentation", html)


def _short(text: str) -> str:
    return escape(shorten(text, MAX_CAPTION_NAME))
