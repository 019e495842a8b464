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

RUNTIME_HEAD = [
    "model", "runtime", "input", "ms", "quartiles", "file", "difference", "relative time",
    "to eager",
]  # fmt: skip


class Benchmark(Command[BenchmarkOptions]):
    """Compare the speed of models."""

    verb: ClassVar[str] = "benchmark"
    kind = BenchmarkOptions

    def run(self) -> dict[str, Any]:
        """Return a row for each model, form and size."""
        self._check()
        if self.options.runtimes:
            return self._run_runtimes()
        from spectralvision.analysis.benchmark import BenchmarkConfig, benchmark_models
        from spectralvision.engine.devices import choose_device
        from spectralvision.engine.model_io import default_size, find_model
        from spectralvision.report.throughput_plot import plot_throughput

        options = self.options
        for name in options.models:
            find_model(name)
        models = [(name, functools.partial(_build_model, name)) for name in options.models]
        config = BenchmarkConfig(
            batch_size=self._batch_size(),
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

    def _run_runtimes(self) -> dict[str, Any]:
        """Return a row for each model and runtime."""
        from spectralvision.engine.model_io import default_size, find_model
        from spectralvision.export import benchmark
        from spectralvision.report.latency_plot import plot_latency

        options = self.options
        for name in options.models:
            find_model(name)
        names = options.runtimes
        result = benchmark.benchmark_runtimes(
            {name: functools.partial(_build_model, name) for name in options.models},
            benchmark.available_runtimes() if "all" in names else names,
            benchmark.RuntimeConfig(
                size=options.input_size[0]
                if options.input_size
                else default_size(options.models[0]),
                batch_size=self._batch_size(),
                threads=options.threads,
                rounds=options.rounds,
            ),
        )
        if options.plot:
            result["plot"] = plot_latency(result, options.plot)
        return result

    def _batch_size(self) -> int:
        """Return the images per batch, with `auto` filled in."""
        size = self.options.batch_size
        return (1 if self.options.runtimes else 8) if isinstance(size, str) else size

    def _check_runtimes(self) -> None:
        """Raise `UserError` for options that --runtimes has no use for, and missing packages."""
        from spectralvision.export.registry import TARGETS

        options, defaults = self.options, type(self.options)(models=("",))
        for name in ("form", "train", "device", "precision", "memory_format"):
            if getattr(options, name) != getattr(defaults, name):
                raise UserError(f"--{name.replace('_', '-')} cannot be combined with --runtimes.")
        if len(options.input_size) > 1:
            raise UserError("--runtimes takes one --input-size.")
        for name in options.runtimes:
            if name in TARGETS:
                TARGETS[name].require()

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
        if options.runtimes:
            self._check_runtimes()

    def show(self, result: dict[str, Any]) -> None:
        """Print a table; its last column compares with the first row of the same input size."""
        from spectralvision.report.text import pluralize

        options, machine = self.options, result["machine"]
        if options.runtimes:
            self._show_runtimes(result)
            return
        print_table([HEAD, *map(_row, result["rows"])])
        threads = pluralize(machine["threads"], "thread")
        work = "training steps" if options.train else "inference"
        print(
            f"{work}, batch size {machine['batch_size']}, {options.precision}, "
            f"{options.memory_format}; {machine['device']}, {threads}, "
            f"torch {machine['torch']}; median of {options.rounds} interleaved rounds"
        )
        if "plot" in result:
            print_line(f"plot     {result['plot']}")

    def _show_runtimes(self, result: dict[str, Any]) -> None:
        """Print a table with a row for each model and runtime."""
        from spectralvision.report.text import pluralize

        machine = result["machine"]
        print_table([RUNTIME_HEAD, *map(_runtime_row, result["rows"])])
        print(
            f"batch size {machine['batch_size']}, {pluralize(machine['threads'], 'thread')}, "
            f"torch {machine['torch']}; median of {machine['rounds']} interleaved rounds"
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


def _runtime_row(row: dict[str, Any]) -> list[str]:
    cells = [row["model"], row["runtime"], str(row["input_size"])]
    if "error" in row:
        return [*cells, "-", row["error"], "", "", "", ""]
    low, high = row["quartiles"]
    eager = row["against_eager"]
    return [
        *cells,
        f"{row['milliseconds']:.2f}",
        f"{low:.2f} to {high:.2f}",
        "-" if row["bytes"] is None else format_bytes(row["bytes"]),
        f"{row['difference']:.1e}",
        f"{row['against_first']:.2f}x",
        "-" if eager is None else f"{eager:.2f}x",
    ]
