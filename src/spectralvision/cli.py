"""The command `spectralvision VERB`: parsing and printing only.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 2 a sentence says what to mend,
130 interrupted. Heavy modules are imported inside the verbs.
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
from typing import Annotated, Any, Literal

import tyro

from spectralvision.recipes import RECIPES, find_recipe
from spectralvision.runs import UserError, require_extra

PROG = "spectralvision"
HELP = """usage: spectralvision VERB [OPTIONS]

Frequency-domain token mixers, and the vision backbones AFFNet and SVT built on them.

  models [PATTERN]                   list models with their size and cost
  train [RECIPE] --data DATA         train a model, write a run folder
  evaluate --model RUN --data DATA   top-1 and top-5 on held-out images
  predict FILES --model RUN          classify images

`spectralvision VERB --help` lists a verb's options. A first run: spectralvision train --data digits
"""
Json = Annotated[bool, tyro.conf.arg(help="Print one JSON object instead of text.")]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], tyro.conf.arg(help="Where to compute.")]
Precision = Annotated[
    Literal["auto", "32", "bf16-mixed", "16-mixed"], tyro.conf.arg(help="Number format; auto: bf16-mixed where fast.")
]
BatchSize = Annotated[int, tyro.conf.arg(help="Images at a time.")]
DryRun = Annotated[bool, tyro.conf.arg(help="Stop after saying what would be done; nothing is written.")]
Resume = Annotated[str | None, tyro.conf.arg(help="An unfinished run folder to go on with; takes no settings.")]
Workers = Annotated[int | Literal["auto"], tyro.conf.arg(help="Processes that read images.")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Models:
    """List models: parameters, multiply-adds counted in full, input size, top-1 that the authors report."""

    pattern: tyro.conf.Positional[str] = "*"
    """Names to list, with * and ?."""
    all: bool = False
    """Also list timm's models, by name."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        """Ours with their figures; timm's by name only, as building a thousand models takes long."""
        import timm

        import spectralvision

        pattern = self.pattern if any(mark in self.pattern for mark in "*?[") else f"*{self.pattern}*"
        ours = spectralvision.list_models()
        rows = [_figures(name) for name in ours if name in timm.list_models(pattern)]
        others = [name for name in timm.list_models(pattern) if name not in ours] if self.all else []
        if not rows and not others:
            near = difflib.get_close_matches(self.pattern, ours if not self.all else timm.list_models(), n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "--all also searches timm's."
            raise UserError(f"no model matches {self.pattern}: {hint}")
        return {"models": rows, "timm": others}

    def show(self, result: dict[str, Any]) -> None:
        """Ours as a table, then timm's names."""
        if rows := result["models"]:
            head = ["model", "params (M)", "GMACs", "input", "reported top-1"]
            cells = [
                [row["name"], f"{row['params'] / 1e6:.2f}", f"{row['macs'] / 1e9:.2f}", str(row["input_size"]),
                 "-" if row["reported_top1"] is None else f"{row['reported_top1']:.1f}"]
                for row in rows
            ]  # fmt: skip
            _table([head, *cells])
        for name in result["timm"]:
            print(name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Top-1 and top-5 of a model on held-out images."""

    model: str
    """A run folder, or a model's name for its published weights."""
    data: str
    """digits, a folder of images, parquet shards, or a timm reader such as torch/cifar10."""
    data_dir: str | None = None
    """Where a timm reader finds its files."""
    num_classes: int | None = None
    """Number of classes, for streamed readers that do not say it."""
    split: str | None = None
    """Which images; default test, else val, else all."""
    batch_size: BatchSize = 64
    workers: Workers = "auto"
    device: Device = "auto"
    precision: Precision = "auto"
    json: Json = False

    def run(self) -> dict[str, Any]:
        """The figures."""
        require_extra("train", "lightning", "torchmetrics", "rich")
        from spectralvision.data.opening import open_data
        from spectralvision.tasks import inference

        data = open_data(self.data, self.data_dir, self.num_classes)
        return inference.evaluate(self.model, data, self.split, _engine(self))

    def show(self, result: dict[str, Any]) -> None:
        """One figure a line."""
        top5 = "says nothing with 5 classes or fewer" if result["top5"] is None else f"{result['top5']:.2%}"
        print(f"top-1   {result['top1']:.2%}\ntop-5   {top5}")
        print(f"images  {result['images']} ({result['data']}, {result['split']})")
        print(f"speed   {result['images_per_second']:.0f} images/s")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict:
    """Classify image files, or some images of a data set."""

    paths: tyro.conf.Positional[tuple[str, ...]] = ()
    """Image files, or folders of them."""
    model: str | None = None
    """A run folder, or a model's name for its published weights."""
    data: str | None = None
    """Take images from this data set instead, and show their true label beside."""
    data_dir: str | None = None
    """Where a timm reader finds its files."""
    split: str | None = None
    """Which images of the data set; default test, else val, else all."""
    num_images: int = 8
    """How many images of the data set."""
    top_k: int = 1
    """Classes to name for each image."""
    batch_size: BatchSize = 64
    workers: Workers = "auto"
    device: Device = "auto"
    precision: Precision = "auto"
    json: Json = False

    def run(self) -> dict[str, Any]:
        """The answers."""
        if self.model is None:
            raise UserError("predict needs --model: a run folder that `spectralvision train` wrote, or a model's name.")
        if bool(self.paths) == bool(self.data):
            raise UserError("predict takes either image files and folders, or --data.")
        require_extra("train", "lightning", "torchmetrics", "rich")
        from spectralvision.tasks import inference

        truth = None
        if self.data:
            data, images = inference.some_images(self.model, self.data, self.data_dir, self.split, self.num_images)
            truth = data.classes
        else:
            images = inference.image_files(self.paths)
        return {
            "model": self.model,
            "predictions": inference.predict(self.model, images, truth, self.top_k, _engine(self)),
        }

    def show(self, result: dict[str, Any]) -> None:
        """One image a line."""
        answers = result["predictions"]
        truth = ["label"] if "label" in answers[0] else []
        ranks = ["prediction"] + [f"#{rank}" for rank in range(2, self.top_k + 1)]
        rows = [["image", *truth, *(cell for rank in ranks for cell in (rank, "prob."))]]
        for answer in answers:
            cells = [cell for one in answer["classes"] for cell in (one["class"], f"{one['probability']:.1%}")]
            rows.append([answer["image"], *([answer["label"]] if truth else []), *cells])
        _table(rows)


VERBS: dict[str, Any] = {"models": Models, "train": None, "evaluate": Evaluate, "predict": Predict}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    try:
        return _dispatch(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"{PROG}: interrupted{f'; {interrupt}' if str(interrupt) else ''}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read standard output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP, end="")
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
    if job.json:
        print(json.dumps(result))
    else:
        job.show(result)
    sys.stdout.flush()
    return 0


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


class _Train:
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
        print(f"best     val top-1 {result['val_top1']:.2%} (epoch {result['best_epoch']} of {result['epochs']})")
        print(f"seconds  {result['seconds']:.0f}")
        if result.get("report"):
            print(f"report   {result['report']}")
        print(f"next     spectralvision evaluate --model {run} --data {data}{where}")
        if not self.recipe.num_classes:  # a stream gives no image by its number
            print(f"         spectralvision predict --model {run} --data {data}{where}")


def _parse(kind: Any, verb: str, argv: list[str]) -> Any:
    """An instance of the dataclass `kind` from the words after the verb.

    Raises:
        UserError: An option that does not exist, lacks its value, or is missing.
        SystemExit: After `--help`.
    """
    options = dict(_options(kind))
    for word in argv:
        name = word.split("=")[0].replace("_", "-")
        if word.startswith("-") and not re.match(r"-\.?\d", word) and name not in ("-h", "--help", *options):
            near = difflib.get_close_matches(name, options, n=1)
            hint = f"did you mean {near[0]}?" if near else f"`{PROG} {verb} --help` lists them."
            raise UserError(f"{verb} has no option {word.split('=')[0]}: {hint}")
    given = {word.split("=")[0].replace("_", "-") for word in argv}
    missing = [name for name, required in options.items() if required and name not in given]
    if missing and not given & {"-h", "--help"}:
        raise UserError(f"{verb} needs {' and '.join(missing)}: `{PROG} {verb} --help` says what they take.")
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
            yield f"--{field.name.replace('_', '-')}", required


def _sentence(box: str) -> str:
    """The first paragraph of tyro's framed message, in one line."""
    lines = [line.strip("│ ") for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    end = next((index for index, line in enumerate(lines) if line.startswith("──")), len(lines))
    text = " ".join(lines[:end]).strip()
    return text if text.endswith(".") else f"{text}."


def _engine(job: Any) -> Any:
    from spectralvision.tasks.inference import Engine

    return Engine(batch_size=job.batch_size, workers=job.workers, device=job.device, precision=job.precision)


def _figures(name: str) -> dict[str, Any]:
    """Size and cost of one of our models, from a twin without memory."""
    import torch

    import spectralvision
    from spectralvision.analysis import count_macs

    with torch.device("meta"):
        model = spectralvision.create_model(name)
    size: Any = dict(model.pretrained_cfg)["input_size"]  # type: ignore[arg-type]
    return {
        "name": name,
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "macs": count_macs(model, tuple(size)),
        "input_size": size[-1],
        "reported_top1": spectralvision.models.REPORTED_TOP1.get(name),
    }


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
