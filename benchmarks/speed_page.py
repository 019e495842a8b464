"""Write the speeds into docs/guides/speed.md and README.md, and plot docs/images/results.png.

Command: `python benchmarks/speed_page.py`

All of it comes from benchmarks/results/side_by_side.json; the left panel of the picture comes from
accuracy.json.
"""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pages import insert

ROOT = Path(__file__).parents[1]
SPEED = ROOT / "benchmarks/results/side_by_side.json"
ACCURACY = ROOT / "benchmarks/results/accuracy.json"
PAGE = ROOT / "docs/guides/speed.md"
README = ROOT / "README.md"
PICTURE = ROOT / "docs/images/results.png"
BEGIN, END = "<!-- benchmarks/speed_page.py -->\n", "<!-- end of speed -->\n"
SECTIONS = ("affnet", "svt", "families", "peers", "mixers", "wavelets")
HEAD = (
    "| work | compared with | theirs | ours, fastest form | ratio | target |\n"
    "|---|---|---:|---|---:|---:|\n"
)
OUR_PREFIXES = ("ours", "svt_h_s", "affnet at")
REFERENCES = ("released", "pytorch_wavelets")
"""Implementations that compute the same as ours."""


class Comparison(NamedTuple):
    """Our fastest form of some work against one of theirs."""

    work: str
    theirs: str
    their_milliseconds: float
    ours: str
    our_milliseconds: float
    ratio: float
    """Above 1: ours is faster."""
    target: float


def read_comparisons() -> list[Comparison]:
    """Return all comparisons of side_by_side.json."""
    content = json.loads(SPEED.read_text())
    return [one for section in SECTIONS for row in content[section] for one in _compare(row)]


def _compare(row: dict[str, Any]) -> Iterator[Comparison]:
    # 1. Our fastest form
    forms = row["forms"]
    milliseconds = {name: form["milliseconds"] for name, form in forms.items()}
    mine = [name for name in forms if name.startswith(OUR_PREFIXES)]
    best = min(mine, key=lambda name: milliseconds[name])
    form = best.rpartition(", ")[2]

    # 2. The ratio against each of theirs; rows of rates have a factor that is not 1
    first = next(iter(forms))
    factor = forms[best]["ratio"] * milliseconds[best] / milliseconds[first]
    targets = row["target"]
    for name in forms:
        if name not in mine:
            ratio = factor * milliseconds[name] / milliseconds[best]
            target = targets.get(name.rpartition(", ")[2], targets.get("time", targets.get("rate")))
            yield Comparison(
                row["work"], name, milliseconds[name], form, milliseconds[best], ratio, target
            )


def table() -> str:
    """Return the Markdown table of the page."""
    lines = [
        f"| {one.work} | {one.theirs} | {one.their_milliseconds:.1f} ms | "
        f"{one.our_milliseconds:.1f} ms, {one.ours} | {one.ratio:.2f} | {one.target:g} |\n"
        for one in read_comparisons()
    ]
    return HEAD + "".join(lines)


def sentence() -> str:
    """Return what README.md says about speed."""
    comparisons = read_comparisons()
    released, wavelets = (
        [one.ratio for one in comparisons if one.theirs.startswith(reference)]
        for reference in REFERENCES
    )
    text = (
        f"- **Fast and deployable.** {min(released):.1f} to {max(released):.1f} times the speed of "
        f"the authors' code and {min(wavelets):.1f} to {max(wavelets):.1f} times that of "
        "pytorch_wavelets on two CPU cores, with equal results "
        "([all comparisons](docs/guides/speed.md), with the targets that were missed). A form "
        "without complex tensors compiles without graph breaks and is exported for phones, "
        "browsers and servers; each file is run and compared with PyTorch (Core ML's on macOS "
        "only; [deploy a model](docs/guides/export.md))."
    )
    return "\n".join(textwrap.wrap(text, 100, subsequent_indent="  ")) + "\n"


def picture_source() -> str:
    """Return the numbers that the picture shows; the file records them."""
    rows = json.loads(ACCURACY.read_text())["rows"]
    curves = [
        [row["model"], [point["val_top1"] for point in run["curve"]]]
        for row in rows
        if row["data"] == "cifar10"
        for run in row["runs"]
    ]
    bars = [
        [one.work, one.ratio]
        for one in read_comparisons()
        if one.theirs.startswith(REFERENCES) and not one.theirs.endswith("compiled")
    ]
    return json.dumps({"curves": curves, "bars": bars})


def draw() -> None:
    """Plot the accuracy on CIFAR-10 and the speed against reference code, side by side."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    source = picture_source()
    numbers = json.loads(source)
    figure = Figure(figsize=(11, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])

    # 1. Accuracy
    colors = {"affnet_et": "#1f5fbf", "mobilevit_xxs": "#9aa3ad"}
    labels: set[str] = set()
    for model, curve in numbers["curves"]:
        label = None if model in labels else model
        labels.add(model)
        epochs = range(1, len(curve) + 1)
        left.plot(epochs, curve, color=colors[model], linewidth=2, label=label)
    left.set_title("CIFAR-10 from scratch, validation top-1", fontsize=11)
    left.set_xlabel("epoch")
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    left.legend(frameon=False, loc="lower right")

    # 2. Speed
    works = [_shorten(work) for work, _ in numbers["bars"]]
    ratios = [ratio for _, ratio in numbers["bars"]]
    bars = right.barh(works, ratios, color="#1f5fbf", height=0.65)
    right.bar_label(bars, fmt="%.1fx", padding=3, fontsize=9)
    right.axvline(1, color="black", linewidth=1)
    right.invert_yaxis()
    right.set_xlim(0, 1.12 * max(ratios))
    right.tick_params("y", labelsize=8.5, length=0)
    right.set_title("Speed relative to reference code, on two CPU cores", fontsize=11)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, axis="both" if axes is left else "x")
        axes.set_axisbelow(True)
    figure.savefig(PICTURE, dpi=110, metadata={"Source": source})


def _shorten(work: str) -> str:
    """Return the name of some work for the picture."""
    names = {
        "AdaptiveFrequencyFilter": "AFF mixer",
        "ScatteringMixer channel": "scattering mixer",
        "dtcwt2d and idtcwt2d": "DTCWT and inverse",
        "forward and backward": "with gradient",
        "training step": "training",
        "with backward": "with gradient",
        ", batch 8 at 256": "",
        ", batch 8 at 224": "",
    }
    for long, short in names.items():
        work = work.replace(long, short)
    return work


def main() -> None:
    insert(PAGE, BEGIN, END, table())
    insert(README, BEGIN, END, sentence())
    draw()


if __name__ == "__main__":
    main()
