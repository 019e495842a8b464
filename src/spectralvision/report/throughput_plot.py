"""Plot the throughput of models against the input size with matplotlib."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectralvision.report.text import pluralize
from spectralvision.runs import UserError, atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PRECISIONS = {"32": "float32", "bf16": "bfloat16"}


def plot_throughput(result: dict[str, Any], path: str) -> str:
    """Plot images per second against the input size, one line per model and form.

    Args:
        result: What `spectralvision.analysis.benchmark.benchmark_models` returns.
        path: File to write, .png, .svg or .pdf.

    Returns:
        `path`.

    Raises:
        UserError: The file cannot be written, or matplotlib does not know its format.
    """
    from matplotlib.figure import Figure

    # 1. Draw a line per model and form
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, points in _lines(result["rows"]).items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    _label_axes(axes, sorted({row["input_size"] for row in result["rows"]}))
    axes.set_title(_title(result["machine"]), fontsize="medium")

    # 2. Write the file
    return save_figure(figure, path)


def save_figure(figure: "Figure", path: str) -> str:
    """Write a figure of `--plot` to a file whose name ends in .png, .svg or .pdf; return its path.

    Raises:
        UserError: The file cannot be written, or matplotlib does not know its format.
    """
    kind = Path(path).suffix.lstrip(".") or "png"
    try:
        with atomic_write(Path(path)) as beside:
            figure.savefig(beside, format=kind, dpi=150)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"--plot {path} cannot be written ({reason}).") from None
    return path


def _lines(rows: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Return (input size, images per second) by model and form, without models that do not run."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if "error" not in row:
            point = (row["input_size"], row["images_per_second"])
            lines.setdefault(f"{row['model']}, {row['form']}", []).append(point)
    return {name: sorted(points) for name, points in lines.items()}


def _label_axes(axes: "Axes", sizes: list[int]) -> None:
    """Set logarithmic axes with a tick at each input size."""
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    axes.set(xscale="log", yscale="log", xlabel="input size (pixels)", ylabel="images per second")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def _title(machine: dict[str, Any]) -> str:
    work = "training step" if machine["train"] else "inference"
    precision = PRECISIONS.get(machine["precision"], machine["precision"])
    threads = pluralize(machine["threads"], "thread")
    return f"{work}, batch {machine['batch_size']}, {precision}, {machine['device']}, {threads}"
