"""Write the tables of docs/guides/accuracy.md and draw its pictures.

The sources in benchmarks/results are accuracy.json, teacher.json, tiny_imagenet.json,
transfer.json, token_labels.json and cifar10_distilled.json; the last two may be missing.

python benchmarks/accuracy_page.py
"""

import json
from pathlib import Path
from statistics import mean
from typing import Any

from pages import insert

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks/results"
RESULTS = FOLDER / "accuracy.json"
TEACHER, TINY_IMAGENET = FOLDER / "teacher.json", FOLDER / "tiny_imagenet.json"
TRANSFER = FOLDER / "transfer.json"
TOKEN_LABELS, DISTILLED = FOLDER / "token_labels.json", FOLDER / "cifar10_distilled.json"
PAGE, PICTURE = ROOT / "docs/guides/accuracy.md", ROOT / "docs/images/accuracy.png"
TRANSFER_PICTURE = ROOT / "docs/images/transfer.png"
TEACHING_PICTURE = ROOT / "docs/images/teaching.png"
BEGIN, END = "<!-- benchmarks/accuracy_page.py -->\n", "<!-- end -->\n"
DATA = ("cifar10", "flowers12")
WAYS = {
    "maps": "soft distillation from the teacher's map, cut to each view",
    "pooled": "soft distillation from one answer an image",
    "labels": "labels alone",
    "larger": "the same teacher, from the weights of the first row of affnet_et",
}
"""Of training affnet_et on Tiny ImageNet."""
STARTS = {
    "scratch": "from scratch",
    "cifar10": "affnet_et.cifar10",
    "tiny_imagenet": "affnet_et.tiny_imagenet",
}
SETS = {
    "flowers12": "flowers12",
    "cifar10-tenth": "CIFAR-10, a tenth of the training images",
    "cifar10": "CIFAR-10",
    "emoji": "emoji in nine categories",
}
DISTILLED_ROWS = {
    "teacher": "EfficientNet-Lite2 (the teacher), fine-tuned",
    "scratch": "affnet_et, from scratch",
    "tiny_imagenet": "affnet_et, from affnet_et.tiny_imagenet",
    "larger": "affnet_et, trained on with larger images",
}
TOKEN_WAYS = {"labels": "labels alone", "tokens": "token labels of the teacher"}


def tables(rows: list[dict[str, Any]]) -> str:
    """Return Markdown: the results on each data set, and how the learning rates were chosen."""
    text = ""
    for data in DATA:
        head = "| model | epochs | test top-1 | spread | each seed | minutes per run |"
        text += f"**{data}**\n\n{head}\n"
        text += "|---|---:|---:|---:|---|---:|\n"
        for row in (row for row in rows if row["data"] == data):
            each = ", ".join(f"{run['test_top1']:.2%}" for run in row["runs"])
            minutes = ", ".join(f"{run['minutes']:.0f}" for run in row["runs"])
            mean, spread = f"{row['test_top1']:.2%}", f"{100 * row['spread']:.2f} points"
            text += (
                f"| {row['model']} | {row['epochs']} | {mean} | {spread} | {each} | {minutes} |\n"
            )
        text += "\n"
    searched = [row for row in rows if "search" in row]
    rates = list(searched[0]["search"])
    text += "**Learning rates tried on cifar10, val top-1 after one epoch**\n\n"
    text += f"| model | {' | '.join(f'{float(rate):g}' for rate in rates)} |\n"
    text += f"|---|{'---:|' * len(rates)}\n"
    for row in searched:
        cells = [
            _chosen(row["search"][rate], float(rate) == row["learning_rate"]) for rate in rates
        ]
        text += f"| {row['model']} | {' | '.join(cells)} |\n"
    return text


def page_text() -> str:
    """Return what the page has between its marks."""
    rows = json.loads(RESULTS.read_text())["rows"]
    parts = [tables(rows), tiny_imagenet_tables(), transfer_tables()]
    return "\n".join([*parts, *token_label_tables(), *distilled_tables()])


