"""Build the report of a detection run: average precision, classes, sizes, and pictures."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spectralvision.data.splits import Data
from spectralvision.data.thresholds import MIN_VAL_IMAGES
from spectralvision.report import Card, Findings, Section
from spectralvision.report.page import (
    bar,
    columns,
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
from spectralvision.tasks.detection.data import ObjectCounts
from spectralvision.tasks.detection.draw import class_colors
from spectralvision.tasks.detection.image_errors import total_errors
from spectralvision.tasks.detection.precision_chart import precision_chart
from spectralvision.tasks.detection.report_data import (
    Picture,
    ReportData,
    collect_report_data,
)

SIZES = {"up to 16": 16, "16 to 32": 32, "32 to 64": 64, "64 to 96": 96, "96 to 192": 192,
         "192 to 384": 384, "more than 384": float("inf")}  # fmt: skip
"""Name -> largest root of the area of an object, in pixels."""
MAX_CHART_PIXELS = 420
KINDS = {"": "box", "mask_": "mask"}
METRIC_TITLES = {
    "map": "Box AP", "map_50": "Box AP50", "map_75": "Box AP75",
    "mask_map": "Mask AP", "mask_map_50": "Mask AP50", "mask_map_75": "Mask AP75",
    "min_score": "Lowest score shown", "classification": "Classification loss",
    "bbox_regression": "Box loss", "bbox_ctrness": "Centerness loss",
    "classifier": "Classification loss", "box_reg": "Box loss", "mask": "Mask loss",
    "objectness": "Proposal score loss", "rpn_box_reg": "Proposal box loss",
}  # fmt: skip


def build_findings(run: Path, data: Data) -> Findings:
    """Return what a report shows of a detection run."""
    return describe(collect_report_data(run, data))


def describe(data: ReportData) -> Findings:
    """Return the cards, caveats and sections."""
    counts = ", ".join(f"{format_count(number)} {split}" for split, number in data.images.items())
    timings = {}
    if data.images_per_second is not None:
        speed = format_rate(data.images_per_second)
        timings["evaluation, including start-up and reading"] = speed
    facts = {} if data.parameters is None else {"parameters": f"{data.parameters / 1e6:.2f} M"}
    sections = [
        _samples_section(data),
        _worst_section(data),
        _classes_section(data),
        _curves_section(data),
        _sizes_section(data),
        *([_augmented_section(data)] if data.augmented else []),
    ]
    return Findings(
        title=data.title,
        subtitle=f"{pluralize(len(data.classes), 'class')} · {counts} images",
        cards=cards(data),
        caveats=caveats(data),
        sections=sections,
        metric_titles=METRIC_TITLES,
        timings=timings,
        facts=facts,
    )


def cards(data: ReportData) -> list[Card]:
    """Return the metrics."""
    found = []
    for prefix, precision in data.precision.items():
        what = f"{KINDS[prefix]} AP: average precision over IoU thresholds of 0.5 to 0.95 and over "
        what += f"the classes, on {pluralize(len(data.errors), 'validation image')}"
        found.append(Card(format_percent(precision.values["map"]), what, main=not prefix))
        found.append(
            Card(format_percent(precision.values["map_50"]), f"{KINDS[prefix]} AP50: at 0.5")
        )
    total = total_errors(data.errors)
    objects, shown = total.found + total.missed, total.found + total.false
    above = f"with a score of at least {data.min_score:.0%}"
    found.append(
        Card(format_percent(total.recall),
             f"recall: {format_count(total.found)} of {format_count(objects)} objects are found "
             + above)
    )  # fmt: skip
    text = f"precision: {format_count(total.false)} of {format_count(shown)} detections {above} "
    text += "are false"
    return [*found, Card(format_percent(total.precision), text)]


def caveats(data: ReportData) -> list[str]:
    """Return sentences on when the metrics cannot be trusted."""
    found = []
    number = len(data.errors)
    if number < MIN_VAL_IMAGES:
        found.append(
            f"Only {pluralize(number, 'validation image')}: hold out at least {MIN_VAL_IMAGES}, "
            "preferably several hundred."
        )
    for split, what in (("val", "validation"), ("train", "training")):
        counts = data.counts[split].per_class
        missing = [data.classes[label] for label in np.flatnonzero(counts == 0).tolist()]
        if missing:
            found.append(
                f"{pluralize(len(missing), 'class')} without {what} objects: {join_names(missing)}."
            )
    return found


def _samples_section(data: ReportData) -> Section:
    html = note("Annotation and prediction, evenly spread over the validation images.")
    html += legend(data.classes, class_colors(len(data.classes)))
    html += tiles([_picture(one) for one in data.samples], wide=True)
    return Section("samples", "Predictions", html)


def _worst_section(data: ReportData) -> Section:
    if not data.worst:
        html = "<p>None: in every validation image all objects are found, and no others.</p>"
        return Section("worst", "Worst images", html)
    html = note(
        "Annotation and prediction, most missed and false objects first. Missing annotations often "
        "show up here."
    )
    html += tiles([_picture(one) for one in data.worst], wide=True)
    return Section("worst", "Worst images", html)


def _picture(one: Picture) -> str:
    pictures = [
        image(one.truth, f"Annotation of {one.name}"),
        image(one.predicted, f"Prediction for {one.name}"),
    ]
    found, missed, false = one.errors
    text = f"{found} found, {missed} missed, {false} false"
    return figure(pictures, f"{short_name(one.name)}<br>{text}")


def _classes_section(data: ReportData) -> Section:
    boxes = data.precision[""]
    known = [label for label in range(len(data.classes)) if label in boxes.curves]
    order = sorted(known, key=lambda label: (-(boxes.of_class(label)[0] or 0.0), label))
    html = note(
        "AP: area below the curve of precision over recall, averaged over IoU thresholds of 0.5 to "
        "0.95. AP50: at 0.5 only."
    )

    def build(labels: Iterable[int]) -> str:
        head = ["class"]
        for prefix in data.precision:
            head += [f"{KINDS[prefix]} AP", *([] if prefix else [""]), f"{KINDS[prefix]} AP50"]
        head += ["validation objects", "training objects"]
        rows = [_class_row(data, label) for label in labels]
        return table(head, rows, numeric=[1, *range(3, len(head))])

    return Section("classes", "Metrics per class", html + ranked_classes(order, build, "AP"))


def _class_row(data: ReportData, label: int) -> list[str]:
    row = [short_name(data.classes[label])]
    for prefix, precision in data.precision.items():
        ap, ap_50 = precision.of_class(label)
        value = ap or 0.0
        row += [
            format_percent(ap),
            *([] if prefix else [bar(value, value, value)]),
            format_percent(ap_50),
        ]
    return [*row, *(str(data.counts[split].per_class[label]) for split in ("val", "train"))]


def _curves_section(data: ReportData) -> Section:
    html = note(
        "Precision: fraction of the detections that are right. Recall: fraction of the objects "
        "that are found. Lower scores are further to the right; the mean over the classes."
    )
    charts = {}
    for prefix, precision in data.precision.items():
        curves = list(precision.curves.values())
        if not curves:
            continue
        mean = np.mean(curves, axis=0)
        lines = {"IoU 0.5": mean[0], "IoU 0.75": mean[5]}
        title = f"Precision and recall of {'masks' if prefix else 'boxes'}"
        chart = precision_chart(title, lines)
        charts[title] = f'<div style="max-width:{MAX_CHART_PIXELS}px">{chart}</div>'
    return Section("curves", "Precision and recall", html + columns(charts, "charts"))


def _sizes_section(data: ReportData) -> Section:
    values = data.precision[""].values
    names = ("small", "medium", "large")
    parts = [f"{name} {format_percent(values[f'map_{name}'])}" for name in names]
    html = note(
        f"Box AP by size: {', '.join(parts)} (small: area less than 32 x 32 pixels, large: more "
        "than 96 x 96). Below: the root of the area of the objects, in pixels of the images."
    )
    splits = {"train": "training objects", "val": "validation objects"}
    fractions = {split: size_fractions(data.counts[split]) for split in splits}
    rows = []
    for place, name in enumerate(SIZES):
        cells = [name]
        for split in splits:
            value = float(fractions[split][place])
            cells += [format_percent(value), bar(value, value, value)]
        rows.append(cells)
    head = ["size", splits["train"], "", splits["val"], ""]
    return Section("sizes", "Sizes of objects", html + table(head, rows, numeric=[1, 3]))


def _augmented_section(data: ReportData) -> Section:
    html = note("The original, then the first two epochs with the boxes that are trained on.")
    html += picture_rows(data.augmented)
    return Section("augmented", "Training images after augmentation", html)


def size_fractions(counts: ObjectCounts) -> np.ndarray:
    """Return the fraction of the objects in each of `SIZES`."""
    edges = [0.0, *SIZES.values()]
    found, _ = np.histogram(np.sqrt(counts.areas), bins=edges)
    fractions: np.ndarray = found / max(len(counts.areas), 1)
    return fractions
