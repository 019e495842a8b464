"""The command `spectralvision VERB`: parsing, `train`, and what every verb does alike; the others are in `verbs/`.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 some inputs were left out, 2 a
sentence says what to mend, 130 interrupted, 141 nobody reads the output, 143 ended by SIGTERM.
Heavy modules are imported inside the verbs.
"""

import contextlib
import dataclasses
import difflib
import io
import json
import os
import re
import sys
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import tyro

from spectralvision.recipes import RECIPES, find_recipe
from spectralvision.runs import Stopped, UserError
from spectralvision.tasks.engine import rank
from spectralvision.verbs import Json, Verb
from spectralvision.verbs.benchmark import Benchmark
from spectralvision.verbs.convert import Convert
from spectralvision.verbs.evaluate import Evaluate
from spectralvision.verbs.models import Models
from spectralvision.verbs.predict import Predict
from spectralvision.verbs.push import Push
from spectralvision.verbs.token_labels import TokenLabels

PROG = "spectralvision"
HELP = """usage: spectralvision VERB [OPTIONS]

Frequency-domain token mixers, and the vision backbones AFFNet and SVT built on them.

  models [PATTERN]                   list models with their size and cost
  train [RECIPE] --data DATA         train a model, write a run folder
  evaluate --model RUN --data DATA   how good one or several models are on held-out images
  predict FILES --model RUN          classify images
  convert FILE --model MODEL         a checkpoint of the authors' code -> a run folder
  benchmark MODELS                   how fast models are, side by side
  token-labels --teacher RUN --data DATA --out DIR   label the parts of images, for train --label-maps
  push RUN OWNER/NAME                a run to a Hugging Face repository, or into a folder

`spectralvision VERB --help` lists a verb's options. A first run: spectralvision train --data digits
"""
DryRun = Annotated[bool, tyro.conf.arg(help="Stop after saying what would be done; nothing is written.")]
Resume = Annotated[str | None, tyro.conf.arg(help="An unfinished run folder to go on with; takes no settings.")]

