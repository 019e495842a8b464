"""Write the tables of docs/guides/accuracy.md and draw docs/images/accuracy.png.

The source is benchmarks/results/accuracy.json.

python benchmarks/accuracy_page.py
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/accuracy.json"
PAGE, PICTURE = ROOT / "docs/guides/accuracy.md", ROOT / "docs/images/accuracy.png"
BEGIN, END = "<!-- benchmarks/accuracy_page.py -->\n", "<!-- end -->\n"
DATA = ("cifar10", "flowers12")


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


def _chosen(top1: float, chosen: bool) -> str:
    return f"**{top1:.2%}**" if chosen else f"{top1:.2%}"


def draw(rows: list[dict[str, Any]]) -> None:
    """Draw val top-1 after each epoch, one line per seed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, data in zip(figure.subplots(1, len(DATA)), DATA, strict=True):
        for number, row in enumerate(row for row in rows if row["data"] == data):
            for run in row["runs"]:
                label = row["model"] if run is row["runs"][0] else None
                epochs, scores = zip(
                    *((point["epoch"], point["val_top1"]) for point in run["curve"]), strict=True
                )
                axes.plot(epochs, scores, color=f"C{number}", label=label)
        axes.set(title=data, xlabel="epoch", ylabel="val top-1", ylim=(None, 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="lower right")
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    rows = json.loads(RESULTS.read_text())["rows"]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + tables(rows) + END + after)
    draw(rows)


if __name__ == "__main__":
    main()
