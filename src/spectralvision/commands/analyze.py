"""`spectralvision analyze`."""

import sys
from pathlib import Path
from typing import Any, ClassVar

from spectralvision.commands import (
    Command,
    columns_of,
    print_line,
    reject_data_options,
    require_train_packages,
)
from spectralvision.runs import UserError, create_run_folder, require_empty_dir, require_extra
from spectralvision_cli.options.analyze import AnalyzeOptions


class Analyze(Command[AnalyzeOptions]):
    """Write a report on what a model computes."""

    verb: ClassVar[str] = "analyze"
    kind = AnalyzeOptions

    def run(self) -> dict[str, Any]:
        """Write the report; return its files and numbers."""
        require_train_packages()
        require_extra("train", "matplotlib")
        options = self.options
        if options.data is None:
            reject_data_options(options)
        if len(options.input_size) > 2:
            raise UserError("--input-size takes one side, or height and width.")
        require_empty_dir(options.out)
        from spectralvision.analysis.subject import BATCH_SIZE
        from spectralvision.engine.errors import translate_errors
        from spectralvision.engine.threads import idle_threads
        from spectralvision.report.analysis_report import analyze, check_layers
        from spectralvision.tasks.analysis_subject import AnalysisSource, open_subject

        sizes = options.input_size
        subject = open_subject(
            AnalysisSource(
                model=options.model,
                random_weights=options.random_weights,
                size=(sizes[0], sizes[-1]) if sizes else None,
                paths=options.images,
                data=options.data,
                data_dir=options.data_dir,
                split=options.split,
                columns=columns_of(options, options.model) if options.data else None,
                num_images=options.num_images,
                device=options.device,
            )
        )
        check_layers(subject, options.layers)  # before a folder is made
        folder = create_run_folder(Path(options.model).name, options.out, "analysis")
        with translate_errors(BATCH_SIZE), idle_threads():
            return analyze(subject, folder, options.chapters, options.layers)

    def show(self, result: dict[str, Any]) -> None:
        """Print what was written, and the most important numbers."""
        from spectralvision.report.analysis_mixers import ONE_IMAGE
        from spectralvision.report.analysis_page import PAGE
        from spectralvision.report.analysis_report import format_fraction

        print_line(f"written  {result['out']}/{PAGE}, {len(result['files']) - 2} pictures")
        print_line(f"images   {result['images']}")
        chapters = result["chapters"]
        if costs := chapters.get("costs"):
            print(
                f"costs    {costs['parameters'] / 1e6:.2f} M parameters, "
                f"{costs['macs'] / 1e9:.3f} G multiply-adds "
                f"({costs['module_macs'] / 1e9:.3f} G in convolutions and linear layers)"
            )
        if filters := chapters.get("filters"):
            values = [one for one in (filters["adaptivity"] or {}).values() if one is not None]
            if values:
                least, most = min(values), max(values)
                print(f"filters  {least:.1%} to {most:.1%} of the masks' energy varies by image")
            elif filters["adaptivity"] is None:
                print(f"filters  {ONE_IMAGE}")
        if areas := chapters.get("features", {}).get("areas"):
            share = format_fraction(areas["0.5"])
            print(f"sees     {share} of the image hold half of the receptive field")

    def conclude(self, result: dict[str, Any]) -> int:
        """Report the chapters that could not be computed; return 1 if there are any."""
        for name, reason in result["failed"].items():
            print_line(f"{name} could not be computed: {reason}", file=sys.stderr)
        return int(bool(result["failed"]))