VERBS: dict[str, Any] = {
    "models": Models,
    "train": None,
    "evaluate": Evaluate,
    "predict": Predict,
    "convert": Convert,
    "benchmark": Benchmark,
    "token-labels": TokenLabels,
    "push": Push,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    try:
        return _dispatch(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(f"{PROG}: stopped by SIGTERM; {stop}", file=sys.stderr)
        return 143
    except KeyboardInterrupt as interrupt:
        print(f"{PROG}: interrupted{f'; {interrupt}' if str(interrupt) else ''}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read standard output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP, end="", file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0] == "--version":
        from importlib.metadata import version

        print(version(PROG))
        return 0
    verb, *rest = argv
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the verbs are {', '.join(VERBS)}."
        raise UserError(f"{verb} is not a verb: {hint}")
    try:
        job = _parse_train(rest) if verb == "train" else _parse(VERBS[verb], verb, rest)
    except SystemExit:  # --help
        return 0
    with contextlib.redirect_stdout(sys.stderr):  # a library that prints must not get into the result
        result = job.run()
    if verb in ("train", "evaluate") and rank():
        return 0  # the first of several processes speaks
    if job.json:
        print(json.dumps(result))
    else:
        job.show(result)
    sys.stdout.flush()
    return int(job.conclude(result))


def _parse_train(argv: list[str]) -> Any:
    name = argv.pop(0) if argv and not argv[0].startswith("-") else next(iter(RECIPES))
    recipe = find_recipe(name)
    resume = any(word.split("=")[0] == "--resume" for word in argv) and not {"-h", "--help"} & set(argv)
    if resume and (given := [word for word in argv if word in dict(_options(recipe))]):
        raise UserError(f"train --resume goes on with the settings of the run: leave {given[0]} out.")
    fields: list[Any] = [] if resume else [("recipe", recipe)]
    fields += [("dry_run", DryRun, dataclasses.field(default=False))]
    fields += [("resume", Resume, dataclasses.field(default=None)), ("json", Json, dataclasses.field(default=False))]
    train = dataclasses.make_dataclass("Train", fields, bases=(_Train,), frozen=True, kw_only=True)
    train.__doc__ = f"Train a model and write a run folder. Recipes: {', '.join(RECIPES)}; this is {name}."
    job = _parse(train, "train", argv)
    if resume:
        object.__setattr__(job, "recipe", recipe.of_run(job.resume))
    return job


class _Train(Verb):
    """What `train` does with any recipe."""

    recipe: Any
    resume: str | None
    dry_run: bool

    def run(self) -> dict[str, Any]:
        """Trains; lines of progress go to standard error."""
        return self.recipe.run(
            lambda line: print(line, file=sys.stderr, flush=True), dry_run=self.dry_run, resume=self.resume
        )

    def show(self, result: dict[str, Any]) -> None:
        """Where the run is, how good it is, what to try next."""
        if self.dry_run:
            print("nothing was trained or written (--dry-run)")
            return
        run, data = result["run"], self.recipe.data
        where = f" --data-dir {self.recipe.data_dir}" if self.recipe.data_dir else ""
        where += f" --num-classes {self.recipe.num_classes}" if self.recipe.num_classes else ""
        print(f"run      {run}")
        if "folds" in result:
            self._show_folds(result)
            return
        print(f"best     val top-1 {result['val_top1']:.2%} (epoch {result['best_epoch']} of {result['epochs']})")
        print(f"seconds  {result['seconds']:.0f}, {result['data_wait']:.0%} of the training waiting for images")
        if result.get("report"):
            print(f"report   {result['report']}")
        print(f"next     spectralvision evaluate --model {run} --data {data}{where}")
        if not self.recipe.num_classes:  # a stream gives no image by its number
            print(f"         spectralvision predict --model {run} --data {data}{where}")

    def _show_folds(self, result: dict[str, Any]) -> None:
        """How good each training is on its part, and all together."""
        for number, fold in enumerate(result["folds"], 1):
            print(f"fold {number:<4}val top-1 {fold['val_top1']:.2%} of {fold['images']} (epoch {fold['best_epoch']})")
        low, high = result["val_top1_interval"]
        print(f"all      top-1 {result['val_top1']:.2%} of {result['images']} (95 % interval {low:.1%} to {high:.1%})")
        print("         each training's best epoch was chosen on its part, which makes this a little too good")
        print(f"seconds  {result['seconds']:.0f}")
        print(f"next     spectralvision train --data {self.recipe.data} ... the same without --folds: the model to use")


def _parse(kind: Any, verb: str, argv: list[str]) -> Any:
    """An instance of the dataclass `kind` from the words after the verb.

    Raises:
        UserError: An option that does not exist, lacks its value, or is missing.
        SystemExit: After `--help`.
    """
    options = dict(_options(kind))
    for word in argv:
        name = word.split("=")[0].replace("_", "-")
        an_option = re.match(r"-[^\d.]|-\.\D", word)  # not -1, not -.5, not - alone
        if an_option and name not in ("-h", "--help", *options):
            near = difflib.get_close_matches(name, options, n=1)
            hint = f"did you mean {near[0]}?" if near else f"`{PROG} {verb} --help` lists them."
            raise UserError(f"{verb} has no option {word.split('=')[0]}: {hint}")
    given = {word.split("=")[0].replace("_", "-") for word in argv}
    missing = [name for name, required in options.items() if required and name not in given]
    if missing and not given & {"-h", "--help"}:
        they = "they take" if len(missing) > 1 else "it takes"
        raise UserError(f"{verb} needs {' and '.join(missing)}: `{PROG} {verb} --help` says what {they}.")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            markers = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
            job, left = tyro.cli(kind, prog=f"{PROG} {verb}", args=argv, return_unknown_args=True, config=markers)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(_sentence(said.getvalue())) from None
    if left:
        raise UserError(f"{verb} does not take {left[0]!r}: `{PROG} {verb} --help` says what it takes.")
    return job


def _options(kind: Any) -> Iterator[tuple[str, bool]]:
    """(--name, whether it is required) of a dataclass and of those in it."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _options(hints[field.name])
        else:
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            yield f"--{'no-' if field.default is True else ''}{field.name.replace('_', '-')}", required


def _sentence(box: str) -> str:
    """The first paragraph of tyro's framed message, in one line."""
    lines = [line.strip("│ ") for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    end = next((index for index, line in enumerate(lines) if line.startswith("──")), len(lines))
    text = " ".join(line for line in lines[:end] if line.strip("─- ")).strip()
    if refused := re.search(r"parsing (--[\w-]+): .*? from \['(.*?)'\]", " ".join(lines)):
        return f"{refused[1]} {refused[2]} is not a value that it takes: `--help` says which."
    return text if text.endswith(".") else f"{text}."


if __name__ == "__main__":
    sys.exit(main())
