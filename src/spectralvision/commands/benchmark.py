"""`spectralvision benchmark`."""

import functools
from typing import Any, ClassVar

from spectralvision.commands import Command, print_line, print_table
from spectralvision.runs import (
    MAX_COUNT,
    MAX_SIDE,
    UserError,
    check_ranges,
    format_bytes,
    format_rate,
    require_extra,
)
from spectralvision_cli.options.benchmark import BenchmarkOptions

HEAD = [
    "model", "form", "input", "images/s", "quartiles", "GMACs", "GMACs/s", "peak memory",
    "relative speed",
]  # fmt: skip


class Benchmark(Command[BenchmarkOptions]):
    """Compare the speed of models."""

    verb: ClassVar[str] = "benchmark"
    kind = BenchmarkOptions

    def run(self) -> dict[str, Any]:
        """Return a row for each model, form and size."""
        self._check()
        from spectralvision.analysis.benchmark import BenchmarkConfig, benchmark_models
        from spectralvision.engine.devices import choose_device
        from spectralvision.engine.model_io import default_size, find_model
        from spectralvision.report.throughput_plot import plot_throughput

        options = self.options
        for name in options.models:
            find_model(name)
        models = [(name, functools.partial(_build_model, name)) for name in options.models]
        config = BenchmarkConfig(
            batch_size=options.batch_size,
            train=options.train,
            memory_format=options.memory_format,
            device=choose_device(options.device).accelerator,
            precision=options.precision,
            threads=options.threads,
            rounds=options.rounds,
        )
        sizes = options.input_size or (default_size(options.models[0]),)
        result = benchmark_models(models, options.form, sizes, config)
        if options.plot:
            result["plot"] = plot_throughput(result, options.plot)
        return result

    def _check(self) -> None:
        """Raise `UserError` for options that do not work."""
        options = self.options
        check_ranges(
            vars(options),
            {"batch_size": (1, MAX_COUNT), "rounds": (1, MAX_COUNT), "threads": (1, 1024)},
        )
        for size in options.input_size:
            check_ranges({"input_size": size}, {"input_size": (1, MAX_SIDE)})
        if options.train and any("fused" in form for form in options.form):
            raise UserError(
                "--train works with --form eager and compiled: fused models are for inference."
            )
        require_extra("train", "lightning", *(["matplotlib"] if options.plot else []))

    def show(self, result: dict[str, Any]) -> None:
        """Print a table; its last column compares with the first row of the same input size."""
        from spectralvision.report.text import pluralize

        options, machine = self.options, result["machine"]
        print_table([HEAD, *map(_row, result["rows"])])
        threads = pluralize(machine["threads"], "thread")
        work = "training steps" if options.train else "inference"
        print(
            f"{work}, batch size {options.batch_size}, {options.precision}, "
            f"{options.memory_format}; {machine['device']}, {threads}, "
            f"torch {machine['torch']}; median of {options.rounds} interleaved rounds"
        )
        if "plot" in result:
            print_line(f"plot     {result['plot']}")

    def conclude(self, result: dict[str, Any]) -> int:
        """Return 1 if a model could not run."""
        return int(any("error" in row for row in result["rows"]))


def _build_model(name: str, size: int) -> Any:
    """Return a model with its own weights if it is a run, else with random ones."""
    from spectralvision.engine.model_io import load_model

    return load_model(name, pretrained=False, img_size=size)


def _row(row: dict[str, Any]) -> list[str]:
    cells = [row["model"], row["form"], str(row["input_size"])]
    if "error" in row:
        return [*cells, "-", row["error"], "", "", "", ""]
    low, high = row["images_per_second_quartiles"]
    speed, gmacs = row["images_per_second"], row["gmacs"]
    return [
        *cells,
        format_rate(speed, ""),
        f"{format_rate(low, '')} to {format_rate(high, '')}",
        "-" if gmacs is None else f"{gmacs:.2f}",
        "-" if gmacs is None else f"{gmacs * speed:.0f}",
        format_bytes(row["peak_memory"]),
        f"{row['against_first']:.2f}x",
    ]
