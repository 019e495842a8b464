"""The report as HTML: a pure function of numbers and pictures. Whatever comes from data is escaped; no script, no
address outside the page."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np

from spectralvision.analysis.drawing import confusion_map, escape, line_chart, shortened
from spectralvision.analysis.statistics import Judgement, doubts, wilson

TABLED = 20  # classes up to which the confusion matrix is a table of numbers
SHOWN = 10  # best and worst classes, frequent confusions


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a report is made of. N validation images, K classes."""

    title: str
    classes: Sequence[str]
    probabilities: np.ndarray
    """(N, K)."""
    labels: np.ndarray
    """(N,)."""
    names: Sequence[str]
    """What each of the N images is called."""
    train_counts: np.ndarray | None = None
    """(K,) training images of each class."""
    epochs: Sequence[Mapping[str, Any]] = ()
    """Rows of `metrics.csv`."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """`run.json`."""
    next_command: str = ""
    """What judges the run on images that had no part in it."""
    mistakes: Mapping[int, str] = field(default_factory=dict)
    """Pictures of the worst mistakes: image -> data: address."""
    samples: Sequence[tuple[str, Sequence[str]]] = ()
    """Training images: (caption, data: addresses of the image as it is and after augmentation)."""
    timings: Mapping[str, str] = field(default_factory=dict)


def page(findings: Findings) -> str:
    """The whole document."""
    judged = Judgement(findings.probabilities, findings.labels)
    body = [
        _head(findings, judged),
        _trust(findings, judged),
        _curves(findings.epochs),
        _confusions(findings.classes, judged),
        _classes(findings, judged),
        _mistakes(findings, judged),
        _samples(findings),
        _facts(findings),
    ]
    style = files("spectralvision.analysis").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(findings.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def _head(findings: Findings, judged: Judgement) -> str:
    low, high = wilson(judged.right, judged.total)
    results = findings.record.get("results", {})
    cards = [
        (f"{judged.guessing:.1%}", "right by always naming the most frequent class"),
        (f"{np.nanmean(judged.recall):.1%}", "mean over the classes, each counting the same"),
        (f"{judged.certainty:.1%}", "mean probability the network gives its answers"),
    ]
    if judged.top5 is not None:
        cards.append((f"{judged.top5:.1%}", "top-5: truth among the five most probable"))
    if "best_epoch" in results:
        cards.append((f"{results['best_epoch']} of {len(findings.epochs)}", "epoch whose weights were kept"))
    if "seconds" in results:
        cards.append((_duration(float(results["seconds"])), "for the whole run"))
    return (
        f'<header><h1>{escape(findings.title)}</h1><p class="soft">{escape(_counted(findings, judged))} · '
        f'written {time.strftime("%Y-%m-%d %H:%M")}</p></header>\n<div class="cards"><div class="card main">'
        f"<b>{judged.accuracy:.1%}</b><span>accuracy on the validation images: {judged.right} of {judged.total} right; "
        f"95 % interval {low:.1%} to {high:.1%}</span></div>"
        + "".join(f'<div class="card"><b>{escape(value)}</b><span>{text}</span></div>' for value, text in cards)
        + "</div>"
    )


def _counted(findings: Findings, judged: Judgement) -> str:
    images = findings.record.get("data", {}).get("images", {"val": judged.total})
    counts = ", ".join(f"{number} {split}" for split, number in images.items())
    return f"{len(findings.classes)} classes · {counts} images"


def _trust(findings: Findings, judged: Judgement) -> str:
    status = findings.record.get("status", "finished")
    found = doubts(judged, findings.classes, findings.train_counts, findings.epochs, status)
    box = "<p>Nothing speaks against the numbers on this page.</p>"
    if found:
        box = f'<ul class="doubts">{"".join(f"<li>{escape(text)}</li>" for text in found)}</ul>'
    command = f" Judge it on images that had no part in the run: <code>{escape(findings.next_command)}</code>"
    return (
        f'<section id="trust"><h2>How far to trust these numbers</h2>\n{box}\n<p>All figures are of the validation '
        "images. They were not trained on, but the epoch was chosen by them, so the accuracy is a little optimistic."
        f"{command if findings.next_command else ''}</p></section>"
    )


def _curves(epochs: Sequence[Mapping[str, Any]]) -> str:
    if not epochs:
        return ""

    def points(column: str) -> list[tuple[float, float]]:
        return [(float(row["epoch"]), float(row[column])) for row in epochs if row.get(column) not in (None, "")]

    best = min(epochs, key=lambda row: (-float(row["val_top1"]), float(row["val_loss"])))
    mark = float(best["epoch"])
    charts = [
        ("Loss", line_chart("Loss", {"training": points("train_loss"), "validation": points("val_loss")}, mark)),
        ("Accuracy", line_chart(
            "Accuracy", {"training": points("train_top1"), "validation": points("val_top1")}, mark, percent=True
        )),
    ]  # fmt: skip
    figures = "".join(f"<div><h3>{title}</h3>{chart}</div>" for title, chart in charts)
    return (
        f'<section id="curves"><h2>Training</h2><div class="pair">{figures}</div><p class="soft">Dotted: the '
        "epoch that was kept. Training figures are of augmented images during the epoch, so they may lie below "
        "those of validation.</p></section>"
    )


def _confusions(classes: Sequence[str], judged: Judgement) -> str:
    small = len(classes) <= TABLED
    matrix = _matrix(classes, judged.confusion) if small else confusion_map(judged.confusion, classes)
    how = "Numbers are images." if small else "The darker, the larger the share of the row; white is none."
    pairs = judged.confusions(SHOWN)
    rows = [
        [_name(classes[truth]), _name(classes[said]), f"{number} of {judged.counts[truth]}"]
        for truth, said, number in pairs
    ]
    frequent = ""
    if pairs and len(classes) > 2:
        frequent = "<h3>Most frequent confusions</h3>" + _table(["true", "taken for", "images"], rows, {2})
    return (
        '<section id="confusion"><h2>What is taken for what</h2><p class="soft">Rows are true classes, columns the '
        f'answers; the diagonal is right. {how}</p>\n<div class="scroll">{matrix}</div>\n{frequent}</section>'
    )


def _matrix(classes: Sequence[str], confusion: np.ndarray) -> str:
    """Up to `TABLED` classes: a table of numbers, right ones on green, wrong ones on red."""
    head = "".join(f'<th scope="col" title="{escape(name)}"><span>{escape(_cut(name))}</span></th>' for name in classes)
    rows = []
    for truth, counts in enumerate(confusion):
        cells = []
        for said, number in enumerate(counts):
            share = number / max(counts.sum(), 1)
            colour = "good" if truth == said else "bad"
            style = f"background:color-mix(in srgb,var(--{colour}) {15 + 60 * math.sqrt(share):.0f}%,var(--card))"
            cells.append(f'<td style="{style}">{number}</td>' if number else '<td class="none">·</td>')
        name = classes[truth]
        rows.append(f'<tr><th scope="row" title="{escape(name)}">{escape(_cut(name))}</th>{"".join(cells)}</tr>')
    kind = "matrix flat" if max(map(len, classes)) <= 3 else "matrix"
    return (
        f'<table class="{kind}"><thead><tr><th class="soft">true ↓ said →</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _classes(findings: Findings, judged: Judgement) -> str:
    order = judged.ranked()
    intro = (
        '<section id="classes"><h2>Best and worst classes</h2><p class="soft">Found: of the images of a class, the '
        "share recognised, with its 95 % interval (thin line). Right when named: of the answers naming it, the share "
        "that is right.</p>\n"
    )
    if len(order) <= 2 * SHOWN:
        return intro + _class_table(findings, judged, order) + "</section>"
    return (
        f"{intro}<h3>Worst</h3>{_class_table(findings, judged, order[::-1][:SHOWN])}\n"
        f"<h3>Best</h3>{_class_table(findings, judged, order[:SHOWN])}\n<details><summary>All {len(order)} classes, "
        f"best first</summary>{_class_table(findings, judged, order)}</details></section>"
    )


def _class_table(findings: Findings, judged: Judgement, order: Iterable[int]) -> str:
    rows = []
    for label in order:
        right, total = int(judged.confusion[label, label]), int(judged.counts[label])
        low, high = wilson(right, total)
        bar = (
            f'<span class="bar"><i style="width:{100 * right / total:.1f}%"></i>'
            f'<u style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></u></span>'
        )
        precision = judged.precision[label]
        named = "never named" if math.isnan(precision) else f"{precision:.0%}"
        trained = [] if findings.train_counts is None else [str(findings.train_counts[label])]
        rows.append(
            [
                _name(findings.classes[label]),
                f"{right / total:.0%}",
                bar,
                f"{low:.0%} to {high:.0%}",
                f"{right} of {total}",
                named,
                *trained,
            ]
        )
    head = ["class", "found", "", "95 %", "images", "right when named"]
    return _table([*head, *([] if findings.train_counts is None else ["trained on"])], rows, {1, 3, 4, 5, 6})


def _mistakes(findings: Findings, judged: Judgement) -> str:
    if judged.right == judged.total:
        return '<section id="mistakes"><h2>Worst mistakes</h2><p>None: every validation image was right.</p></section>'
    if not findings.mistakes:
        return ""
    tiles = []
    for index, uri in findings.mistakes.items():
        truth, said = int(findings.labels[index]), int(judged.predicted[index])
        chances = findings.probabilities[index]
        tiles.append(
            f'<figure>{_image(uri, findings.names[index])}<figcaption>said <b class="bad">'
            f"{escape(_cut(findings.classes[said]))}</b> {chances[said]:.0%}<br>is <b>"
            f"{escape(_cut(findings.classes[truth]))}</b> {chances[truth]:.0%}<br>"
            f'<span title="{escape(findings.names[index])}">{escape(shortened(findings.names[index], 40))}</span>'
            "</figcaption></figure>"
        )
    number = judged.total - judged.right
    return (
        f'<section id="mistakes"><h2>Worst mistakes</h2><p class="soft">{len(tiles)} of {number} wrong answers, those '
        "that gave the truth the least probability first. A wrong label in the data often shows here.</p>"
        f'<div class="tiles">{"".join(tiles)}</div></section>'
    )


def _samples(findings: Findings) -> str:
    if not findings.samples:
        return ""
    tiles = [
        f'<figure><div class="trio">{"".join(_image(uri, caption) for uri in uris)}</div>'
        f"<figcaption>{escape(shortened(caption, 60))}</figcaption></figure>"
        for caption, uris in findings.samples
    ]
    fields = findings.record.get("recipe", {}).get("optimisation", {})
    mixed = (
        " Mixup or cutmix, which blend two images, come on top." if fields.get("mixup") or fields.get("cutmix") else ""
    )
    return (
        '<section id="samples"><h2>Training images after augmentation</h2><p class="soft">Left as it is, then as the '
        "network saw it in the first two epochs. If you can no longer tell what it is, the augmentation is too strong."
        f'{mixed}</p><div class="tiles wide">{"".join(tiles)}</div></section>'
    )


def _facts(findings: Findings) -> str:
    record = findings.record
    tables = {
        "Timings": findings.timings,
        "Data": _flat({k: v for k, v in record.get("data", {}).items() if k != "classes"}),
        "Settings": _flat(record.get("recipe", {})),
        "Computed on": _flat(record.get("engine", {})),
        "Versions": _flat(record.get("versions", {})),
    }
    parts = []
    for title, values in tables.items():
        rows = [[escape(key), escape(value)] for key, value in values.items()]
        parts += [f"<div><h3>{title}</h3>{_table([], rows, set())}</div>"] if rows else []
    if not parts:
        return ""
    return f'<section id="facts"><h2>Settings, versions, timings</h2><div class="pair">{"".join(parts)}</div></section>'


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested fields as `outer.inner`."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if key == "fingerprint":  # means nothing to a reader
            continue
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = "none" if value is None else shortened(str(value), 300)
    return flat


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: set[int]) -> str:
    """Cells are HTML already; `numeric` columns are aligned to the right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = ["n" if at in numeric else "long" for at in range(len(row))]
        return "".join(f'<{tag} class="{kind}">{cell}</{tag}>' for kind, cell in zip(kinds, row, strict=True))

    top = f"<thead><tr>{cells('th', head)}</tr></thead>" if head else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def _image(uri: str, name: str) -> str:
    tiny = ' class="tiny"' if uri.startswith("data:image/png") else ""
    return f'<img{tiny} src="{escape(uri)}" alt="{escape(name)}">'


def _name(name: str) -> str:
    return f'<span title="{escape(name)}">{escape(shortened(name, 40))}</span>'


def _cut(name: str) -> str:
    return shortened(name, 24)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
