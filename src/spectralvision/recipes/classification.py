"""A classifier on any data set, with any model: from scratch, or from trained weights.

Claim: 97 % and more of the held-out handwritten digits are classified rightly after two minutes on two CPU cores.
Command: `spectralvision train --data digits`
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spectralvision.data.transforms import Augmentation
from spectralvision.runs import UserError, new_run_folder, require_extra, write_json
from spectralvision.tasks.optimisation import Auto, Optimisation

if TYPE_CHECKING:  # a command that only shows its help loads neither
    from torch import nn

    from spectralvision.data.datasets import Data

Say = Callable[[str], None]
UPDATES = 30  # an epoch, where the batch size is free


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Trains a classifier and writes a run folder. `auto` is decided by the data, the model and the machine."""

    data: str
    """digits, a folder of images (one subfolder a class), parquet shards, or a timm reader such as torch/cifar10."""
    data_dir: str | None = None
    """Where a timm reader finds its files."""
    num_classes: int | None = None
    """Number of classes, for streamed readers that do not say it."""
    val_fraction: float = 0.2
    """Share held out to validate on, where the data has no val split."""
    model: str = "affnet_et"
    """A model of ours, any timm name, or a run folder to go on from."""
    pretrained: bool = False
    """Start from the model's published weights."""
    out: str | None = None
    """Run folder; default runs/DATA-MODEL, with -2, -3 ... when taken."""
    epochs: int | Auto = "auto"
    """Passes over the training images; auto: 15 for digits and from trained weights, else 50."""
    batch_size: int | Auto = "auto"
    """Images an update; auto: about 30 updates an epoch, 16 to 128."""
    input_size: int | Auto = "auto"
    """Side of the square input in pixels; auto: twice the images' own, up to what the model is made for."""
    seed: int = 0
    """The same seed gives the same result."""
    workers: int | Auto = "auto"
    """Processes that read images; auto: one a core, none for tiny images. The result does not depend on it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = "auto"
    """Number format; auto: bf16-mixed where it is fast, else 32."""
    optimisation: Optimisation = field(default_factory=Optimisation)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def run(self, say: Say = print) -> dict[str, Any]:
        """Trains; returns what `run.json` holds of the result. `say` takes lines for the person who waits.

        Raises:
            UserError: Data, model or settings that do not work.
        """
        require_extra("train", "lightning", "torchmetrics", "rich")
        return _train(self, say)


def _train(recipe: Classification, say: Say) -> dict[str, Any]:
    from spectralvision.tasks import classification as task
    from spectralvision.tasks.loading import architecture

    start = time.monotonic()
    data = _data(recipe)
    recipe = _resolved(recipe, data)
    model, recipe = _model(recipe, data)
    accelerator, precision = task.choose_device(recipe.device, recipe.precision)
    engine = {"accelerator": accelerator, "precision": precision}
    run = new_run_folder(f"{_word(data.name)}-{architecture(model)}", recipe.out)
    for line in _announcement(recipe, data, model, engine):
        say(line)
    facts = {"recipe": asdict(recipe), "data": _data_facts(data), "engine": engine, "versions": _versions()}
    write_json(run / "run.json", {"status": "running", **facts})
    assert recipe.epochs != "auto"
    module = task.Classifier(model, recipe.optimisation, recipe.epochs, recipe.seed)
    status: dict[str, Any] = {"status": "failed"}
    try:
        best = task.fit(module, *_loaders(recipe, data, model), run, engine, say).best
        assert best is not None, "every epoch validates"
        result = {
            "run": str(run),
            "model": architecture(model),
            "val_top1": best["val_top1"],
            "best_epoch": best["epoch"],
            "epochs": recipe.epochs,
            "seconds": round(time.monotonic() - start, 1),
        }
        status = {"status": "finished", "results": result}
        return result
    except KeyboardInterrupt:
        status = {"status": "interrupted"}
        raise KeyboardInterrupt(f"the best weights so far are in {run}") from None
    finally:
        write_json(run / "run.json", status | facts)


def _data(recipe: Classification) -> "Data":
    from spectralvision.data.datasets import carve
    from spectralvision.data.opening import open_data

    data = carve(open_data(recipe.data, recipe.data_dir, recipe.num_classes), recipe.val_fraction, recipe.seed)
    if len(data.classes) < 2:
        raise UserError(f"{data.name} has one class only ({data.classes[0]}): there is nothing to tell apart.")
    return data


def _resolved(recipe: Classification, data: "Data") -> Classification:
    """The recipe with every `auto` that the data decides filled in."""
    fields, num_train = recipe.optimisation, len(data.split("train"))
    trained = recipe.pretrained or Path(recipe.model).expanduser().is_dir()
    epochs = recipe.epochs
    if isinstance(epochs, str):
        epochs = 50 if data.photographs and not trained else 15
    elif epochs < 1:
        raise UserError(f"--epochs {epochs} should be at least 1.")
    if isinstance(recipe.batch_size, str):
        batch = min(max(2 ** round(math.log2(max(num_train, 1) / UPDATES)), 16), 128)
    else:
        batch = recipe.batch_size
    if batch < 2:
        raise UserError(f"--batch-size {batch} should be at least 2: batch norm needs two images.")
    batch = max(2, min(batch, num_train)) // 2 * 2  # even: mixup pairs the images of a batch
    if fields.lr == "auto":
        fields = replace(fields, lr=float(f"{(5e-4 if trained else 2e-3) * math.sqrt(batch / 64):.3g}"))
    if fields.warmup_epochs == "auto":
        fields = replace(fields, warmup_epochs=min(5.0, epochs / 10))
    augmentation = recipe.augmentation.resolved(data)
    return replace(recipe, epochs=epochs, batch_size=batch, optimisation=fields, augmentation=augmentation)


def _model(recipe: Classification, data: "Data") -> tuple["nn.Module", Classification]:
    """The model at the input size that fits the images, and the recipe with that size."""
    import torch

    from spectralvision.data.loading import median_side
    from spectralvision.tasks import loading

    most = loading.default_size(recipe.model)
    if isinstance(recipe.input_size, str):
        size = min(most, 32 * math.ceil(2 * median_side(data.split("train")) / 32))
    else:
        size = recipe.input_size
    torch.manual_seed(recipe.seed)
    model, problem = _built(recipe, data, size), None
    if (problem := loading.check_forward(model, size)) and recipe.input_size == "auto" and size != most:
        size = most
        model = _built(recipe, data, size)
        problem = loading.check_forward(model, size)
    if problem:
        raise UserError(f"{recipe.model} does not take {size} x {size} pixels ({problem}): see --input-size.")
    loading.describe(model, data.classes, size)
    return model, replace(recipe, input_size=size)


def _built(recipe: Classification, data: "Data", size: int) -> "nn.Module":
    from spectralvision.tasks import loading

    model = loading.load_model(
        recipe.model,
        pretrained=recipe.pretrained,
        num_classes=len(data.classes),
        img_size=size,
        drop_path_rate=recipe.optimisation.drop_path or None,
    )
    known = loading.label_names(model)
    if known and known != list(data.classes) and loading.find_model(recipe.model).startswith("local-dir:"):
        model.reset_classifier(len(data.classes))  # type: ignore[operator]
    return model


def _loaders(recipe: Classification, data: "Data", model: "nn.Module") -> tuple[Any, Any]:
    from spectralvision.data import loading
    from spectralvision.data.transforms import eval_transform, train_transform
    from spectralvision.tasks.loading import data_config

    config, train, batch = data_config(model), data.split("train"), recipe.batch_size
    workers = loading.num_workers(train, recipe.workers)
    assert batch != "auto"
    return (
        loading.train_loader(train, train_transform(recipe.augmentation, config), batch, recipe.seed, workers),
        loading.eval_loader(data.split("val"), eval_transform(config), batch, workers),
    )


def _announcement(recipe: Classification, data: "Data", model: "nn.Module", engine: dict[str, str]) -> list[str]:
    """Three lines: what was found, what is trained, how."""
    from spectralvision.tasks.loading import architecture

    counts = ", ".join(f"{len(images)} {name}" for name, images in data.splits.items())
    carved = data.facts.get("val_carved")
    cut = f" (val: {carved['fraction']:.0%} of {carved['from']}, seed {carved['seed']})" if carved else ""
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    weights = "trained weights" if recipe.pretrained or Path(recipe.model).is_dir() else "from scratch"
    return [
        f"data   {data.name}: {len(data.classes)} classes; {counts} images{cut}",
        f"model  {architecture(model)}: {millions:.2f} M parameters, {weights}, {recipe.input_size} x "
        f"{recipe.input_size} pixels",
        f"train  {recipe.epochs} epochs, batch {recipe.batch_size}, learning rate {recipe.optimisation.lr:g}, "
        f"on {engine['accelerator']} in {engine['precision']}",
    ]


def _data_facts(data: "Data") -> dict[str, Any]:
    return {
        "name": data.name,
        "classes": list(data.classes),
        "images": {name: len(images) for name, images in data.splits.items()},
        **data.facts,
    }


def _versions() -> dict[str, str]:
    versions = {}
    for package in ("spectralvision", "torch", "timm", "lightning"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            versions[package] = "unknown"
    return versions


def _word(name: str) -> str:
    return name.split("/")[-1]
