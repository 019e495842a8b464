"""`spectralvision evaluate`."""

import sys
from collections.abc import Sequence
from typing import Any, ClassVar

from spectralvision.commands import (
    Command,
    columns_of,
    inference_config,
    is_first_process,
    print_line,
    print_table,
    require_train_packages,
)
from spectralvision.runs import UserError, check_ranges, format_rate
from spectralvision.tasks.registry import task_of
from spectralvision_cli.help_screens import describe, verb_help
from spectralvision_cli.options.evaluate import EvaluateOptions
from spectralvision_cli.parser import parse, value_of

SEEN = {
    "train": "was trained on these images, so these metrics say nothing about new images",
    "val": "its best epoch was chosen on these images, so these metrics are slightly optimistic",
    "unknown": "has no run.json, so it may have been trained on these images",
}


class Evaluate(Command[EvaluateOptions]):
    """Evaluate models on held-out images, by the task of the first one."""

    verb: ClassVar[str] = "evaluate"
    kind = EvaluateOptions

    def __init__(self, words: Sequence[str]) -> None:
        require_train_packages()
        self.task = task_of(value_of("--model", words) or "")
        self.options, self.task_options = parse(
            self.verb, words, self.kind, self.task.evaluate_options
        )

    @classmethod
    def help(cls, words: Sequence[str]) -> str:
        """Return the help, with the options of the task of --model."""
        require_train_packages()
        task = task_of(value_of("--model", words) or "")
        return verb_help(cls.verb, describe(task.evaluate_options))

    def run(self) -> dict[str, Any]:
        """Return the metrics of one model, or those of several under "evaluations"."""
        # 1. Check the options
        options = self.options
        check_ranges({"devices": options.devices}, {"devices": (1, 1024)})
        if options.devices > 1 and len(options.model) > 1:
            raise UserError("--devices works with one model at a time: give --model one name.")
        config = inference_config(options, self.task.inference_batch, options.devices)

        # 2. Find all models before the first one runs
        from spectralvision.engine.model_io import find_model
        from spectralvision.engine.progress import show_status
        from spectralvision.engine.threads import idle_threads
        from spectralvision.tasks.check_images import describe_left_out
        from spectralvision.tasks.evaluation import evaluate

        for name in options.model:
            find_model(name)
            task = task_of(name).name
            if task != self.task.name:
                raise UserError(
                    f"{options.model[0]} is for {self.task.name} and {name} for {task}: evaluate "
                    "models of one task at a time."
                )

        # 3. Evaluate them one after the other
        with show_status(f"Finding the images of {options.data}"):
            columns = columns_of(options, options.model[0])
            data = self.task.open(options.data, options.data_dir, options.num_classes, columns)
        for note in describe_left_out(data):
            print_line(note, file=sys.stderr)
        with idle_threads(options.devices):
            results = [
                evaluate(name, data, options.split, config, self.task_options)
                for name in options.model
            ]
        return results[0] if len(results) == 1 else {"evaluations": results}

    def is_silent(self) -> bool:
        """Return whether another process prints the result."""
        return not is_first_process()

    def show(self, result: dict[str, Any]) -> None:
        """Print a metric per line, or a table with a model per line; then the task's details."""
        results = result.get("evaluations", [result])
        if len(results) == 1:
            for title, text in self.task.format_result(result, self.task_options):
                print_line(f"{title:<8} {text}")
            print_line(f"images   {result['images']} ({result['data']}, {result['split']})")
            print(f"speed    {format_rate(result['images_per_second'])}")
        else:
            print_table(self.task.format_comparison(results, self.task_options))
        details = self.task.format_details(results, self.task_options)
        if details is not None:
            print()
            print_table(details)

    def conclude(self, result: dict[str, Any]) -> int:
        """Report models that have seen the images, or were evaluated on different ones."""
        results = result.get("evaluations", [result])
        for one in results:
            if one["seen_in_training"]:
                print_line(f"{one['model']}: {SEEN[one['seen_in_training']]}", file=sys.stderr)
        if len({one["images_id"] for one in results}) > 1:
            print_line(
                "these models were evaluated on different images: their metrics cannot be compared",
                file=sys.stderr,
            )
        return 0
