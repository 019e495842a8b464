"""A classifier on any data set, with any model: from scratch, or from trained weights.

Claim: 97 % and more of the held-out handwritten digits are classified rightly after two minutes on two CPU cores.
Command: `spectralvision train --data digits`
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from spectralvision.data.transforms import Augmentation
from spectralvision.recipes import find_recipe
from spectralvision.runs import (
    UserError,
    read_json,
    refuse_outside,
    refuse_taken,
    require_extra,
)
from spectralvision.tasks.engine import Engine, rank
from spectralvision.tasks.optimisation import Auto, Optimisation
from spectralvision.tasks.teaching import Teaching

if TYPE_CHECKING:  # a command that only shows its help loads neither
    from torch import nn

    from spectralvision.data.datasets import Data
    from spectralvision.data.label_maps import LabelMaps
    from spectralvision.recipes.telling import Projection
    from spectralvision.tasks.distillation import Teacher

Say = Callable[[str], None]
PARTS: dict[str, Any] = {
    "optimisation": Optimisation,
    "augmentation": Augmentation,
    "engine": Engine,
    "teaching": Teaching,
}
RANGES = {
    "num_classes": (2, math.inf), "epochs": (1, math.inf), "batch_size": (2, math.inf), "input_size": (1, math.inf),
    "seed": (0, math.inf), "workers": (0, math.inf), "folds": (2, math.inf), "fold": (1, math.inf),
    "crop_pct": (0.1, 1),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Trains a classifier and writes a run folder. `auto` is decided by the data, the model and the machine."""

    TRAINED_EPOCHS: ClassVar[tuple[int, int]] = (15, 15)
    """Where `epochs` is auto and the model brings weights: the fewest and the most, by the number of images."""

    data: str
    """digits, a folder of images (one subfolder a class), parquet shards, a timm reader such as torch/cifar10, or
    synthetic/COUNT: made-up images for dry runs."""
    data_dir: str | None = None
    """Where a timm reader finds its files."""
    num_classes: int | None = None
    """Number of classes, for streamed readers and made-up images, which do not say it."""
    val_fraction: float = 0.2
    """Share held out to validate on, where the data has no val split."""
    folds: int | None = None
    """Train so many times, each time validating on another part: what few images tell, they tell in full."""
    fold: int | None = None
    """Of these trainings do this one only, counted from 1."""
    model: str = "affnet_et"
    """A model of ours, any timm name, or a run folder or hf_hub:OWNER/NAME to go on from."""
    pretrained: bool = False
    """Start from the model's published weights."""
    label_maps: str | None = None
    """Label maps of these images (`spectralvision token-labels`): trains an SVT on a target for each token."""
    out: str | None = None
    """Run folder; default runs/DATA-MODEL, with -2, -3 ... when taken."""
    epochs: int | Auto = "auto"
    """Passes over the training images; auto: 15 for digits and from trained weights, else 50, and up to 200 where the
    images are few."""
    batch_size: int | Auto = "auto"
    """Images an update, over all processes and portions together; auto: about 30 updates an epoch, 16 to 128."""
    input_size: int | Auto = "auto"
    """Side of the square input in pixels; auto: twice the images' own, up to what the model is made for."""
    crop_pct: float | None = None
    """Share of the shorter side that the centre crop keeps where images are judged; None: the model's own."""
    seed: int = 0
    """The same seed gives the same result."""
    workers: int | Auto = "auto"
    """Processes that read images for each device; auto: one a core in all, none for tiny images. The result does not
    depend on it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = "auto"
    """Number format; auto: bf16-mixed where it is fast, else 32."""
    optimisation: Optimisation = field(default_factory=Optimisation)
    augmentation: Augmentation = field(default_factory=Augmentation)
    engine: Engine = field(default_factory=Engine)
    teaching: Teaching = field(default_factory=Teaching)

    def run(self, say: Say = print, dry_run: bool = False, resume: str | Path | None = None) -> dict[str, Any]:
        """Trains; returns what `run.json` holds of the result. `say` takes lines for the person who waits.

        Args:
            say: Called with each line.
            dry_run: Stop after saying what would be done; nothing is written.
            resume: The folder of an unfinished run of this very recipe, to go on with.

        Raises:
            UserError: Data, model or settings that do not work.
        """
        require_extra("train", "lightning", "torchmetrics", "rich", "scipy")
        refuse_outside(vars(self), RANGES)
        self.optimisation.check()
        self.augmentation.check()
        self.engine.check()
        self.teaching.check()
        if rank():
            say = _silent
        if self.folds is not None and self.fold is None:
            from spectralvision.recipes.cross_validation import cross_validate

            return cross_validate(self, say, dry_run, None if resume is None else Path(resume).expanduser())
        return _train(self, say, dry_run, None if resume is None else Path(resume).expanduser())

    @classmethod
    def of_run(cls, run: str | Path) -> "Classification":
        """The recipe of a run folder, whichever it was, everything `auto` filled in.

        Raises:
            UserError: There is no record of such a recipe.
        """
        run = Path(run).expanduser()
        if not (run / "run.json").is_file():
            raise UserError(f"{run} is not a run folder: --resume takes one that `spectralvision train` has begun.")
        record: Any = read_json(run / "run.json")
        kind = find_recipe(record.get("recipe_name", "classification"))
        try:
            fields = record["recipe"]
            recipe: Classification = kind(
                **(fields | {name: part(**fields.get(name, {})) for name, part in PARTS.items()})
            )
        except (TypeError, KeyError) as error:
            raise UserError(f"{run / 'run.json'} holds no recipe of this version ({error}).") from None
        return recipe


def _silent(line: str) -> None:
    """Of several processes the first one speaks."""


def _train(recipe: Classification, say: Say, dry_run: bool, resume: Path | None) -> dict[str, Any]:
    from spectralvision.recipes import labelled, recording, settling, telling
    from spectralvision.tasks.distillation import teacher_of
    from spectralvision.tasks.fitting import choose_device, fit
    from spectralvision.tasks.loading import architecture

    start = time.monotonic()
    accelerator, precision = choose_device(recipe.device, recipe.precision)
    if resume is None and not rank():
        refuse_taken(recipe.out)
    data, notes = _data(recipe)
    recipe = settling.resolved(recipe, data)
    maps = labelled.open_maps(recipe, data)
    data = labelled.with_facts(data, maps)
    if resume is not None:
        recording.refuse_resume(resume, data)
    model, recipe = _model(recipe, data, fresh=resume is None)
    teacher = teacher_of(recipe.teaching, data, model)
    engine = {"accelerator": accelerator, "precision": precision}
    loaders = _loaders(recipe, data, model, maps)
    notes = labelled.notes(maps) + notes
    projection = _announce(recipe, data, model, engine, loaders, teacher, say)
    for line in notes:
        say(line)
    if dry_run:
        say(telling.trial_line(projection))
        return {"dry_run": True, "model": architecture(model), "recipe": asdict(recipe), **projection._asdict()}
    run = resume or recording.folder_of(f"{_word(data.name)}-{architecture(model)}", recipe.out)
    with recording.recorded(run, telling.record(recipe, data, engine)) as status:
        assert recipe.epochs != "auto"
        weights = settling.class_weights(recipe.optimisation.class_weights, telling.train_counts(data))
        module = labelled.classifier(maps, teacher, recipe.teaching)(
            model, recipe.optimisation, recipe.epochs, recipe.seed, weights
        )
        keep = fit(module, *loaders, run, engine, say, resume is not None, recipe.engine)
        assert keep.best is not None, "every epoch validates"
        assert keep.pace is not None
        result = {
            "run": str(run),
            "model": architecture(model),
            "val_top1": keep.best["val_top1"],
            "best_epoch": keep.best["epoch"],
            "epochs": recipe.epochs,
            "data_wait": round(keep.pace.data_wait(), 3),
            "seconds": round(time.monotonic() - start, 1),
        }
        status |= {"status": "finished", "results": result}
    if rank():
        return result
    if advice := telling.wait_advice(result["data_wait"], recipe, data, loaders[0].num_workers, accelerator):
        say(advice)
    from spectralvision.analysis import report

    return result | {"report": report.attempt(run, data, say)}


def _announce(
    recipe: Classification, data: "Data", model: "nn.Module", engine: dict[str, str], loaders: tuple[Any, Any],
    teacher: "Teacher | None", say: Say,
) -> "Projection":  # fmt: skip
    """Says what was found, what is trained, how and how long; the last takes some training steps on a copy.

    Raises:
        UserError: A batch does not fit into memory.
    """
    from spectralvision.recipes import telling

    if rank():  # the first of several processes measures for all
        return telling.Projection(math.nan, math.nan, None)
    for line in telling.announcement(recipe, data, model):
        say(line)
    projection = telling.projected(recipe, model, engine, *loaders, teacher)
    say(telling.how_line(recipe, engine, projection))
    return projection


def _data(recipe: Classification) -> tuple["Data", list[str]]:
    """The images to train on and to validate on, and what there is to say of them."""
    from spectralvision.data.checking import checked
    from spectralvision.data.datasets import carve
    from spectralvision.data.opening import open_data
    from spectralvision.recipes.telling import data_notes

    data = open_data(recipe.data, recipe.data_dir, recipe.num_classes)
    if recipe.num_classes not in (None, len(data.classes)):
        raise UserError(f"{data.name} has {len(data.classes)} classes: leave --num-classes {recipe.num_classes} out.")
    data = carve(data, recipe.val_fraction, recipe.seed, _fold(recipe))
    if len(data.classes) < 2:
        raise UserError(f"{data.name} has one class only ({data.classes[0]}): there is nothing to tell apart.")
    data, skipped, twins = checked(data)
    facts = {"skipped": [asdict(one) for one in skipped], "in_train_and_val": [asdict(twin) for twin in twins]}
    weighted = recipe.optimisation.class_weights != 0
    return replace(data, facts=data.facts | facts), data_notes(data, skipped, twins, weighted)


def _fold(recipe: Classification) -> tuple[int, int] | None:
    """(k, n) where the k-th of n parts is held out."""
    if recipe.fold is None:
        return None
    if recipe.folds is None or recipe.fold > recipe.folds:
        raise UserError(f"--fold {recipe.fold} should lie between 1 and the number of --folds.")
    return recipe.fold, recipe.folds


def _model(recipe: Classification, data: "Data", fresh: bool = True) -> tuple["nn.Module", Classification]:
    """The model at the input size that fits the images, and the recipe with that size.

    Not `fresh`: its weights will come from a checkpoint.
    """
    import torch

    from spectralvision.data.loading import median_side
    from spectralvision.tasks import loading

    most = loading.default_size(recipe.model)
    if isinstance(recipe.input_size, str):
        size = min(most, 32 * math.ceil(2 * median_side(data.split("train")) / 32))
    else:
        size = recipe.input_size
    torch.manual_seed(recipe.seed)
    model = _built(recipe if fresh else replace(recipe, pretrained=False), data, size)
    if (problem := loading.check_forward(model, size)) and recipe.input_size == "auto" and size != most:
        size = most
        model = _built(recipe, data, size)
        problem = loading.check_forward(model, size)
    if problem:
        raise UserError(f"{recipe.model} does not take {size} x {size} pixels ({problem}): see --input-size.")
    scales = recipe.augmentation.scales(size)
    for side in scales.sizes() if scales else []:
        if problem := loading.check_forward(model, side):
            raise UserError(f"{recipe.model} does not take {side} x {side} pixels ({problem}): see --min-size.")
    loading.describe(model, data.classes, size, recipe.crop_pct)
    return model, replace(recipe, input_size=size)


def _built(recipe: Classification, data: "Data", size: int) -> "nn.Module":
    import torch

    from spectralvision.tasks import loading

    model = loading.load_model(
        recipe.model,
        pretrained=recipe.pretrained,
        num_classes=len(data.classes),
        img_size=size,
        drop_path_rate=recipe.optimisation.drop_path or None,
        token_label=True if recipe.label_maps else None,
    )
    known = loading.label_names(model)
    if known and known != list(data.classes) and loading.brings_weights(recipe.model):
        model.reset_classifier(len(data.classes))  # type: ignore[operator]
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _loaders(
    recipe: Classification, data: "Data", model: "nn.Module", maps: "LabelMaps | None" = None
) -> tuple[Any, Any]:
    from spectralvision.data import loading
    from spectralvision.data.sampling import Share
    from spectralvision.data.transforms import eval_transform
    from spectralvision.recipes import labelled
    from spectralvision.tasks.loading import data_config

    config, train, batch = data_config(model), data.split("train"), recipe.batch_size
    engine = recipe.engine
    workers = loading.num_workers(train, recipe.workers, int(engine.devices))
    share = Share(rank(), engine.processes, engine.accumulate)
    assert batch != "auto"
    augmentation = recipe.augmentation
    transform, kind = labelled.samples(augmentation, config, maps)
    scales = augmentation.scales(int(recipe.input_size))
    return (
        loading.train_loader(train, transform, batch, recipe.seed, workers, share, kind, augmentation.repeats, scales),
        loading.eval_loader(data.split("val"), eval_transform(config), batch // engine.parts, workers, share),
    )


def _word(name: str) -> str:
    return name.split("/")[-1]