def token_label_tables() -> list[str]:
    """Return Markdown, if there are results: a narrow SVT with and without token labels."""
    if not TOKEN_LABELS.is_file():
        return []
    results = json.loads(TOKEN_LABELS.read_text())
    epochs = results["fields"]["epochs"]
    text = f"**Token labels: a narrow svt_h_s on Tiny ImageNet, {epochs} epochs at 64 pixels**\n\n"
    text += "| trained with | val top-1 | spread | each seed | minutes per run |\n"
    text += "|---|---:|---:|---|---:|\n"
    for way, words in TOKEN_WAYS.items():
        runs = _of_way(results, way)
        scores = [run["val_top1"] for run in runs]
        each = ", ".join(f"{score:.2%}" for score in scores)
        minutes = ", ".join(f"{run['minutes']:.0f}" for run in runs)
        spread = f"{100 * (max(scores) - min(scores)):.2f} points" if len(scores) > 1 else "-"
        text += f"| {words} | {mean(scores):.2%} | {spread} | {each} | {minutes} |\n"
    return [text]


def _of_way(results: dict[str, Any], way: str) -> list[dict[str, Any]]:
    return [run for name, run in results["runs"].items() if name.partition("-")[0] == way]


def distilled_tables() -> list[str]:
    """Return Markdown, if there are results: affnet_et on CIFAR-10 with a teacher's help."""
    if not DISTILLED.is_file():
        return []
    results = json.loads(DISTILLED.read_text())
    rows = {"teacher": results["teacher"], **results["students"]}
    text = "**CIFAR-10 with the help of a teacher that was trained on ImageNet**\n\n"
    text += "| model | epochs | input | val top-1 | test top-1 | minutes |\n"
    text += "|---|---:|---:|---:|---:|---:|\n"
    for name, one in rows.items():
        fields = results["fields"][name if name in ("teacher", "larger") else "student"]
        text += (
            f"| {DISTILLED_ROWS[name]} | {len(one['curve'])} | {fields['input-size']} | "
            f"{one['val_top1']:.2%} | {one['test_top1']:.2%} | {one['minutes']:.0f} |\n"
        )
    return [text]


def transfer_tables() -> str:
    """Return Markdown: what the starts are worth on other images, and settings for fine-tuning."""
    results = json.loads(TRANSFER.read_text())
    text = "**What the weights are worth on other images**\n\n"
    text += "| images | input | epochs | start | test top-1 | spread | each seed |\n"
    text += "|---|---:|---:|---|---:|---:|---|\n"
    for data, starts in results["starts"].items():
        side, epochs = results["sets"][data]["input-size"], results["sets"][data]["epochs"]
        for start, one in starts.items():
            each = ", ".join(f"{run['test_top1']:.2%}" for run in one["runs"])
            text += (
                f"| {SETS[data]} | {side} | {epochs} | {STARTS[start]} | {one['test_top1']:.2%} | "
                f"{100 * one['spread']:.2f} points | {each} |\n"
            )
    text += "\n**Settings for fine-tuning on flowers12, best val top-1 in 15 epochs**\n\n"
    text += "| weights | learning rate | layer decay | val top-1 |\n|---|---:|---:|---:|\n"
    for name, grid in results["settings"].items():
        for run in grid["runs"]:
            decay = "none" if run["layer_decay"] == 1 else f"{run['layer_decay']:g}"
            text += f"| {name} | {run['lr']:g} | {decay} | {run['val_top1']:.1%} |\n"
    return text


def tiny_imagenet_tables() -> str:
    """Return Markdown: the teacher, and the students that finished."""
    teacher, students = (json.loads(path.read_text()) for path in (TEACHER, TINY_IMAGENET))
    tuned = teacher["finetuned"]
    epochs, side = tuned["fields"]["epochs"], tuned["fields"]["input-size"]
    text = "**Tiny ImageNet**\n\n"
    text += "| model | trained with | epochs | input | seed | val top-1 | minutes | cores |\n"
    text += "|---|---|---:|---:|---:|---:|---:|---:|\n"
    for name, one in teacher.get("untrained", {}).items():
        text += (
            f"| EfficientNet-{name.capitalize()} | ImageNet only | 0 | {one['input_size']} | - | "
            f"{one['val_top1']:.2%} | - | - |\n"
        )
    text += (
        f"| EfficientNet-Lite2 (the teacher) | fine-tuning | {epochs} | {side} | {tuned['seed']} | "
        f"{tuned['val_top1']:.2%} | {tuned['minutes']:.0f} | {tuned['provenance']['threads']} |\n"
    )
    for name, run in students["runs"].items():
        way = name.partition("-")[0]
        fields = students["fields"] | (students["larger"] if way == "larger" else {})
        epochs, side = fields["epochs"], fields["input-size"]
        text += (
            f"| affnet_et | {WAYS[way]} | {epochs} | {side} | {run['seed']} | "
            f"{run['val_top1']:.2%} | {run['minutes']:.0f} | {run['provenance']['threads']} |\n"
        )
    return text


