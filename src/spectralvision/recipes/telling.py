"""What a run says of itself: before it starts, to the person who waits, and afterwards in `run.json`."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spectralvision.runs import spoken

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader

    from spectralvision.data.checking import Skipped, Twin
    from spectralvision.data.datasets import Data
    from spectralvision.recipes.classification import Classification
    from spectralvision.tasks.distillation import Teacher

FEW = 50  # validation images below which top-1 is coarse
WAIT = 0.1  # share of the training time spent waiting for data above which something should be changed
UNEVEN = 5  # times as many images in the largest class as in the smallest


class Projection(NamedTuple):
    """What a run will take, from some training steps on a copy and some images read."""

    seconds: float  # of the whole run
    images_per_second: float  # in training steps, on all devices together
    memory: int | None  # bytes at the peak of a step; of the whole process on a CPU


def announcement(recipe: "Classification", data: "Data", model: "nn.Module") -> Iterator[str]:
    """Two lines: what was found, what is trained."""
    from spectralvision.tasks.loading import architecture, brings_weights

    counts = ", ".join(f"{len(images)} {name}" for name, images in data.splits.items())
    carved = data.facts.get("val_carved")
    cut = f" (val: {_part(carved)} of {carved['from']}, seed {carved['seed']})" if carved else ""
    yield f"data   {data.name}: {len(data.classes)} classes; {counts} images{cut}"
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    weights = "trained weights" if recipe.pretrained or brings_weights(recipe.model) else "from scratch"
    yield (
        f"model  {architecture(model)}: {millions:.2f} M parameters, {_macs(model)}, {weights}, {recipe.input_size} x "
        f"{recipe.input_size} pixels"
    )


def how_line(recipe: "Classification", engine: dict[str, str], projection: Projection) -> str:
    """How it is trained and how long it takes."""
    several = f", {recipe.engine.processes} processes" if recipe.engine.processes > 1 else ""
    taught = f", taught by {recipe.teaching.teacher}" if recipe.teaching.teacher else ""
    return (
        f"train  {recipe.epochs} epoch{'' if recipe.epochs == 1 else 's'}, batch {recipe.batch_size}, "
        f"learning rate {recipe.optimisation.lr:g}{taught}, "
        f"on {engine['accelerator']} in {engine['precision']}{several}, about {spoken(projection.seconds)}"
    )


def trial_line(projection: Projection) -> str:
    """What the steps of the trial were like."""
    memory = "" if projection.memory is None else f", peak memory {projection.memory / 2**30:.2f} GiB a process"
    return (
        f"trial  {projection.images_per_second:.3g} images/s in training steps{memory}, "
        f"{projection.seconds / 3600:.3g} h in all"
    )


def projected(
    recipe: "Classification", model: "nn.Module", engine: dict[str, str], train: "DataLoader[Any]",
    val: "DataLoader[Any]", teacher: "Teacher | None" = None,
) -> Projection:  # fmt: skip
    """From some training steps on a copy and some images read; no state is changed.

    Validating an image is taken for a third of training on it. Readers work beside an accelerator, but share a CPU.
    """
    from spectralvision.tasks.trial import try_step

    assert not isinstance(recipe.epochs, str)
    assert not isinstance(recipe.batch_size, str)
    parts, batch, processes = recipe.engine.parts, recipe.batch_size, recipe.engine.processes
    step = try_step(model, recipe.optimisation, batch, engine, 3, parts, teacher)
    part = batch // parts
    computing = step.seconds / part / processes
    total = 0.0
    for loader, passes in ((train, 1.0), (val, 1 / 3)):
        reading = _seconds_per_image(loader) / max(1, loader.num_workers) / processes
        beside = loader.num_workers > 0 and engine["accelerator"] != "cpu"
        images = len(loader) * part * processes
        total += images * (max(passes * computing, reading) if beside else passes * computing + reading)
    return Projection(max(recipe.epochs * total, 1.0), 1 / computing, step.memory)


def wait_advice(share: float, recipe: "Classification", data: "Data", workers: int, accelerator: str) -> str | None:
    """What to change where training has waited for data more than a tenth of its time; None where it has not."""
    from spectralvision.data.loading import median_side, num_cores

    if share <= WAIT:
        return None
    said = f"note   {share:.0%} of the training time was spent waiting for images: "
    cores = num_cores() // int(recipe.engine.devices)
    if workers == 0 and cores > 1:
        return f"{said}--workers {1 if accelerator == 'cpu' else cores} reads them meanwhile"
    if accelerator == "cpu":
        return f"{said}reading and computing share the CPU, so smaller files or a GPU help"
    if workers < cores:
        return f"{said}more --workers help (now {workers}, and there are {cores} cores for each device)"
    side, taken = median_side(data.split("train")), recipe.input_size
    if side > 2 * float(taken):
        return f"{said}smaller files help ({side:.0f} pixels on the shorter side, where the model takes {taken})"
    return f"{said}faster storage or parquet shards help, or a machine with more cores"


def _seconds_per_image(loader: "DataLoader[Any]", sample: int = 8) -> float:
    """Of reading and transforming one, in this process; nothing for a stream, which would lose its first images."""
    samples: Any = loader.dataset
    if not hasattr(samples, "images"):
        return 0.0
    indices = np.unique(np.linspace(0, len(samples) - 1, num=sample).astype(int))
    samples[int(indices[0])]  # opens what stays open
    start = time.monotonic()
    for index in indices:
        samples[int(index)]
    return (time.monotonic() - start) / len(indices)


def _macs(model: "nn.Module") -> str:
    from spectralvision.analysis import count_macs
    from spectralvision.tasks.loading import data_config

    try:
        return f"{count_macs(model, tuple(data_config(model)['input_size'])) / 1e9:.3g} GMACs"
    except Exception:  # some model of timm's may compute what the meta device cannot
        return "unknown GMACs"


def data_notes(
    data: "Data", skipped: Sequence["Skipped"], twins: Sequence["Twin"], weighted: bool = False
) -> list[str]:
    """Lines about images that are left out, stand twice, are few, or come in uneven numbers (which are `weighted`)."""
    notes = []
    if skipped:
        named = _some([f"{one.image} ({one.reason})" for one in skipped])
        notes.append(f"skip   {_images(len(skipped))} that cannot be read: {named}")
    if twins:
        pairs = _some([f"{twin.train} = {twin.val}" for twin in twins])
        notes.append(f"note   {_images(len(twins))} of val also in train, which makes val top-1 too good: {pairs}")
    if (few := len(data.splits["val"])) < FEW:
        notes.append(f"note   {_images(few)} in val: one more right or wrong moves top-1 by {1 / few:.1%}")
    counts = train_counts(data)
    if uneven(counts):
        most, least = (data.classes[int(pick(counts))] for pick in (np.argmax, np.argmin))
        cure = "; the loss gives images of rare classes more weight" if weighted else ""
        notes.append(
            f"note   classes are uneven: {max(counts)} images of {most}, {min(counts)} of {least} in train{cure}"
        )
    return notes


def train_counts(data: "Data") -> list[int]:
    """Training images of each class; empty for a stream, which does not tell."""
    labels = getattr(data.split("train"), "labels", None)
    return [] if labels is None else np.bincount(labels, minlength=len(data.classes)).tolist()


def uneven(counts: Sequence[int]) -> bool:
    """Whether the largest class has many times the images of the smallest."""
    return bool(counts) and max(counts) >= UNEVEN * min(counts)


def recipe_record(recipe: "Classification") -> dict[str, Any]:
    """Which recipe it is and its fields, for `Classification.of_run`."""
    from spectralvision.recipes import name_of

    return {"recipe_name": name_of(type(recipe)), "recipe": asdict(recipe)}


def record(recipe: "Classification", data: "Data", engine: dict[str, str]) -> dict[str, Any]:
    """What `run.json` holds of a run from its start."""
    return {**recipe_record(recipe), "data": _data_facts(data), "engine": engine, "versions": _versions()}


def _data_facts(data: "Data") -> dict[str, Any]:
    """What `run.json` holds of the data."""
    return {
        "name": data.name,
        "classes": list(data.classes),
        "images": {name: len(images) for name, images in data.splits.items()},
        "fingerprints": fingerprints(data),
        **data.facts,
    }


def fingerprints(data: "Data") -> dict[str, str]:
    """Tells whether a run is resumed on the images it began with."""
    from spectralvision.data.datasets import Images, fingerprint

    splits = {name: data.splits[name] for name in ("train", "val")}
    return {name: fingerprint(images) for name, images in splits.items() if isinstance(images, Images)}


def _versions() -> dict[str, str]:
    """Of what computes."""
    found = {}
    for package in ("spectralvision", "torch", "timm", "lightning"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            found[package] = "unknown"
    return found


def _part(carved: dict[str, Any]) -> str:
    return f"part {carved['fold'][0]} of {carved['fold'][1]}" if carved["fold"] else f"{carved['fraction']:.0%}"


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{number} images"


def _some(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
