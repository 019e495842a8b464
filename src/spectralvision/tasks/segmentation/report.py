"""Build the report of a segmentation run: mean IoU, classes, confusions, pictures."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from spectralvision.data.splits import Data
from spectralvision.data.thresholds import MIN_VAL_IMAGES
from spectralvision.engine.indexed_images import palette
from spectralvision.report import Card, Findings, Section
from spectralvision.report.confusion import (
    MAX_MAP_CLASSES,
    MAX_TABLE_CLASSES,
    confusion_map,
    confusion_table,
)
from spectralvision.report.page import (
    bar,
    figure,
    image,
    legend,
    note,
    picture_rows,
    ranked_classes,
    short_name,
    table,
    tiles,
)
from spectralvision.report.text import format_percent, join_names, pluralize
from spectralvision.runs import format_count, format_rate
from spectralvision.tasks.segmentation.metrics import class_metrics
from spectralvision.tasks.segmentation.report_data import (
    Picture,
    ReportData,
    collect_report_data,
)

MAX_CONFUSIONS = 15
METRIC_TITLES = {
    "miou": "Mean IoU", "pixel_accuracy": "Pixel accuracy", "mean_accuracy": "Mean class accuracy",
}  # fmt: skip


def build_findings(run: Path, data: Data) -> Findings:
    """Return what a report shows of a segmentation run."""
    return describe(collect_report_data(run, data))


def describe(data: ReportData) -> Findings:
    """Return the cards, caveats and sections."""
    counts = ", ".join(f"{format_count(number)} {split}" for split, number in data.images.items())
    return Findings(
        title=data.title,
        subtitle=f"{pluralize(len(data.classes), 'class')} · {counts} images",
        cards=cards(data),
        caveats=caveats(data),
        sections=[
            _samples_section(data),
            _classes_section(data),
            _worst_section(data),
            _confusion_section(data),
            _sizes_section(data),
            _augmented_section(data),
        ],
        metric_titles=METRIC_TITLES,
        timings={"evaluation, including start-up and reading": format_rate(data.images_per_second)},
        facts={"parameters": f"{data.parameters / 1e6:.2f} M"},
    )


def cards(data: ReportData) -> list[Card]:
    """Return the metrics, and the baseline that puts them into perspective."""
    confusion = torch.from_numpy(data.confusion)
    iou, accuracy = class_metrics(confusion)
    total = max(int(confusion.sum()), 1)
    number = len(data.image_mious)
    largest = int(confusion.sum(dim=1).argmax())
    share = float(confusion.sum(dim=1)[largest]) / total
    occurring = max(int((confusion.sum(dim=1) > 0).sum()), 1)
    return [
        Card(
            f"{iou.nanmean():.1%}",
            "mean IoU: intersection / union of truth and prediction, averaged over the classes, on "
            f"{format_count(number)} validation images",
            main=True,
        ),
        Card(f"{confusion.diagonal().sum() / total:.1%}", "pixel accuracy: correct pixels"),
        Card(f"{accuracy.nanmean():.1%}", "mean accuracy of the classes"),
        Card(
            f"{share / occurring:.1%}",
            f"baseline: mean IoU of predicting {data.classes[largest]} everywhere",
        ),
    ]


def caveats(data: ReportData) -> list[str]:
    """Return sentences on when the metrics cannot be trusted."""
    found = []
    number = len(data.image_mious)
    if number < MIN_VAL_IMAGES:
        found.append(
            f"Only {pluralize(number, 'validation image')}: hold out at least {MIN_VAL_IMAGES}, "
            "preferably several hundred."
        )
    true = data.confusion.sum(axis=1)
    missing = [data.classes[index] for index in np.flatnonzero(true == 0).tolist()]
    if missing:
        found.append(
            f"{pluralize(len(missing), 'class')} without validation pixels: {join_names(missing)}. "
            "Mean IoU leaves out classes that are neither annotated nor predicted."
        )
    if data.train_pixels is not None:
        untrained = [
            data.classes[index] for index in np.flatnonzero(data.train_pixels == 0).tolist()
        ]
        if untrained:
            found.append(
                f"{pluralize(len(untrained), 'class')} without training pixels: "
                f"{join_names(untrained)}."
            )
    return found


def _samples_section(data: ReportData) -> Section:
    html = note("Image, annotation and prediction, evenly spread over the validation images.")
    figures = [_picture(one) for one in data.samples]
    html += legend(data.classes, palette(len(data.classes))) + tiles(figures, wide=True)
    return Section("samples", "Predictions", html)


def _worst_section(data: ReportData) -> Section:
    html = note(
        "Image, annotation and prediction, lowest mean IoU of the image first. Wrong annotations "
        "often show up here."
    )
    figures = [_picture(one) for one in data.worst]
    return Section("worst", "Worst images", html + tiles(figures, wide=True))


def _picture(one: Picture) -> str:
    pictures = [
        image(one.image, one.name),
        image(one.truth, f"Annotation of {one.name}"),
        image(one.predicted, f"Prediction for {one.name}"),
    ]
    return figure(pictures, f"{short_name(one.name)}<br>mean IoU {format_percent(one.miou)}")


def _classes_section(data: ReportData) -> Section:
    iou, accuracy = (one.numpy() for one in class_metrics(torch.from_numpy(data.confusion)))
    order = np.argsort(np.nan_to_num(-iou, nan=1.0), kind="stable").tolist()
    html = note(
        "IoU: pixels that are of the class and predicted so, relative to those that are either. "
        "Accuracy: fraction of the pixels of the class that are predicted correctly."
    )

    def build(indices: Iterable[int]) -> str:
        rows = [_class_row(data, index, iou[index], accuracy[index]) for index in indices]
        head = ["class", "IoU", "", "accuracy", "validation pixels"]
        head += ["training pixels"] if data.train_pixels is not None else []
        return table(head, rows, numeric=[1, 3, 4, 5])

    return Section("classes", "Metrics per class", html + ranked_classes(order, build, "IoU"))


def _class_row(data: ReportData, index: int, iou: float, accuracy: float) -> list[str]:
    counts = data.confusion.sum(axis=1)
    row = [
        short_name(data.classes[index]),
        format_percent(iou),
        bar(np.nan_to_num(iou), np.nan_to_num(iou), np.nan_to_num(iou)),
        format_percent(accuracy),
        _fraction(counts[index], counts.sum()),
    ]
    if data.train_pixels is not None:
        row.append(_fraction(data.train_pixels[index], data.train_pixels.sum()))
    return row


def _confusion_section(data: ReportData) -> Section:
    """Return the map of confused pixels, and the largest confusions."""
    totals = data.confusion.sum(axis=1, keepdims=True)
    rates = data.confusion / np.maximum(totals, 1)
    np.fill_diagonal(rates, 0)
    largest = np.argsort(-rates, axis=None, kind="stable")[:MAX_CONFUSIONS]
    rows = []
    for truth, predicted in zip(*np.unravel_index(largest, rates.shape), strict=True):
        rate = rates[truth, predicted]
        if rate > 0:
            names = (short_name(data.classes[index]) for index in (truth, predicted))
            rows.append([*names, f"{rate:.1%}"])
    html = note("Rows are true classes, columns are predicted classes; the diagonal is correct.")
    if len(data.classes) <= MAX_TABLE_CLASSES:
        percent = np.round(100 * data.confusion / np.maximum(totals, 1))
        html += note("Cells are per cent of the pixels of the true class.")
        html += f'<div class="scroll">{confusion_table(percent, data.classes)}</div>'
    elif len(data.classes) <= MAX_MAP_CLASSES:
        html += note("The stronger the color, the larger the fraction of the row's pixels.")
        html += f'<div class="scroll">{confusion_map(data.confusion, data.classes)}</div>'
    else:
        html = note(f"A matrix is drawn for up to {MAX_MAP_CLASSES} classes.")
    head = ["true class", "predicted as", "of its pixels"]
    html += "<h3>Most frequent confusions</h3>" + table(head, rows, numeric=[2])
    return Section("confusion", "Confused pixels", html)


def _sizes_section(data: ReportData) -> Section:
    """Return how much of an image each class covers."""
    pixels = data.image_pixels.astype(float)
    parts = pixels / np.maximum(pixels.sum(axis=1, keepdims=True), 1)
    parts[pixels == 0] = np.nan
    numbers = (pixels > 0).sum(axis=0)
    known = np.flatnonzero(numbers)
    low, median, high = np.nanpercentile(parts[:, known], (10, 50, 90), axis=0)
    places = np.argsort(-median, kind="stable").tolist()

    def build(some: Iterable[int]) -> str:
        rows = [
            [
                short_name(data.classes[known[place]]),
                str(numbers[known[place]]),
                _fraction(median[place], 1),
                bar(median[place], low[place], high[place]),
                f"{_fraction(low[place], 1)} to {_fraction(high[place], 1)}",
            ]
            for place in some
        ]
        return table(["class", "images", "median", "", "10th to 90th percentile"], rows, [1, 2])

    html = note(
        "How much of a validation image a class covers, over the images in which it is annotated."
    )
    return Section("sizes", "Sizes of the classes", html + ranked_classes(places, build, "median"))


def _augmented_section(data: ReportData) -> Section:
    html = note("The original, then the crops of the first two epochs with their annotation.")
    html += picture_rows(data.augmented)
    return Section("augmented", "Training images after augmentation", html)


def _fraction(part: float, whole: float) -> str:
    return f"{part / max(whole, 1):.2%}"
