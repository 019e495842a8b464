"""Plot the latency of models on runtimes against the size of their files with matplotlib."""

from typing import Any

from spectralvision.report.text import pluralize
from spectralvision.report.throughput_plot import save_figure
from spectralvision.runs import UserError

MARKERS = "osD^vP*X<>"


def plot_latency(result: dict[str, Any], path: str) -> str:
    """Plot the time of a batch against the size of the file: a color a model, a marker a runtime.

    Args:
        result: What `spectralvision.export.benchmark.benchmark_runtimes` returns.
        path: File to write, .png, .svg or .pdf.

    Returns:
        `path`.

    Raises:
        UserError: No runtime with a file was timed, the plot cannot be written, or matplotlib does
            not know its format.
    """
    from matplotlib.figure import Figure

    # 1. A point for each model and runtime with a file
    rows = [row for row in result["rows"] if "milliseconds" in row and row["bytes"]]
    if not rows:
        raise UserError("--plot needs a model that was timed on a runtime other than eager.")
    models = list(dict.fromkeys(row["model"] for row in rows))
    runtimes = list(dict.fromkeys(row["runtime"] for row in rows))
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for row in rows:
        axes.plot(
            row["bytes"] / 2**20,
            row["milliseconds"],
            linestyle="",
            color=f"C{models.index(row['model']) % 10}",
            marker=MARKERS[runtimes.index(row["runtime"]) % len(MARKERS)],
        )

    # 2. Axes from zero, so that lengths can be compared, and both keys
    axes.set(xlabel="file (MiB)", ylabel="latency (ms)", xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    for index, name in enumerate(models):
        axes.plot([], [], linestyle="", marker="s", color=f"C{index % 10}", label=name)
    for index, name in enumerate(runtimes):
        marker = MARKERS[index % len(MARKERS)]
        axes.plot([], [], linestyle="", marker=marker, color="gray", label=name)
    figure.legend(loc="outside right upper", frameon=False)
    machine = result["machine"]
    threads = pluralize(machine["threads"], "thread")
    sizes = sorted({row["input_size"] for row in rows})
    axes.set_title(
        f"batch {machine['batch_size']}, {', '.join(map(str, sizes))} px, {threads}",
        fontsize="medium",
    )
    return save_figure(figure, path)