def _chosen(top1: float, chosen: bool) -> str:
    return f"**{top1:.2%}**" if chosen else f"{top1:.2%}"


def draw(rows: list[dict[str, Any]]) -> None:
    """Draw val top-1 after each epoch, one line per seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    *panels, last = figure.subplots(1, len(DATA) + 1)
    students = json.loads(TINY_IMAGENET.read_text())
    for name, run in students["runs"].items():
        way = name.partition("-")[0]
        before, label = 0, f"affnet_et, {way}"
        if way == "larger":
            before = students["fields"]["epochs"]
            label = f"affnet_et, then {students['larger']['input-size']} px"
        epochs, scores = zip(
            *((before + one["epoch"], one["val_top1"]) for one in run["curve"]), strict=True
        )
        last.plot(epochs, scores, label=label)
    for axes, data in zip(panels, DATA, strict=True):
        for number, row in enumerate(row for row in rows if row["data"] == data):
            for run in row["runs"]:
                label = row["model"] if run is row["runs"][0] else None
                _plot(axes, run, f"C{number}", label)
        _finish(axes, data)
    _finish(last, "Tiny ImageNet")
    figure.savefig(PICTURE, dpi=110)


def draw_transfer() -> None:
    """Draw val top-1 after each epoch on each set, one line per seed."""
    from matplotlib.figure import Figure

    starts = json.loads(TRANSFER.read_text())["starts"]
    figure = Figure(figsize=(5 * len(starts) + 0.5, 4), layout="constrained")
    panels = figure.subplots(1, len(starts), squeeze=False)[0]
    for axes, (data, ways) in zip(panels, starts.items(), strict=True):
        for start, one in ways.items():
            color = f"C{list(STARTS).index(start)}"
            for run in one["runs"]:
                _plot(axes, run, color, STARTS[start] if run is one["runs"][0] else None)
        _finish(axes, SETS[data])
    figure.savefig(TRANSFER_PICTURE, dpi=110)


def draw_teaching() -> None:
    """Draw val top-1 after each epoch, with and without token labels, and on CIFAR-10."""
    from matplotlib.figure import Figure

    distilled = json.loads(DISTILLED.read_text()) if DISTILLED.is_file() else {"students": {}}
    students = distilled["students"]
    figure = Figure(figsize=(10 if students else 5.5, 4), layout="constrained")
    panels = figure.subplots(1, 1 + bool(students), squeeze=False)[0]
    results = json.loads(TOKEN_LABELS.read_text())
    for number, (way, words) in enumerate(TOKEN_WAYS.items()):
        for index, run in enumerate(_of_way(results, way)):
            _plot(panels[0], run, f"C{number}", None if index else words)
    _finish(panels[0], "narrow svt_h_s on Tiny ImageNet")
    if students:
        for number, (name, run) in enumerate(students.items()):
            before = len(students["tiny_imagenet"]["curve"]) if name == "larger" else 0
            _plot(panels[1], run, f"C{number}", DISTILLED_ROWS[name], before)
        top1 = distilled["teacher"]["val_top1"]
        panels[1].axhline(top1, color="gray", ls=":", label="the teacher")
        _finish(panels[1], "CIFAR-10 with a teacher")
    figure.savefig(TEACHING_PICTURE, dpi=110)


def _plot(
    axes: Any, run: dict[str, Any], color: str, label: str | None, epochs_before: int = 0
) -> None:
    points = [(epochs_before + point["epoch"], point["val_top1"]) for point in run["curve"]]
    axes.plot(*zip(*points, strict=True), color=color, label=label)


def _finish(axes: Any, title: str) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axes.set(title=title, xlabel="epoch", ylabel="val top-1")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")


def main() -> None:
    rows = json.loads(RESULTS.read_text())["rows"]
    insert(PAGE, BEGIN, END, page_text())
    draw(rows)
    draw_transfer()
    if TOKEN_LABELS.is_file():
        draw_teaching()


if __name__ == "__main__":
    main()
