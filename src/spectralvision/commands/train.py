"""`spectralvision train`."""

from collections.abc import Sequence
from shlex import quote
from typing import Any, ClassVar

from spectralvision.commands import (
    Command,
    is_first_process,
    print_line,
    require_train_packages,
)
from spectralvision.recipes import find_recipe, recipe_names
from spectralvision.runs import UserError, format_duration
from spectralvision.tasks.registry import find_task
from spectralvision_cli.fields import read_fields
from spectralvision_cli.help_screens import DEFAULT_TASK, describe, first_line, recipe_help
from spectralvision_cli.options.train import TrainOptions
from spectralvision_cli.parser import (
    describe_stray_path,
    is_path,
    parse,
    parse_values,
    value_of,
)


class Train(Command[TrainOptions]):
    """Train a model by a recipe, or resume a run."""

    verb: ClassVar[str] = "train"
    kind = TrainOptions

    def __init__(self, words: Sequence[str]) -> None:
        require_train_packages()
        recipe, words = split_recipe(words)
        kind = find_recipe(recipe)
        if value_of("--resume", words) is None:
            self.options, self.config = parse(self.verb, words, self.kind, kind)
            return
        settings = read_fields(kind)
        values = parse_values(self.verb, words, [*read_fields(self.kind), *settings])
        given = [field.option for field in settings if field.name in values]
        if given:
            raise UserError(
                f"train --resume uses the settings of the run: remove {' and '.join(given)}."
            )
        self.options = TrainOptions(**values)
        from spectralvision.tasks.training_run import read_config

        self.config = read_config(str(self.options.resume), find_recipe)

    @classmethod
    def help(cls, words: Sequence[str]) -> str:
        """Return the help, with the options of the recipe."""
        require_train_packages()
        recipe, _ = split_recipe(words)
        titles = {name: first_line(find_recipe(name)) for name in recipe_names()}
        return recipe_help(recipe, describe(find_recipe(recipe)), titles)

    def run(self) -> dict[str, Any]:
        """Train; progress goes to standard error."""
        from spectralvision.tasks.start_training import start_training

        options = self.options
        return start_training(self.config, dry_run=options.dry_run, resume=options.resume)

    def is_silent(self) -> bool:
        """Return whether another process prints the result."""
        return not is_first_process()

    def show(self, result: dict[str, Any]) -> None:
        """Print where the run is, its accuracy, and what to do next."""
        if self.options.dry_run:
            print("nothing was trained or written (--dry-run)")
            return
        print_line(f"run      {result['run']}")
        if "folds" in result:
            self._show_folds(result)
            return
        print(
            f"best     {self._format_monitor(result)} "
            f"(epoch {result['best_epoch']} of {result['epochs']})"
        )
        print_line(
            f"time     {format_duration(result['seconds'])}, of which {result['data_wait']:.0%} "
            "of the training waiting for images"
        )
        if result.get("report"):
            print_line(f"report   {result['report']}")
        self._show_next(result["run"])

    def _show_next(self, run: str) -> None:
        """Print the commands that use the run."""
        config = self.config
        data = f"--data {quote(config.data)}"
        data += f" --data-dir {quote(config.data_dir)}" if config.data_dir else ""
        data += f" --num-classes {config.num_classes}" if config.num_classes else ""
        run = quote(run)
        print_line(f"next     spectralvision evaluate --model {run} {data}")
        if not config.num_classes:  # a stream has no image with a number
            print_line(f"         spectralvision predict --model {run} {data}")

    def _format_monitor(self, result: dict[str, Any]) -> str:
        """Return the task's monitored metric with its name."""
        monitor = find_task(self.config.task).monitor
        return f"{monitor.title or monitor.metric} {monitor.format(result[monitor.metric])}"

    def _show_folds(self, result: dict[str, Any]) -> None:
        """Print the accuracy of each fold, and that of all of them."""
        for number, fold in enumerate(result["folds"], 1):
            print(
                f"fold {number:<4}{self._format_monitor(fold)} on {fold['images']} images "
                f"(epoch {fold['best_epoch']})"
            )
        metric = find_task(self.config.task).monitor.metric
        interval = ""
        if f"{metric}_interval" in result:
            low, high = result[f"{metric}_interval"]
            interval = f" (95 % interval {low:.1%} to {high:.1%})"
        print(f"all      {self._format_monitor(result)} on {result['images']} images{interval}")
        print("         slightly optimistic: the best epoch of each fold was chosen on its images")
        print(f"time     {format_duration(result['seconds'])}")
        print_line(
            f"next     spectralvision train {self.config.recipe} --data {quote(self.config.data)} "
            "... without --folds "
            "trains the model to use"
        )


def split_recipe(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the recipe, which is the first word unless that is an option, and the other words."""
    if words and not words[0].startswith("-"):
        if words[0] not in recipe_names() and is_path(words[0]):
            raise UserError(describe_stray_path("train", words[0]))
        return words[0], words[1:]
    return DEFAULT_TASK, words
