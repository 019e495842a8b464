"""`report.html` of a run: what the kept weights do on the validation images, in one file that needs nothing else."""

import csv
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from spectralvision.analysis.drawing import data_uri
from spectralvision.analysis.report_page import Findings, page
from spectralvision.analysis.statistics import Judgement
from spectralvision.data.datasets import Data, Images, Stream
from spectralvision.data.loading import Samples, eval_loader, num_workers
from spectralvision.data.transforms import Augmentation, eval_transform, train_transform
from spectralvision.runs import UserError, read_json, write_text
from spectralvision.tasks import classification
from spectralvision.tasks.fitting import choose_device
from spectralvision.tasks.inference import matched
from spectralvision.tasks.loading import architecture, data_config, load_model

MISTAKES, SAMPLES, VARIANTS = 24, 6, 2  # pictures


def attempt(run: Path, data: Data, say: Callable[[str], None]) -> str | None:
    """`write_report`, for the end of a training that must not fail by it: the path, or None and a line saying why."""
    try:
        return str(write_report(run, data))
    except Exception as error:  # the run is complete without its report, whatever went wrong in drawing it
        say(f"the report could not be written ({type(error).__name__}: {error}); the run itself is complete")
        return None


def write_report(run: Path, data: Data) -> Path:
    """Judges the weights in `run` on the val split of `data` and writes `run/report.html`.

    Args:
        run: A run folder with `run.json`, `metrics.csv` and the weights.
        data: With a val split, the one the run was validated on.

    Raises:
        UserError: There is no val split, or nothing in it.
    """
    run, start = Path(run), time.monotonic()
    record, epochs = read_json(run / "run.json"), _metrics(run / "metrics.csv")
    model = load_model(str(run))
    data = matched(data, model, str(run))
    images = data.split("val")
    probabilities = _probabilities(model, images, record)
    if not len(probabilities):
        raise UserError(f"{data.name} has no validation image: there is nothing to report.")
    seconds = time.monotonic() - start
    labels, names = _labels(images)
    findings = Findings(
        title=f"{data.name} · {architecture(model)}",
        classes=data.classes,
        probabilities=probabilities,
        labels=labels,
        names=names,
        train_counts=_train_counts(data),
        epochs=epochs,
        record={**record, "data": {"parameters of the network": _parameters(model), **record.get("data", {})}},
        next_command=_next_command(run, record),
        mistakes=_pictures(images, Judgement(probabilities, labels).mistakes(MISTAKES)),
        samples=_samples(data, model, record),
        timings=_timings(record, epochs, len(labels) / seconds),
    )
    write_text(run / "report.html", page(findings))
    return run / "report.html"


def _metrics(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _probabilities(model: nn.Module, images: Images | Stream, record: Mapping[str, Any]) -> np.ndarray:
    recipe, engine = record.get("recipe", {}), record.get("engine", {})
    batch = recipe.get("batch_size", 64)
    options = engine or dict(zip(("accelerator", "precision"), choose_device(), strict=True))
    # A stream is read a second time for its labels, so its order must not depend on workers.
    workers = 0 if isinstance(images, Stream) else num_workers(images, recipe.get("workers", "auto"))
    if isinstance(images, Images) and len(images) <= 2 * batch:
        workers = 0  # a process costs more than a few images
    loader = eval_loader(images, eval_transform(data_config(model)), batch, workers)
    return classification.predict(classification.Classifier(model), loader, options).float().numpy()


def _labels(images: Images | Stream) -> tuple[np.ndarray, Sequence[str]]:
    if isinstance(images, Images):
        return images.labels, [images.name(index) for index in range(len(images))]
    labels = np.array([label for _, label in images], dtype=np.int64)
    return labels, [f"image {number + 1}" for number in range(len(labels))]


def _train_counts(data: Data) -> np.ndarray | None:
    images = data.splits.get("train")
    return np.bincount(images.labels, minlength=len(data.classes)) if isinstance(images, Images) else None


def _parameters(model: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.2f} M"


def _pictures(images: Images | Stream, indices: Sequence[int]) -> dict[int, str]:
    """Thumbnails in the order of `indices`."""
    if isinstance(images, Images):
        return {index: data_uri(images.image(index)) for index in indices}
    found = {at: data_uri(image) for at, (image, _) in enumerate(images) if at in set(indices)}
    return {index: found[index] for index in indices}


def _samples(data: Data, model: nn.Module, record: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Some training images of different classes: as they are, and as the first epochs augmented them."""
    images, recipe = data.splits.get("train"), record.get("recipe", {})
    if not isinstance(images, Images) or not len(images) or "augmentation" not in recipe:
        return []
    known = {field.name for field in fields(Augmentation)}
    augmentation = Augmentation(**{key: value for key, value in recipe["augmentation"].items() if key in known})
    config = data_config(model)
    samples = Samples(images, train_transform(augmentation.resolved(data), config), int(recipe.get("seed", 0)))
    by_class = np.argsort(images.labels, kind="stable")
    chosen = by_class[np.linspace(0, len(by_class) - 1, num=min(SAMPLES, len(by_class))).astype(int)]
    found = []
    for index in map(int, chosen):
        uris = [data_uri(images.image(index))]
        uris += [data_uri(_as_image(samples[epoch, index][0], config)) for epoch in range(VARIANTS)]
        found.append((f"{data.classes[images.labels[index]]}: {images.name(index)}", uris))
    return found


def _as_image(tensor: torch.Tensor, config: Mapping[str, Any]) -> Image.Image:
    """A normalised (3, H, W) tensor as the picture it was made of."""
    mean, std = (torch.tensor(config[key]).view(-1, 1, 1) for key in ("mean", "std"))
    pixels = ((tensor * std + mean).clamp(0, 1) * 255).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def _next_command(run: Path, record: Mapping[str, Any]) -> str:
    recipe = record.get("recipe", {})
    words = ["spectralvision", "evaluate", "--model", str(run), "--data", str(recipe.get("data", "FOLDER"))]
    words += ["--data-dir", str(recipe["data_dir"])] if recipe.get("data_dir") else []
    if "test" not in record.get("data", {}).get("images", {}):
        words[5:] = ["FOLDER-OF-NEW-IMAGES"]
    return shlex.join(words)


def _timings(record: Mapping[str, Any], epochs: Sequence[Mapping[str, str]], speed: float) -> dict[str, str]:
    found = {}
    if "seconds" in record.get("results", {}):
        found["whole run"] = f"{record['results']['seconds']:g} s"
    if epochs and epochs[-1].get("seconds"):
        each = float(epochs[-1]["seconds"]) / len(epochs)
        found["an epoch, validation included"] = f"{each:.1f} s"
        if num := record.get("data", {}).get("images", {}).get("train"):
            found["training, validation included"] = f"{num / max(each, 1e-9):.0f} images/s"
    return found | {"judging, start and reading included": f"{speed:.0f} images/s"}
