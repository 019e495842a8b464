"""`spectralvision export`."""

from typing import Any, ClassVar

from spectralvision.commands import (
    Command,
    columns_of,
    print_line,
    reject_data_options,
    require_train_packages,
)
from spectralvision.runs import UserError, check_ranges, expand_user, format_bytes
from spectralvision_cli.options.export import ExportOptions


class Export(Command[ExportOptions]):
    """Export a model to a runtime."""

    verb: ClassVar[str] = "export"
    kind = ExportOptions

    def run(self) -> dict[str, Any]:
        """Write the deployment folder; return what is in it and how it compares with PyTorch."""
        require_train_packages()
        options = self.options
        check_ranges({"threads": options.threads}, {"threads": (1, 1024)})
        if len(options.input_size) > 2:
            raise UserError("--input-size takes one side, or height and width.")
        if options.data is None:
            reject_data_options(options)
        from spectralvision.tasks.exporting import ExportConfig, export

        sizes = options.input_size
        return export(
            ExportConfig(
                model=options.model,
                target=options.target,
                out=expand_user(options.out),
                output=options.output,
                size=(sizes[0], sizes[-1]) if sizes else None,
                batch=options.batch,
                int8=options.int8,
                random_weights=options.random_weights,
                data=options.data,
                data_dir=options.data_dir,
                split=options.split,
                columns=None if options.data is None else columns_of(options, options.model),
                threads=options.threads,
                ort_web=None if options.ort_web is None else expand_user(options.ort_web),
            )
        )

    def show(self, result: dict[str, Any]) -> None:
        """Print what was written, how it compares, and what to do with it."""
        from spectralvision.export.deployment import describe_comparison

        sides = " x ".join(map(str, [result["batch"], 3, *result["size"]]))
        operators = result["operators"]
        kind = ", INT8" if result["int8"] else ""
        print_line(
            f"written  {result['out']}/{result['file']}: {format_bytes(result['bytes'])}{kind}"
        )
        print_line(f"input    {sides}; outputs {', '.join(result['outputs'])}")
        print(f"ops      {sum(operators.values())} of {len(operators)} kinds")
        print_line(f"compared {describe_comparison(result)}")
        if result["latency_ms"] is not None:
            print(f"latency  {result['latency_ms']:.1f} ms a batch on this machine")
        print_line(f"next     {result['command']}")
